"""What `check` tells of an export before anything is sent: figures, page, sheet, view, digest."""

import csv
import gzip
import io
import json

import pytest
from rich.console import Console

from pipeline.cards.export_profile import ExportProfile, is_network_id
from pipeline.cli.profile_view import show_profile
from tests.support.commands import sealed, settings
from tests.support.judged import command
from tests.support.sandbox import running

HEADER = "id,holder,pan,exp_month,exp_year,town,cust,Network Transaction Id,notes"
ROWS = [
    "A1,Ann Lee,4242424242424242,12,2026,Bangkok,c1,NT1,x",
    "A2,สมชาย ใจดี,5555555555554444,11,2027,Bangkok,c1,,x",
    "A3,Иван Петров,4111111111111111,1,2031,NULL,c2,NT3,x",
    "A4,Jos\u00e9 สม,378282246310005,2,2031,Oslo,c3,NT4,x",
    "A5,Ann Lee,4242424242424241,2,2031,Oslo,c3,NT5,x",
    "A7,\u00c3\u00a9 K\u00c2\u00b0,30569309025904,1,2030,Oslo,c4,,x",
    '"=""0012""",Bob,6011111111111117,1,2030,Oslo,,NT8,x',
]
COLUMNS = (
    'legacy_id = "id"\nnumber = "pan"\nname = "holder"\nexpiration_month = "exp_month"\n'
    'expiration_year = "exp_year"\ncustomer = "cust"\ncity = "town"\n'
)


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """One check with everything that can be asked of it, and what it wrote."""
    folder = tmp_path_factory.mktemp("check")
    export = sealed(folder, gzip.compress("\n".join([HEADER, *ROWS, ""]).encode()))
    config = settings(folder, "http://127.0.0.1:9", "[rules]", "as_of = 2026-11-27")
    text = config.read_text().replace('carry = ["legacy_customer_id"]', "")
    config.write_text(text.replace('city = "city"\n', COLUMNS))
    words = ["--failures", folder / "failures.csv", "--html", folder / "profile.html", "--json"]
    return folder, command(folder, "check", export, "-c", config, *words)


def test_a_check_tells_what_is_in_an_export(checked):
    """Every figure of the profile, counted by hand."""
    answer = checked[1].answer

    assert checked[1].code == 3
    assert answer["rows"] == 7
    assert answer["to_send"] == 4
    assert answer["failures"] == {"number_checksum": 1, "value_damaged": 2}
    assert answer["brands"]["Visa"] == 1
    assert answer["expiring_within_3_months"] == 1
    assert answer["name_scripts"]["Thai"] == 1
    assert answer["name_scripts"]["Cyrillic"] == 1
    assert answer["name_scripts"]["Latin, Thai"] == 1
    assert answer["name_letters"]["\u00e9"] == 1
    assert answer["name_letters_elsewhere"] is None
    assert answer["expiring_far_ahead"] == 0
    assert answer["unmapped_columns"] == ["Network Transaction Id", "notes"]
    assert answer["network_transaction_ids"]["MasterCard"] == {"cards": 1, "missing": 1}
    assert answer["network_transaction_ids"]["Visa"]["missing"] == 0
    assert answer["duplicates"] == {"same_card_again": 0, "legacy_id_duplicate": 0}
    assert answer["customers"] == 3
    assert answer["exports"][0]["packed_in"] == ["gzip"]
    assert answer["exports"][0]["origin"] == "unauthenticated"
    assert answer["refusal"] is None
    odd = {(item["field"], item["what"].split(";")[0]) for item in answer["suspicious_values"]}
    assert ("city", "is a word for nothing") in odd
    assert ("name", "has signs that no name has") in odd
    assert ("legacy_id", 'is a spreadsheet\'s formula, ="..."') in odd


def test_the_sheet_of_failures_has_the_rows(checked):
    """`--failures` names each row that would fail, with the columns of `failures.csv`."""
    folder, _ = checked
    path = folder / "failures.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text(), newline="")))

    assert [("3", "value_damaged"), ("5", "number_checksum"), ("7", "value_damaged")] == [
        (row["source_row"], row["code"]) for row in rows
    ]
    assert {"legacy_id", "stage", "hint", "last_digits"} <= rows[0].keys()
    assert path.stat().st_mode & 0o077 == 0


