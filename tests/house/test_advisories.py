"""What we depend on, against the list of known weaknesses."""

import json
import subprocess
import sys
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("sandbox",)


def installed(name, extras, found):
    """Add what a distribution needs to run, with the versions that are installed here."""
    for text in distribution(name).requires or ():
        needed = Requirement(text)
        marker = needed.marker
        wanted = marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))
        key = canonicalize_name(needed.name)
        if wanted and key not in found:
            found[key] = distribution(key).version
            installed(key, needed.extras, found)
    return found


@pytest.mark.slow
def test_no_dependency_has_a_known_weakness(tmp_path):
    """pip-audit knows of none in anything that a run or a sandbox imports, at any depth."""
    pins = installed("cardferry", EXTRAS, {})
    listed = tmp_path / "requirements.txt"
    listed.write_text("".join(f"{name}=={version}\n" for name, version in sorted(pins.items())))
    command = ["pip_audit", "-r", str(listed), "--no-deps", "--disable-pip", "-f", "json"]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--progress-spinner", "off"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    if not done.stdout:
        pytest.skip("pip-audit could not ask for advisories")
    audited = json.loads(done.stdout)["dependencies"]
    unknown = [entry["name"] for entry in audited if "skip_reason" in entry]
    if unknown:
        # pip-audit ends with 0 then too: what it could not look up is not clean.
        pytest.skip(f"no advisories to be had for {len(unknown)} of {len(pins)} dependencies")

    assert len(audited) == len(pins) > 20
    assert [] == [(entry["name"], entry["version"]) for entry in audited if entry["vulns"]]
