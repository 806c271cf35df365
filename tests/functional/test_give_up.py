"""Files that will not come again: what waits of them is given up by a decision, and comes back with the file."""

import json
import shlex
import signal

import pytest

from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.crash import wait_until, zygote
from tests.support.monitor import metrics
from tests.support.sandbox import running

WHY = "the sender has no copy"


def _events(out, kind):
    lines = (out / "trail.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def _commands(answer):
    return [step["command"] for step in answer["next"] if step["command"]]


def _report(out):
    return json.loads((out / "report.json").read_bytes())


class Lost:
    """A migration with rows of a file that is gone, and how each step after that ended."""

    def __init__(self, root):
        self.out = root / "out"
        with running(journal=root / "journal") as vault:
            config = settings(root, vault.base_url)
            given = ("-c", config, "-o", self.out)
            lost = sealed(root, rows_csv(5), "lost.csv.pgp")
            cardferry("run", lost, *given, "--limit", "2", code=4)
            content = lost.read_bytes()
            lost.unlink()
            self.before = cardferry("status", self.out, "--json", "--check", code=4).json
            self.shown = cardferry("status", self.out)
            [self.advised] = [c for c in _commands(self.before) if " give-up " in c]
            # The words after the program, as whoever pastes the line gives them.
            pasted = shlex.split(self.advised.partition(" give-up ")[2])
            self.pasted = cardferry("give-up", *pasted, code=2)
            self.still = cardferry("status", self.out, "--json").json
            command = ("give-up", self.out, "lost.csv.pgp", "-c", config, "--reason", WHY)
            self.given_up = cardferry(*command, "--json").json
            self.again = cardferry(*command, code=2).err
            self.after = cardferry("status", self.out, "--json", "--check").json
            self.report, self.trail = _report(self.out), _events(self.out, "export_given_up")
            self.page = (self.out / "report.html").read_text()
            self.metrics = metrics((self.out / "metrics.prom").read_text())
            cardferry("verify", self.out)
            lost.write_bytes(content)
            self.back = cardferry("run", lost, *given, "--json").json
            cardferry("run", lost, *given)
            self.end, self.entries = _report(self.out), vault.entries()
            self.taken_back = _events(self.out, "cohort_chosen")
            cardferry("verify", self.out)


@pytest.fixture(scope="module")
def lost(tmp_path_factory):
    return Lost(tmp_path_factory.mktemp("lost"))


def test_rows_of_a_lost_file_wait_no_longer_once_they_are_given_up(lost):
    """`status --check` goes from 4 to 0, the balance adds up, and the last success is no newer."""
    balance = lost.report["balance"]

    assert (3, 0) == (lost.before["pending"], lost.after["pending"])
    assert (2, 3, 0, 0) == tuple(
        balance[name] for name in ("tokenized", "skipped", "pending", "difference")
    )
    assert lost.before["last_success"] is None is lost.after["last_success"]
    assert (0, 3, 0) == (lost.given_up["exit_code"], *_of_the_first(lost.given_up))
    assert {("cardferry_rows_waiting", "lost.csv.pgp")}.isdisjoint(lost.metrics)
    assert 3 == lost.metrics["cardferry_rows", "skipped"]


def _of_the_first(answer):
    [export] = answer["exports"]
    return export["rows"], export["held"]


def test_who_gave_up_what_and_why_stands_in_trail_report_and_page(lost):
    """The trail has the event, and the report names the export until its file comes after all."""
    [event], [told] = lost.trail, lost.report["given_up"]

    assert ("lost.csv.pgp", WHY, 3) == (
        event["resource"],
        event["detail"]["reason"],
        event["detail"]["rows"],
    )
    assert (event["actor"], WHY, 3, 0) == (told["by"], told["reason"], told["rows"], told["held"])
    assert WHY in lost.page
    assert [] == lost.end["given_up"]


def test_the_file_itself_takes_its_rows_back(lost):
    """A run that is given it sends the rows that were given up, and none twice."""
    assert {"tokenized": 3} == {k: n for k, n in lost.back["this_run"]["rows"].items() if n}
    assert (5, 0) == (lost.end["balance"]["tokenized"], lost.end["balance"]["skipped"])
    assert 5 == len(lost.entries)
    # A night after that has nothing to take back, and brings nothing to write.
    assert 1 == len(lost.taken_back)


def test_status_says_that_a_lost_file_can_be_given_up_and_how(lost):
    """The command names the folder, the export and the settings; and nothing is left to give up twice."""
    told = lost.shown.err.replace("\n", " ")

    assert "lost.csv.pgp: if that file is lost for good, its rows can be given up" in told
    assert f"give-up {lost.out} lost.csv.pgp" in lost.advised
    assert "add --reason and, in quotes, why" in told
    assert "nothing waits of an export that is named here" in lost.again


def test_the_advice_as_pasted_asks_for_the_reason_and_gives_up_nothing(lost):
    """No word of the printed command is taken for a reason: it names what is missing, and rows wait on."""
    assert "say why in a line, such as --reason" in " ".join(lost.pasted.err.split())
    assert lost.before["pending"] == lost.still["pending"]


def test_a_row_that_may_have_a_token_is_held_and_never_given_up(tmp_path):
    """After a kill the row under way stays a question: held, code 3, listed, and counted in U."""
    out = tmp_path / "out"
    with running(latency_s=0.05, journal=tmp_path / "journal") as vault:
        config = settings(tmp_path, vault.base_url, "in_flight_max = 1")
        export = sealed(tmp_path, rows_csv(30))
        run = zygote().start("run", export, "-c", config, "-o", out)
        wait_until(vault.entries)
        run.signal(signal.SIGKILL)
        assert run.wait().killed
        export.unlink()
        words = cardferry("status", out).out
        doubt = cardferry("status", out, "--json").json["in_doubt"]
        done = cardferry(
            *("give-up", out, export.name, "-c", config, "--reason", WHY, "--json"), code=3
        ).json
        after = cardferry("status", out, "--check", "--json", code=3).json

    assert {"rows": 1, "then": "retry"} == doubt
    assert (
        "1 row was under way, and nobody knows whether its token was made: nothing has to" in words
    )
    rows, held = _of_the_first(done)
    assert (1, 30) == (held, rows + held + done["balance"]["tokenized"])
    assert ({"outcome_unknown": 1}, 1, 0) == (
        after["failures"],
        after["unseen_tokens_max"],
        after["pending"],
    )
    assert any("1 row is held back" in step["why"] for step in after["next"])
    cardferry("verify", out)


@pytest.mark.parametrize(
    ("names", "reason", "told"),
    [
        (["other.csv.pgp"], WHY, "nothing waits of an export that is named here"),
        (["a.csv.pgp"], "it was 4242424242424242", "it holds a card number"),
        (["a.csv.pgp"], "WHY", "nothing was given up: say why in a line"),
        (["a.csv.pgp"], " ", "give a line of at most 200 characters"),
        (["a.csv.pgp"], "two\nlines", "give a line of at most 200 characters"),
        (["a.csv.pgp"], WHY, "several exports have one of these names"),
    ],
)
def test_nothing_is_given_up_by_a_slip(two_of_one_name, names, reason, told):
    """A wrong name, an ambiguous one, no reason, or one that may not be kept: 2, and rows still wait."""
    out, config = two_of_one_name

    done = cardferry("give-up", out, *names, "-c", config, "--reason", reason, code=2)

    assert told in " ".join(done.err.replace("│", " ").split())
    assert 2 == cardferry("status", out, "--json").json["pending"]


@pytest.fixture(scope="module")
def two_of_one_name(tmp_path_factory):
    """A migration in which a row waits of each of two exports that were called alike."""
    root = tmp_path_factory.mktemp("two")
    with running() as vault:
        config = settings(root, vault.base_url)
        for first in (1, 11):
            export = sealed(root, rows_csv(2, first=first), "a.csv.pgp")
            cardferry("run", export, "-c", config, "-o", root / "out", "--limit", "1", code=4)
    return root / "out", config