def test_the_page_needs_nothing_else(checked):
    """`--html` writes one page without scripts, links to others or a card number."""
    page = (checked[0] / "profile.html").read_text()

    assert "4 of 7 rows would be sent" in page
    assert "Cyrillic" in page
    assert checked[1].answer["plan_digest"] in page
    for forbidden in ("<script", "http:", "https:", "4242424242424242", "src="):
        assert forbidden not in page


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal_shows_small_bars_that_fit(checked, width):
    """On a terminal each mix has bars; no line of a mix is longer than the terminal."""
    shown = io.StringIO()
    out = Console(
        file=shown, force_terminal=True, width=width, no_color=True, highlight=False, soft_wrap=True
    )
    show_profile(out, checked[1].answer)
    bars = [line for line in shown.getvalue().splitlines() if "█" in line]

    assert len(bars) >= 8
    assert max(map(len, bars)) <= width


def test_a_pipe_shows_no_bars(checked):
    """Elsewhere a mix is a line of words and numbers."""
    shown = io.StringIO()
    show_profile(Console(file=shown, width=160), checked[1].answer)

    assert "█" not in shown.getvalue()
    assert "brands: " in shown.getvalue()
    assert "number_checksum: Look for a mistyped digit" in shown.getvalue()


def test_the_digest_is_the_one_that_a_run_insists_on(tmp_path):
    """`run --plan` takes the digest of `check`, and no other (7)."""
    plain = "\n".join([HEADER, ROWS[0], ""]).encode()
    with running(journal=tmp_path / "journal") as vault:
        export = sealed(tmp_path, plain)
        config = settings(tmp_path, vault.base_url, "[rules]", "as_of = 2026-11-27")
        text = config.read_text().replace('carry = ["legacy_customer_id"]', "")
        config.write_text(text.replace('city = "city"\n', COLUMNS))
        digest = command(tmp_path, "check", export, "-c", config, "--json").answer["plan_digest"]
        run = ("run", export, "-c", config, "-o", tmp_path / "out", "--json", "--plan")

        assert command(tmp_path, *run, "0" * 64).code == 7
        assert command(tmp_path, *run, digest).code == 0
        assert len(vault.entries()) == 1


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("Network Transaction Id", True),
        ("payment_method.scheme_transaction_id", True),
        ("original_transaction_id", True),
        ("card[network_transaction_id]", True),
        ("transaction_id", False),
        ("network", False),
    ],
)
def test_network_transaction_ids_are_known_by_their_columns(name, is_one):
    """Names of the peers' exports are known; other transactions are not theirs."""
    assert is_one is is_network_id(name)


def test_names_of_columns_are_safe_on_a_terminal():
    """What no terminal should obey is replaced, and what is very long is cut."""
    seen = ExportProfile()
    seen.see_header(["id", "a\x1b[31mb", "x" * 500, ""], {"id"})

    assert seen.figures()["unmapped_columns"] == ["a\ufffd[31mb", "x" * 79 + "…"]
    assert json.dumps(seen.figures())


def test_another_encoding_is_named_once(tmp_path):
    """What `check` shows on stdout is not logged besides; a run logs it, as it shows no profile."""
    text = "\n".join([HEADER, ROWS[0].replace("Ann", "Jos\u00e9"), ""])
    export = sealed(tmp_path, text.encode("latin-1"))
    config = settings(tmp_path, "http://127.0.0.1:9")
    text = config.read_text().replace('carry = ["legacy_customer_id"]', "")
    config.write_text(text.replace('city = "city"\n', COLUMNS))
    checked = command(tmp_path, "check", export, "-c", config)

    assert (checked.out + checked.err).count("export.encoding") == 1, checked.err


@pytest.mark.parametrize("indent", [None, 1])
def test_json_is_profiled_as_csv_is(tmp_path, indent):
    """Network transaction ids are counted and fields that nothing is made of named, at any depth."""
    rows = [dict(zip(HEADER.split(","), row.split(","), strict=True)) for row in ROWS[:2]]
    network = "Network Transaction Id"
    rows = [{"scheme": {network: row.pop(network)}, **row} for row in map(dict, rows)]
    text = json.dumps(rows, indent=1) if indent else "\n".join(map(json.dumps, rows))
    export = sealed(tmp_path, text.encode())
    config = settings(tmp_path, "http://127.0.0.1:9")
    text = config.read_text().replace('carry = ["legacy_customer_id"]', "")
    config.write_text(text.replace('city = "city"\n', COLUMNS))
    answer = command(tmp_path, "check", export, "-c", config, "--json").answer

    assert answer["unmapped_columns"] == ["scheme.Network Transaction Id", "notes"]
    assert answer["network_transaction_ids"]["MasterCard"] == {"cards": 1, "missing": 1}
    assert answer["network_transaction_ids"]["Visa"]["missing"] == 0
