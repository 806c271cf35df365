"""An export of JSON in which no record names the card number, through every command that reads one."""

import json

import pytest

from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.exports import keyring
from tests.support.sandbox import running

NAME = "cards.jsonl.pgp"
SAYS = "no record of the export has number (column `pan`)"
CORRECT = "Correct `[export.columns]`"


def objects(count):
    header, *rows = rows_csv(count).decode().splitlines()
    cards = (dict(zip(header.split(","), row.split(","), strict=True)) for row in rows)
    return "".join(json.dumps(card) + "\n" for card in cards).encode()


@pytest.fixture
def work(tmp_path):
    """A vault, a good export of JSON lines, and settings with the number's name and with another."""
    with running(journal=tmp_path / "journal") as vault:
        right = settings(tmp_path, vault.base_url)
        wrong = tmp_path / "wrong.toml"
        columns = 'city = "city"\n'
        wrong.write_text(right.read_text().replace(columns, columns + 'number = "pan"\n'))
        yield tmp_path, vault, right, wrong


def number_free(done):
    """Assert that nothing of the data was said: no number, no holder."""
    assert "Holder" not in done.out + done.err
    assert "42424242" not in done.out + done.err


def test_check_refuses_it_with_what_to_do_next(work):
    """6, the column as the settings spell it, and the setting to correct; nothing is called well."""
    folder, _, _, wrong = work
    done = cardferry("check", sealed(folder, objects(5), NAME), "-c", wrong, code=6)
    answer = cardferry("check", folder / NAME, "-c", wrong, "--json", code=6).json

    assert SAYS in done.err
    assert CORRECT in done.err
    assert f"{NAME}: {SAYS}" == answer["error"]
    assert answer["next_step"].startswith(CORRECT)
    number_free(done)


def test_run_sends_nothing_and_carries_all_once_the_settings_are_right(work):
    """The refusal is an event of the trail, no row stays planned, and the same folder goes on."""
    folder, vault, right, wrong = work
    export, out = sealed(folder, objects(600), NAME), folder / "out"
    small = ("--set", "flow.chunk_rows=50")
    done = cardferry("run", export, "-c", wrong, "-o", out, *small, "--json", code=6)
    status = cardferry("status", out, "--json").json

    assert (SAYS in done.json["error"], CORRECT in done.json["next_step"]) == (True, True)
    assert [] == vault.entries()
    assert [NAME] == [export["name"] for export in status["refused"]]
    assert 0 == status["rows"]
    number_free(done)

    again = cardferry("run", export, "-c", right, "-o", out, *small, "--json")
    assert 600 == again.json["this_run"]["rows"]["tokenized"] == len(vault.entries())
    assert [] == cardferry("status", out, "--json").json["refused"]
    events = [json.loads(line) for line in (out / "trail.jsonl").read_text().splitlines()]
    [refused] = [event for event in events if event["event"] == "export_refused"]
    assert SAYS == refused["detail"]["why"]
    cardferry("verify", out, "--export", export, "-c", right)


def test_an_inbox_puts_it_aside_and_carries_the_others(work):
    """With its reason beside it and what to do; the customers of another file are skipped as ever."""
    folder, vault, right, _ = work
    inbox, out = folder / "inbox", folder / "out"
    inbox.mkdir()
    sealed(inbox, objects(2).replace(b'"number"', b'"pan"'), NAME)
    nobody = b'{"legacy_customer_id": "c", "number": null}\n'
    sealed(inbox, objects(2) + nobody, "good.jsonl.pgp")
    sealed(inbox, nobody, "nobody.jsonl.pgp")
    done = cardferry("inbox", inbox, "-c", right, "-o", out, "--quiet-for", "0s", "--json", code=6)
    outcomes = {entry["name"]: entry["outcome"] for entry in done.json["exports"]}
    reason = (inbox / "refused" / f"{NAME}.reason.txt").read_text()

    assert {NAME: "refused", "good.jsonl.pgp": "carried", "nobody.jsonl.pgp": "carried"} == outcomes
    assert "no record of the export has number" in reason
    assert "Set `export.columns.number`" in reason
    assert 2 == len(vault.entries())
    number_free(done)


def test_a_draft_that_found_no_number_leads_to_the_same_words(work):
    """What `init` left open as a comment is what `check` asks for."""
    folder, _, _, _ = work
    plain = b"".join(
        b'{"ref": "r-%d", "holder": "Ann Lee", "exp": "12/31"}\n' % n for n in range(9)
    )
    export, file = sealed(folder, plain, NAME), folder / "own.toml"
    drafted = cardferry("init", export, "--key", keyring().secret("cv25519"), "-o", file)
    done = cardferry("check", export, "-c", file, code=6)

    assert "export.columns.number: no column of that kind seen" in drafted.err
    assert "no record of the export has number" in done.err
    assert "`export.columns.number`" in done.err
