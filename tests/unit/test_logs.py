"""The log: typed fields, no library's words, no card number."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import stat
from enum import StrEnum
from pathlib import Path
from random import Random

import pytest

from pipeline import logs
from pipeline.errors import LocalStorageFailed
from pipeline.logs import EventLog, Word
from tests.support.canaries import grouped, make_number

NUMBER = make_number(Random(8))


class State(StrEnum):
    HELD = "held"


@pytest.fixture(autouse=True)
def _untouched_logging(monkeypatch):
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in (None, "pipeline", "httpx")}
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(logs, "counts", logs.LogCounts())
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def stream():
    return io.StringIO()


def fields_of(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_text(stream):
    """Time, level, event, then the fields in the order they were given."""
    logs.configure(stream=stream)
    EventLog("run").info("chunk planned", rows=5000, rate=1 / 3, state=State.HELD, last=None)
    line = stream.getvalue()

    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info    chunk planned"
        r" rows=5000 rate=0.333333 state=held last=None\n",
        line,
    )


def test_an_event_is_one_json_object(stream):
    """Fields keep their types; what JSON has no word for is null."""
    logs.configure(form="json", stream=stream)
    path, digest = Path("/tmp/a b\n\x1b[31m"), Word("ab" * 32)  # noqa: S108
    EventLog("run").warning("export opened", path=path, sha256=digest, ok=True, x=float("nan"))
    [record] = fields_of(stream)

    assert record.pop("at").endswith("Z")
    assert record == {
        "level": "warning",
        "log": "pipeline.run",
        "event": "export opened",
        "path": str(path),
        "sha256": "ab" * 32,
        "ok": True,
        "x": None,
    }


def test_a_path_cannot_forge_a_line_or_paint_a_terminal(stream):
    """Line ends and escapes in a path are written as escapes."""
    logs.configure(stream=stream)
    EventLog("run").info("export opened", path=Path("a\n2026 error forged\x1b[31m"))

    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    "text", ["4242 4242", "a b", "a\n", "é", NUMBER, f"id-{NUMBER}", "x" * 129]
)
def test_free_text_is_no_word(text):
    """A word has no blanks, no other script and no card number, and its error repeats nothing."""
    with pytest.raises(ValueError, match="not a loggable word") as caught:
        Word(text)

    assert text not in str(caught.value)


def test_free_text_is_no_field(stream):
    """A plain string is refused even where no type checker looked."""
    logs.configure(stream=stream)
    with pytest.raises(TypeError, match="a log field is"):
        EventLog("run").info("row read", name="SOMCHAI")


@pytest.mark.parametrize("event", [f"row {NUMBER}", "Row", "", "a\nb", "x" * 81])
def test_an_event_is_a_short_phrase(stream, event):
    """Digits have no place in an event, so no number has."""
    logs.configure(stream=stream)
    with pytest.raises(ValueError, match="short lower-case phrase"):
        EventLog("run").info(event)


@pytest.mark.parametrize("leak", [{"rows": int(NUMBER)}, {"path": Path(f"/in/{NUMBER}.csv")}])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_with_a_card_number_is_withheld_and_counted(stream, leak, form):
    """The last line of defence tells that it was needed."""
    logs.configure(form=form, stream=stream)
    EventLog("run").info("chunk planned", **leak)

    assert NUMBER not in stream.getvalue()
    assert "a log line held a card number and was withheld" in stream.getvalue()
    assert logs.counts.leaks_caught == 1


def test_digests_and_uuids_are_no_card_numbers(stream):
    """Twenty thousand random digests and ids pass: a false alarm would fail a run."""
    logs.configure(stream=stream)
    random, log = Random(9), EventLog("run")
    for _ in range(10_000):
        digest = random.randbytes(32).hex()
        run = re.sub(r"(.{8})(.{4})(.{4})(.{4})(.{12})", r"\1-\2-\3-\4-\5", digest[:32])
        log.info("file written", sha256=Word(digest), run=Word(run))

    assert logs.counts.leaks_caught == 0


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_libraries_are_quiet_below_warning(stream, level):
    """Not even at -vv, and not even a library that sets its own level."""
    logs.configure(level=logging.DEBUG, stream=stream)
    logging.getLogger("httpx").log(level, "POST %s", NUMBER)
    bold = logging.getLogger("bold.library")
    bold.setLevel(logging.DEBUG)
    bold.log(level, "body %s", NUMBER)

    assert stream.getvalue() == ""


def test_a_librarys_warning_is_told_without_its_words(stream):
    """Level, logger, place and the exception's type remain; the text does not."""
    logs.configure(form="json", stream=stream)
    try:
        int(f"x{NUMBER}")
    except ValueError:
        logging.getLogger("asyncio").exception("Task failed: %s", grouped(NUMBER, " "))
    [record] = fields_of(stream)

    assert (record["event"], record["log"], record["level"]) == (
        "a library spoke",
        "asyncio",
        "error",
    )
    assert record["exception"] == "ValueError"
    assert record["place"].startswith("test_logs.py:")
    assert logs.counts.leaks_caught == 0
    assert NUMBER not in stream.getvalue()


