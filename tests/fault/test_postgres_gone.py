"""A run whose ledger's server stops in the middle: nobody sends, nothing is lost, and it goes on."""

import contextlib
import signal
import time
from collections import Counter

import orjson
import pyarrow.parquet as pq
import pytest

from pipeline.clock import SystemClock
from pipeline.ledger.last_close import NOTE_NAME
from pipeline.migration.status import status_of
from tests.support import postgres
from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.crash import wait_until, zygote
from tests.support.ledgers import URL_NAME
from tests.support.postgres_line import Line
from tests.support.sampled import slow
from tests.support.sandbox import running

ROWS, IN_FLIGHT = 200, 8
CONNECTED_AFTER = 6
"""So many messages make a connection; a first one that does not come about is no outage."""
OPENED_AFTER = 130
"""So many messages open a new ledger."""
EVERY = 350
"""Publishing all of it again takes less."""
SECRET = "hidden-in-the-url"


@pytest.fixture
def place(monkeypatch):
    """A database of the test's own, its URL with a password in it, which the socket does not ask for."""
    url = postgres.server().database("gone").replace("postgres@", f"postgres:{SECRET}@")
    # What commands are forked from publishes a ledger of its own as it starts, in its folder.
    zygote()
    monkeypatch.setenv(URL_NAME, url)
    return {URL_NAME: url}


