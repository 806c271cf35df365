"""The constraints of CI fit the project: every dependency is pinned, and high enough."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def test_every_dependency_is_pinned_to_a_version_that_is_allowed():
    """An install of next year can be made as of today."""
    pinned = {
        canonicalize_name(name): version
        for name, version in re.findall(
            r"^([\w.-]+)==(\S+)$", (ROOT / ".ci" / "constraints.txt").read_text(), re.MULTILINE
        )
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = map(Requirement, project["dependencies"] + project["optional-dependencies"]["dev"])

    for each in wanted:
        version = pinned.get(canonicalize_name(each.name))
        assert version is not None, each.name
        assert each.specifier.contains(version), f"{each.name}=={version}"


def test_ci_installs_with_the_constraints_and_once_without():
    """What is pinned can be made again, and what is new is known to work."""
    script = (ROOT / ".ci" / "run").read_text()

    assert script.index("PIP_CONSTRAINT=") < script.index("unset PIP_CONSTRAINT")
    assert "constraints.txt" in script
