"""The house rules that tools can check: lint, format, types, floors, sizes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import require

ROOT = Path(__file__).parents[2]
LINES_MAX = 300

TOOLS = {
    "ruff": [sys.executable, "-m", "ruff", "check", "."],
    "format": [sys.executable, "-m", "ruff", "format", "--check", "."],
    "mypy": [sys.executable, "-m", "mypy"],
    "floors": [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
}


# A first judgement of every type takes half a minute of a whole core; a busy machine gives a tenth.
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("tool", TOOLS)
def test_the_tools_have_no_complaint(tool):
    """Lint, format, strict types and import floors hold over the whole tree."""
    done = subprocess.run(TOOLS[tool], cwd=ROOT, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout + done.stderr


def test_no_file_is_longer_than_a_head_can_hold():
    """Every source file of the pipeline stays under 300 lines."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "pipeline").rglob("*.py")
        if (lines := len(path.read_text("utf-8").splitlines())) > LINES_MAX
    }

    assert {} == long


def test_a_card_number_is_revealed_in_one_place_only():
    """`PanColumn.reveal` is called where the request's body is built and nowhere else."""
    calls = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "pipeline").rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        if ".reveal(" in line
    ]

    # `PanColumn` itself asks for published test numbers.
    assert ["pipeline/cards/pan.py", "pipeline/migration/waiting_cards.py"] == sorted(calls)


def test_a_secret_is_revealed_only_where_it_is_used():
    """`get_secret_value` is called where a secret goes to a vault, decryptor, ledger, monitor or signature."""
    callers = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "pipeline").rglob("*.py")
        if "get_secret_value()" in path.read_text("utf-8")
    }

    assert callers <= {
        "pipeline/migration/messages.py",
        "pipeline/migration/vault_factory.py",
        "pipeline/migration/run_ledger.py",
        "pipeline/config/credentials.py",
        "pipeline/exports/decryptor/protocol.py",
        "pipeline/exports/engine.py",
        "pipeline/exports/seal.py",
        "pipeline/exports/decryptor/process.py",
        "pipeline/outputs/signature.py",
        "pipeline/vault/probe.py",
    }


def test_the_package_index_is_used_by_name_only():
    """No file names the address of a package registry."""
    listed = subprocess.run(
        [require("git"), "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    words = ("pypi." + "org", "python" + "hosted", "registry." + "npmjs", "deb." + "debian")
    hits = [
        name
        for name in listed
        if (ROOT / name).is_file()
        for word in words
        if word.encode() in (ROOT / name).read_bytes()
    ]

    assert [] == hits
