"""What an installed copy brings along: the examples, and a description whose links lead somewhere."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
HATCH = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]


def test_everything_under_configs_comes_with_the_wheel():
    """What the program reads lies in the package, what people copy under `share/cardferry`."""
    wheel = HATCH["build"]["targets"]["wheel"]
    shipped = {**wheel["force-include"], **wheel["shared-data"]}
    there = {f"configs/{path.name}" for path in (ROOT / "configs").iterdir()}

    assert there == {name for name in shipped if name.startswith("configs/")}
    assert all((ROOT / name).exists() for name in shipped)


def test_the_description_of_an_index_has_no_link_that_leads_nowhere():
    """A page of an index has no files beside it: links to files lose their address there."""
    described = (ROOT / "README.md").read_text("utf-8")
    for rule in HATCH["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        described = re.sub(rule["pattern"], rule["replacement"], described)

    assert [] == re.findall(r"\]\((?!https?:)[^)]*\)", described)
    assert "[Omise Tokens API](https://docs.omise.co/tokens-api)" in described
    assert "The report of the same run" in described
