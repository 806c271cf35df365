"""Texts that would run in a spreadsheet, a browser or a terminal, through every output."""

import csv
import html.parser
import json

import pytest

from tests.support.bad_files import PLAIN
from tests.support.commands import HEADER
from tests.support.judged import carry, command, require_clean
from tests.support.sandbox import running

IDS = (
    *("=1+1", "+1", "-1+1", "@SUM(A1)", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x","y")'),
    *("\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20x", "%0A=1", "'=1", ' "=1', "=1;=2"),
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</td></table><h1>x", "<svg/onload=x>"),
    *('" onmouseover="x', "' autofocus onfocus='x", "&lt;script&gt;", "javascript:alert(1)"),
    *('","token_id":"tokn_x","x":"', "}{", "[x](javascript:x)", "| x |", "{{7*7}}", "{% x %}", "${7*7}"),
    *("../../x", "%s%n", "\\x1b[31m", "#REF!", "NaN", "null", "true", "1e9", "0x1", "0001", "1.0"),
)  # fmt: skip
STRIPPED = ("\t=1", "\n=1", "\r\n=1", " =1")
"""Blanks around a field do not count, so these become `=1`."""
MALFORMED = ("\0=1", "\x1b[31mred", "a\nb", "a\rb", "\u202ex", "x\u2028y", "\u009b31m")
RUNNING = "=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20"


class Nodes(html.parser.HTMLParser):
    """Counts what an HTML page consists of."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.attributes = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


def plain_export(ids):
    lines = [HEADER]
    for legacy_id in ids:
        quoted = legacy_id.replace('"', '""')
        lines.append(f'"{quoted}","{quoted}",12,1,2031,"{quoted}","{quoted}"')
    return ("\n".join(lines) + "\n").encode()


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Carry one export of such ids, all of which fail, and one of harmless ids."""
    runs = {}
    with running() as vault:
        for name, ids in (
            ("hostile", (*IDS, *STRIPPED, *MALFORMED)),
            ("harmless", [f"id-{n}" for n in range(len(IDS + STRIPPED + MALFORMED))]),
        ):
            work = tmp_path_factory.mktemp(name)
            export = work / "cards.csv"
            export.write_bytes(plain_export(ids))
            runs[name] = carry(work, vault.base_url, export, key=None, options=[PLAIN])
    return runs


def test_no_cell_of_the_csv_report_runs_in_a_spreadsheet(judged):
    """Every id is there, and none begins with a sign that runs."""
    with (judged["hostile"].folder / "failures.csv").open(encoding="utf-8", newline="") as file:
        cells = [row["legacy_id"] for row in csv.DictReader(file)]

    assert len(IDS + STRIPPED + MALFORMED) == len(cells)
    assert [cell for cell in cells if cell.startswith(tuple(RUNNING))] == []
    expected = [f"'{text}" if text.startswith(tuple(RUNNING)) else text.strip() for text in IDS]
    assert expected == cells[: len(IDS)]


def test_the_parquet_report_holds_the_ids_as_they_are(judged):
    """What is no spreadsheet is not changed for one; an id that nobody wrote is left out."""
    ids = [row["legacy_id"] for row in judged["hostile"].rows()]

    assert [text.strip() for text in IDS] == ids[: len(IDS)]
    assert ["=1"] * len(STRIPPED) == ids[len(IDS) : len(IDS) + len(STRIPPED)]
    assert [None] * len(MALFORMED) == ids[-len(MALFORMED) :]


def test_the_page_has_no_node_more_than_one_of_harmless_rows(judged):
    """Nothing from the export becomes an element, an attribute or a script of the report."""
    hostile, harmless = (
        Nodes((judged[name].folder / "report.html").read_text("utf-8"))
        for name in ("hostile", "harmless")
    )

    assert "script" not in hostile.tags
    assert [name for name in hostile.attributes if name.startswith("on")] == []
    assert set(harmless.tags) == set(hostile.tags)


def test_the_json_outputs_are_well_formed(judged):
    """A quote or a brace of an id ends nothing."""
    folder = judged["hostile"].folder
    for name in ("report.json", "manifest.json"):
        assert isinstance(json.loads((folder / name).read_text("utf-8")), dict)
    for line in (folder / "trail.jsonl").read_text("utf-8").splitlines():
        assert isinstance(json.loads(line), dict)


def test_nothing_that_moves_a_cursor_is_said(judged):
    """Standard error, standard output and the log hold no control character of the export."""
    run = judged["hostile"]
    log = (run.folder.parent / "run.log").read_text("utf-8")
    status = command(run.folder, "status", run.folder)

    for text in (run.out, run.err, log, status.out, status.err):
        assert "\x1b" not in text
        assert "\u202e" not in text
    require_clean(run)


def test_ids_that_look_like_numbers_stay_texts(tmp_path):
    """Leading zeros and exponents come back as they were; what stands for no value is no id."""
    ids = ["0001", "1e9", "true", "1.0", "0x1", "2031-01-01", "-0", "=1+1"]
    rows = "".join(
        f"{legacy_id},Ann,4242424242424242,1,2031,Bangkok,{legacy_id}\n"
        for legacy_id in [*ids[:2], "NaN", "null", *ids[2:]]
    )
    export = tmp_path / "cards.csv"
    export.write_text(f"{HEADER}\n{rows}")
    with running() as vault:
        run = carry(tmp_path, vault.base_url, export, key=None, options=[PLAIN])

    mapped = [(row["legacy_id"], row["legacy_customer_id"]) for row in run.rows("mapping")]
    assert [(legacy_id, legacy_id) for legacy_id in ids] == mapped
    refused = [(row["source_row"], row["code"]) for row in run.rows("failures")]
    assert [(3, "value_damaged"), (4, "value_damaged")] == refused
