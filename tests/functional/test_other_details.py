"""A known card that comes with something else changed is counted, and what cannot be seen is said."""

import json

import pytest

from tests.support.commands import HEADER, cardferry, settings
from tests.support.sandbox import running

FIRST = (
    "id-1,Ann,4242424242424242,1,2031,Bangkok,c-1",
    "id-2,Bob,5555555555554444,1,2031,Bangkok,c-2",
    "id-3,Cy,3530111333300000,1,2031,Bangkok,c-3",
    "id-4,Di,4000056655665556,1,2031,Bangkok,c-4",
)
LATER = (
    "id-1,Ann,4242424242424242,1,2031,Bangkok,c-1",
    # Another name and city, which nothing is kept of.
    "id-2,Robert,5555555555554444,1,2031,Paris,c-2",
    # Another value of the carried column.
    "id-3,Cy,3530111333300000,1,2031,Bangkok,c-9",
    # Another card, which is no known one.
    "id-4,Di,4012888888881881,1,2031,Bangkok,c-8",
)


@pytest.fixture(scope="module")
def topped_up(tmp_path_factory):
    """Two exports in one folder; the second brings the ids of the first."""
    work = tmp_path_factory.mktemp("work")
    said = []
    with running(journal=work / "journal") as vault:
        config = settings(work, vault.base_url, key=None)
        plain = "[export]\nallow_plaintext = true"
        config.write_text(config.read_text().replace("[export]", plain, 1))
        for name, lines in (("first.csv", FIRST), ("later.csv", LATER)):
            export = work / name
            export.write_text("\n".join([HEADER, *lines, ""]))
            said.append(cardferry("run", export, "-c", config, "-o", work / "out"))
        again = cardferry("run", work / "later.csv", "-c", config, "-o", work / "out", "--json")
    return work / "out", said, again


def test_the_run_that_meets_them_says_how_many_there_are(topped_up):
    """Before it sends and at its end; a run that meets them no more does not count them again."""
    _, (first, later), again = topped_up
    words = "1 row names a known card with other carried columns or another customer"

    assert "known card" not in first.err + first.out
    assert words in later.err
    assert words in later.out
    assert 0 == again.json["this_run"]["other_details"]


def test_the_report_counts_them_and_says_what_it_cannot_see(topped_up):
    """A changed name or city is no change that anybody could have seen."""
    out, _, _ = topped_up
    figures = json.loads((out / "report.json").read_bytes())
    page = (out / "report.html").read_text()

    assert 1 == figures["changes"]["other_details"]
    assert 3 == figures["balance"]["already_tokenized"]
    assert "A changed name or e-mail cannot be seen" in page


def test_a_folder_that_met_them_verifies_with_its_exports(topped_up):
    """The note beside such a row is nothing that the export must say."""
    out, _, _ = topped_up
    config = out.parent / "settings.toml"
    exports = [
        word for name in ("first.csv", "later.csv") for word in ("--export", out.parent / name)
    ]

    assert cardferry("verify", out, "-c", config, *exports, "--json").json["verified"]