def test_a_log_that_cannot_be_written_stops_nothing(capsys):
    """A closed stream costs the line, and prints no record elsewhere."""
    stream = io.StringIO()
    logs.configure(stream=stream)
    stream.close()
    EventLog("run").info("chunk planned", rows=1)

    assert capsys.readouterr() == ("", "")


def test_a_log_file_is_private_and_added_to(tmp_path, stream):
    """Mode 0600, and a second run writes on."""
    for _ in range(2):
        logs.configure(file=tmp_path / "log", stream=stream)
        EventLog("run").info("run started")
    logs.configure(stream=stream)

    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_a_log_file_that_is_a_link_is_refused(tmp_path):
    """Nothing is appended to what somebody else chose."""
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LocalStorageFailed, match="cannot open the log file"):
        logs.configure(file=tmp_path / "log")


def _pipe(path):
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("a.log", _pipe, "not a regular file"),
        ("cards.csv.pgp", lambda p: p.write_bytes(b"\x84\x5e\x03"), "no log of ours"),
        ("plain.csv", lambda p: p.write_text("legacy_id,name\n"), "no log of ours"),
        ("notes.txt", lambda p: p.write_text("2026 was a good year\n"), "no log of ours"),
        ("old.sqlite", lambda p: p.write_bytes(b"SQLite format 3\0"), "no log of ours"),
        ("ledger.sqlite", lambda p: None, "migration's own file"),
        ("mapping.parquet", lambda p: None, "migration's own file"),
    ],
)
def test_a_log_goes_into_nothing_that_is_no_log(tmp_path, name, make, reason):
    """A pipe is not waited for, and an export, a ledger or a text keeps its last byte."""
    make(tmp_path / name)
    before = (tmp_path / name).read_bytes() if reason == "no log of ours" else None

    with pytest.raises(LocalStorageFailed, match=reason):
        logs.configure(file=tmp_path / name)

    assert before is None or before == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_log_is_known_as_one_and_added_to(tmp_path, form):
    """What was written in either form is taken for a log the next time."""
    for _ in range(2):
        logs.configure(form=form, file=tmp_path / "log", stream=io.StringIO())
        EventLog("run").info("run started")
    logs.configure(stream=io.StringIO())

    assert 2 == len((tmp_path / "log").read_text().splitlines())


def test_what_people_read_goes_into_the_file_and_not_twice_onto_the_terminal(tmp_path, stream):
    """In text a sentence for people is left to whoever says it; in JSON it is a line of its own."""
    logs.configure(file=tmp_path / "log", stream=stream)
    logs.bind_run("r-1")
    logs.tell(logging.ERROR, "error", "the vault is away\nRun again.", exit_code=4)
    logs.configure(form="json", stream=stream)
    logs.tell(logging.ERROR, "error", "the vault is away", exit_code=4)

    [record] = fields_of(stream)
    assert ("error", "the vault is away", 4) == (
        record["event"],
        record["text"],
        record["exit_code"],
    )
    [line] = (tmp_path / "log").read_text().splitlines()
    assert line.endswith('error run_id=r-1 text="the vault is away\\nRun again." exit_code=4')


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)],
)
def test_colours_are_for_terminals_that_want_them(monkeypatch, environment, coloured):
    """A terminal is coloured unless NO_COLOR or a dumb terminal says no; a pipe never is."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    main, side = os.openpty()
    with os.fdopen(main, "rb"), os.fdopen(side, "w") as terminal:
        assert logs.wants_colour(terminal) is coloured

    assert not logs.wants_colour(io.StringIO())
