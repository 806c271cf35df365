"""README, help, codes and settings say the same: a newcomer reads what the program does."""

import re
import tomllib
from pathlib import Path

import pytest

from pipeline.cli.commands import COMMANDS
from pipeline.config.attach import AttachSettings
from pipeline.config.loading import load_settings
from pipeline.config.models import Settings
from pipeline.errors import EXIT_CODES
from pipeline.failure_codes import FAILURE_CODES
from pipeline.outputs.columns import CUSTOMERS, FAILURES, MAPPING, SUPERSEDED

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
REFERENCE = (ROOT / "configs" / "reference.md").read_text("utf-8")
LINES_MAX = 250


def _table_after(heading, text=README):
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("| ") and not line.startswith("| code ")
    ]


def test_the_readme_is_short():
    """Nobody reads a long one."""
    assert len(README.splitlines()) < LINES_MAX


def test_the_coverage_command_measures_branches_of_the_pipeline():
    """README's command asks for at least 90 %, and the project's settings count branches."""
    command = README.split("<!-- coverage command -->\n```sh\n", 1)[1].split("\n", 1)[0]
    measured = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["coverage"]

    assert {"--cov", "--cov-fail-under=90"} <= set(command.split())
    assert (True, ["pipeline"]) == (measured["run"]["branch"], measured["run"]["source"])


def test_every_command_stands_in_the_readme_and_no_other():
    """README's table of commands is the program's list."""
    named = re.findall(r"^\| `([\w-]+)` \|", README.split("## Exit codes")[0], re.MULTILINE)

    assert list(COMMANDS) == named


def test_every_exit_code_stands_in_the_readme_with_its_meaning():
    """README's table of exit codes is the one that `--help` prints."""
    told = {int(code): meaning for code, meaning in _table_after("Exit codes")}

    assert told == EXIT_CODES


def test_every_failure_code_stands_in_the_reference_with_its_meaning():
    """The table of failure codes that README leads to is made of the model's words."""
    told = [row for row in _table_after("Failure codes", REFERENCE) if row[0].startswith("`")]

    assert [[f"`{c.code}`", c.stage.value, c.meaning] for c in FAILURE_CODES.values()] == told


@pytest.mark.parametrize("section", Settings.model_fields)
def test_every_setting_stands_in_the_reference(section):
    """The reference that README leads to names every key of every table."""
    table = getattr(Settings(attach=AttachSettings()), section)
    text = REFERENCE.split("\n## Settings\n")[1].split("\n## ")[0]

    assert [] == [key for key in type(table).model_fields if key not in text]


def test_every_column_stands_in_the_reference():
    """It names the columns of the mapping, of the failure report and of the others, in order."""
    for schema in (table.schema for table in (MAPPING, FAILURES, CUSTOMERS, SUPERSEDED)):
        assert " ".join(f"`{name}`" for name in schema.names) in REFERENCE


@pytest.mark.parametrize("name", ["README.md", "configs/reference.md"])
def test_every_file_that_the_readme_links_to_is_there(name):
    """No link of the README and of the reference leads nowhere, and no heading is missing."""
    file = ROOT / name
    links = re.findall(r"\]\((?!http)([^)#]+)(?:#([^)]*))?\)", file.read_text("utf-8"))

    assert [] == [link for link, _ in links if not (file.parent / link).exists()]
    for link, anchor in links:
        headings = (
            re.findall(r"^#+ (.*)$", (file.parent / link).read_text("utf-8"), re.MULTILINE)
            if anchor
            else []
        )
        assert not anchor or anchor in {h.lower().replace(" ", "-") for h in headings}


def test_the_short_settings_of_the_readme_are_settings(tmp_path):
    """The few lines for an odd CSV load as they stand."""
    (tmp_path / "migration.key").write_text("stands for a key")
    (tmp_path / "migration.key").chmod(0o600)
    file = tmp_path / "settings.toml"
    file.write_text(README.split("```toml\n", 1)[1].split("```", 1)[0], "utf-8")

    settings, _ = load_settings(file, {"OMISE_PUBLIC_KEY": "pkey_test_1"})

    assert ("First", "Last") == settings.export.columns.name


def test_every_runtime_dependency_has_its_reason():
    """The list of dependencies in the README is the one of the project."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    needed = set(
        re.findall(r'^  "([a-z0-9-]+)>=', project.split("[project.optional")[0], re.MULTILINE)
    )
    rows = README.split("| runtime dependency |")[1].splitlines()
    told = {
        word
        for row in rows
        if row.startswith("| ")
        for word in re.findall(r"[a-z0-9-]+", row.split("|")[1])
    }

    assert needed == told


def test_the_floors_of_the_readme_are_those_that_are_checked():
    """The picture of who may import whom is the import rules' own, of the lower floors some names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    checked = [re.split(r" [|:] ", layer) for layer in layers if layer != "__main__"]
    shown = README.split("imports only go down:\n\n```\n")[1].splitlines()[0].split(" > ")

    for floor, names in zip(shown, checked, strict=True):
        told = [name for name in re.split(r" \| |, ", floor) if name != "..."]
        assert set(told) <= set(names)
        assert "..." in floor or len(told) == len(names)


def test_the_walk_of_the_readme_leads_through_modules_in_their_rooms():
    """Each step of a row's walk is a module that says so itself, from sealed export to publisher."""
    walk = README.split("A row goes one way")[1].splitlines()[0]
    steps = re.findall(r"\[([a-z ]+)\]\((pipeline/[a-z_/]+\.py)\)", walk)

    assert ["sealed export", "reader", "validator", "ledger", "tokenizer", "vault"] == [
        name for name, _ in steps[:6]
    ]
    assert ["ledger", "attacher", "ledger", "publisher"] == [name for name, _ in steps[6:]]
    for name, path in steps:
        assert name.split()[-1] in path or "/omise/" in path
