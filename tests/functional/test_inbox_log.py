"""The log of an inbox: from its lines alone one can say which file and which run each is about."""

import json

import pytest

from tests.functional.test_inbox import Place
from tests.support.commands import rows_csv
from tests.support.sandbox import running


@pytest.fixture
def place(tmp_path):
    """An inbox in front of a vault."""
    with running() as vault:
        yield Place(tmp_path, vault.base_url)


def logged(place, *options, code):
    """Look once and give the lines of the log file, parsed, beside the command's answer."""
    log = place.folder.parent / "night.log"
    answer = place.empty(
        "--json", "--log-format", "json", "--log-file", log, *options, code=code
    ).json
    return [json.loads(line) for line in log.read_text().splitlines()], answer


def test_what_stays_in_the_inbox_is_named_with_the_run_that_carried_it(place):
    """Each line about an export has its path and the id of its own run, not of another one."""
    place.drop("a.csv.pgp", rows_csv(2) + b"x,Ann,12,1,2031,Bangkok,c\n", age_s=100)
    place.drop("b.csv.pgp", rows_csv(2, first=11, seed=2))

    lines, answer = logged(place, code=3)

    runs = {export["name"]: export["run"]["run_id"] for export in answer["exports"]}
    stays = [line for line in lines if line["event"] == "export stays in the inbox"]
    assert [(str(place.folder / name), runs[name], code) for name, code in
            (("a.csv.pgp", 3), ("b.csv.pgp", 0))] == [
        (line["export"], line["run_id"], line["exit_code"]) for line in stays
    ]  # fmt: skip
    told = [line for line in lines if line.get("text", "").startswith("a.csv.pgp: carried")]
    assert [runs["a.csv.pgp"]] == [line["run_id"] for line in told]
    assert 2 == len(set(runs.values()))


def test_lines_about_no_run_have_no_run_id(place):
    """What is said of the whole look, and its end, belong to no run of one export."""
    place.drop("a.csv.pgp", rows_csv(2) + b"x,Ann,12,1,2031,Bangkok,c\n")

    lines, _ = logged(place, code=3)

    assert "ended" == lines[-1]["event"]
    assert "run_id" not in lines[-1]
    assert any("report.html" in line["text"] and "run_id" not in line
               for line in lines if "text" in line)  # fmt: skip


def test_a_card_number_in_the_name_of_what_stays_is_not_logged(place):
    """The export is named with its digits replaced, and the look ends as ever."""
    place.drop("4242424242424242.csv.pgp", rows_csv(2))

    lines, _ = logged(place, code=0)

    (stays,) = [line for line in lines if line["event"] == "export stays in the inbox"]
    assert "4242" not in stays["export"]
    assert stays["export"].endswith(".csv.pgp")