@pytest.mark.parametrize("how", ["immediate", pytest.param("fast", marks=pytest.mark.slow)])
def test_a_run_goes_on_by_itself_once_its_server_is_back_and_knows_every_answer(
    tmp_path, place, how
):
    """Stopped at once, as by a crash: every row once, no second token, nothing in doubt."""
    server, out = postgres.server(), tmp_path / "out"
    with running(journal=tmp_path / "journal", latency_s=0.1) as vault:
        words = ("run", sealed(tmp_path, rows_csv(ROWS)), "-c", settings(tmp_path, vault.base_url))
        logged = ("-v", "--log-file", tmp_path / "log")
        run = zygote().start(*words, "-o", out, *logged, environment=place)
        wait_until(lambda: len(vault.entries()) >= ROWS // 4)
        server.stop(how)
        try:
            # What was under way is answered; nobody sends anything more.
            time.sleep(1)
            sent = len(vault.entries())
            time.sleep(0.5)
            assert sent == len(vault.entries())
            assert not run.has_ended()
        finally:
            server.start()
        assert run.wait().code == 0
        made = Counter(entry["name_sha256"] for entry in vault.entries())
        cardferry("verify", out)
    status = status_of(out, SystemClock())

    assert ROWS // 4 <= sent < ROWS
    assert len(made) == made.total() == status["states"]["tokenized"] == ROWS
    assert status["unseen_tokens_max"] == 0
    log = (tmp_path / "log").read_text("utf-8")
    assert "the server of the ledger is gone and is waited for" in log
    assert "the server of the ledger is back" in log


@pytest.fixture
def line(monkeypatch):
    """A line by which the database of the test's own is reached."""
    postgres.server().database("gone")
    zygote()
    with contextlib.closing(Line(postgres.server().folder)) as line:
        monkeypatch.setenv(URL_NAME, line.url("gone"))
        yield line


@pytest.mark.parametrize(
    ("what", "first"),
    [
        ("request", 160),
        ("answer", 290),
        slow("answer", CONNECTED_AFTER + 8),
        *(
            slow(what, first)
            for what in ("request", "answer")
            for first in range(CONNECTED_AFTER, 480, 11)
        ),
    ],
)
def test_a_run_bears_a_connection_that_breaks_again_and_again(tmp_path, line, what, first):
    """While it makes and proves the ledger, plans, sends and publishes: each row, and each event, is there once."""
    out, rows = tmp_path / "out", 30
    with running(journal=tmp_path / "journal") as vault:
        config = settings(tmp_path, vault.base_url, "chunk_rows = 5")
        words = ("run", sealed(tmp_path, rows_csv(rows)), "-c", config, "-o", out, "-q")
        line.lose(what, first, EVERY)
        cardferry(*words, timeout=280)
        line.lose("", 0)
        made = Counter(entry["name_sha256"] for entry in vault.entries())
        cardferry("verify", out)
    told = (out / "trail.jsonl").read_bytes().splitlines()
    events = Counter(orjson.loads(one)["event"] for one in told)

    assert line.lost
    assert len(made) == made.total() == rows
    for kind in ("run_started", "export_opened", "export_proved", "run_ended"):
        assert events[kind] == 1, kind


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """A migration that is done, in a database of its own, and the commands that look at it again."""
    folder, url = tmp_path_factory.mktemp("moved"), postgres.server().database("moved")
    with running(journal=folder / "journal") as vault:
        config = settings(folder, vault.base_url)
        out = folder / "out"
        cardferry(
            "run",
            sealed(folder, rows_csv(20)),
            "-c",
            config,
            "-o",
            out,
            environment={URL_NAME: url},
        )
        commands = {name: (name, out) for name in ("publish", "verify")}
        yield out, commands | {"readback": ("readback", out, "-c", config, "--all")}


@pytest.mark.parametrize(
    ("command", "first"),
    [
        ("publish", 12),
        ("verify", 30),
        ("readback", 60),
        *(slow(name, n) for name in ("publish", "verify", "readback") for n in range(6, 150, 9)),
    ],
)
def test_a_command_alone_goes_on_once_its_server_was_stopped_and_started(
    tmp_path, moved, command, first
):
    """While it opens the ledger, proves it, looks and notes; what is waited for is told."""
    out, commands = moved
    (out / NOTE_NAME).unlink(missing_ok=True)
    with contextlib.closing(Line(postgres.server().folder)) as line:
        line.lose("request", first)
        logged = ("--log-file", tmp_path / "log")
        begun = zygote().start(
            *commands[command], *logged, environment={URL_NAME: line.url("moved")}
        )
        wait_until(lambda: line.lost or begun.has_ended())
        was_lost = line.lost
        postgres.server().stop()
        postgres.server().start()
        assert begun.wait().code == 0
    events = [orjson.loads(one)["event"] for one in (out / "trail.jsonl").read_bytes().splitlines()]

    if was_lost:
        told = (tmp_path / "log").read_text("utf-8")
        assert "the server of the ledger is gone and is waited for" in told
    assert events.count("run_ended") == 1


@pytest.mark.parametrize(("first", "refused"), [(30, (3,)), (30, (2, 3, 5)), (300, (2, 3))])
def test_a_server_that_was_there_is_waited_for_whichever_later_connection_does_not_come_about(
    moved, first, refused
):
    """A verification connects anew for each of its looks, and to note that it was made."""
    out, commands = moved
    (out / NOTE_NAME).unlink(missing_ok=True)
    with contextlib.closing(Line(postgres.server().folder)) as line:
        line.lose("request", first)
        line.refuse(*refused)
        verified = cardferry(
            *commands["verify"], "--json", environment={URL_NAME: line.url("moved")}
        )

    assert verified.json["noted"]
    assert "the server of the ledger is gone and is waited for" in verified.err


@pytest.mark.parametrize("command", ["publish", slow("verify"), slow("readback")])
def test_a_server_that_is_not_there_at_first_is_not_waited_for(moved, command):
    """Perhaps its address is wrong: exit code 5 at once."""
    _, commands = moved
    with contextlib.closing(Line(postgres.server().folder)) as line:
        line.cut()
        refused = cardferry(*commands[command], environment={URL_NAME: line.url("moved")}, code=5)

    assert "is waited for" not in refused.err


@pytest.mark.slow
@pytest.mark.parametrize(("after", "code"), [(OPENED_AFTER, 143), (290, 5)])
def test_a_run_whose_server_stays_away_before_it_sends_ends_soon_when_it_is_told_to(
    tmp_path, line, after, code
):
    """Not half an hour later; with 5 where its end could not be noted. The same command goes on."""
    out = tmp_path / "out"
    with running(journal=tmp_path / "journal") as vault:
        config = settings(tmp_path, vault.base_url, "drain_s = 0")
        words = ("run", sealed(tmp_path, rows_csv(20)), "-c", config, "-o", out)
        line.lose("cut", after)
        log = tmp_path / "log"
        run = zygote().start(*words, "--log-file", log, environment={URL_NAME: line.url("gone")})
        wait_until(lambda: log.exists() and "is waited for" in log.read_text("utf-8"))
        run.signal(signal.SIGTERM)
        assert run.wait().code == code
        assert not vault.entries()
        line.mend()
        cardferry(*words)


@pytest.mark.slow
def test_a_server_that_stays_away_and_comes_back_later_costs_no_row_and_no_second_token_beyond_c(
    tmp_path, place
):
    """Exit code 5, then 0 with every row; the password is in no file and in nothing that was said."""
    server, out = postgres.server(), tmp_path / "out"
    with running(journal=tmp_path / "journal", latency_s=0.1) as vault:
        config = settings(tmp_path, vault.base_url, "outage_max_s = 1")
        words = ("run", sealed(tmp_path, rows_csv(ROWS)), "-c", config, "-o", out)
        run = zygote().start(*words, "-vv", "--log-file", tmp_path / "log", environment=place)
        wait_until(lambda: len(vault.entries()) >= ROWS // 4)
        server.stop()
        try:
            assert run.wait().code == 5
            sent = len(vault.entries())
            said = [cardferry(*words, code=5), cardferry("status", out, code=5)]
            assert sent == len(vault.entries())
        finally:
            server.start()
        said.append(cardferry(*words, "-vv", code=0))
        said.append(cardferry("verify", out))
        said.append(cardferry("readback", out, "-c", config))
        made = Counter(entry["name_sha256"] for entry in vault.entries())
    tokens = [row["token_id"] for row in pq.read_table(out / "mapping.parquet").to_pylist()]

    assert len(set(tokens)) == len(made) == ROWS
    assert ROWS <= made.total() <= ROWS + IN_FLIGHT
    assert sent < ROWS
    for text in (*(one.out + one.err for one in said), (tmp_path / "log").read_text("utf-8")):
        assert SECRET not in text
    for path in out.iterdir():
        assert SECRET.encode() not in path.read_bytes(), path.name
