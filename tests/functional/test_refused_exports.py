"""Exports that were refused: told with their digest in mail, trail, report, status and metrics, until that is ended."""

import hashlib
import json
import os

import pytest

from tests.support.commands import cardferry, rows_csv, sealed, settings
from tests.support.monitor import metrics
from tests.support.nursery import FORK_RUNS
from tests.support.sandbox import running

GONE = {
    "plain.csv.pgp": "neither an OpenPGP nor an age file",
    "cut.csv.pgp": "cut",
    "other.csv.pgp": "its digest is not the one in other.csv.pgp.sha256",
}


class Night:
    """A look into an inbox of three exports that are refused, each for another reason, and a good one."""

    def __init__(self, root):
        self.inbox, self.out = root / "inbox", root / "out"
        self.inbox.mkdir()
        with running() as vault:
            self.config = settings(root, vault.base_url)
            (self.inbox / "plain.csv.pgp").write_bytes(b"id,name\n1,Ann\n")
            cut = sealed(self.inbox, rows_csv(2), "cut.csv.pgp")
            cut.write_bytes(cut.read_bytes()[:-40])
            other = sealed(self.inbox, rows_csv(2, first=21), "other.csv.pgp")
            # Though somebody says that it is finished: these are not the bytes that were sent.
            other.with_name("other.csv.pgp.sha256").write_text("0" * 64 + "  other.csv.pgp\n")
            other.with_name("other.csv.pgp.done").touch()
            sealed(self.inbox, rows_csv(2, first=11), "good.csv.pgp")
            self.digests = {
                name: hashlib.sha256((self.inbox / name).read_bytes()).hexdigest() for name in GONE
            }
            for place, name in enumerate([*GONE, "good.csv.pgp"]):
                os.utime(self.inbox / name, (place, place))
            arguments = (self.inbox, "-c", self.config, "-o", self.out, "--quiet-for", "0s")
            self.mail = cardferry("inbox", *arguments, "--json", code=6)
            self.json = self.mail.json
        self.status = cardferry("status", self.out, "--json", "--check").json
        self.words = cardferry("status", self.out)
        self.metrics = metrics((self.out / "metrics.prom").read_text())
        self.report = json.loads((self.out / "report.json").read_bytes())
        lines = (self.out / "trail.jsonl").read_text().splitlines()
        self.events = [e for e in map(json.loads, lines) if e["event"] == "export_refused"]
        cardferry("verify", self.out)


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return Night(tmp_path_factory.mktemp("night"))


@pytest.mark.parametrize("name", GONE)
def test_each_refused_export_leaves_an_event_whenever_it_was_refused(night, name):
    """Before anything of it was entered or in the middle: name, digest and reason, and not as a success."""
    [event] = [event for event in night.events if event["resource"] == name]

    assert (night.digests[name], False) == (event["detail"]["sha256"], event["success"])
    assert GONE[name] in event["detail"]["why"]


@pytest.mark.parametrize("name", GONE)
def test_mail_json_and_status_name_the_digest_of_a_refused_file(night, name):
    """Two files may come under one name; the digest says which of them was refused."""
    digest = night.digests[name]
    [entry] = [entry for entry in night.json["exports"] if entry["name"] == name]
    reason = (night.inbox / "refused" / f"{name}.reason.txt").read_text()

    assert digest == entry["sha256"]
    assert f"with its reason beside it (SHA-256 {digest})" in night.mail.err
    assert digest in reason
    assert f"{name} was refused at " in night.words.out
    assert digest in night.words.out


def test_report_status_and_metrics_count_the_same_refused_exports(night):
    """`refused` of report and status are one list, and the gauge is its length."""
    assert night.report["refused"] == night.status["refused"]
    assert list(GONE) == [export["name"] for export in night.status["refused"]]
    assert 3 == night.metrics["cardferry_exports_refused",]


def test_a_check_says_that_exports_were_refused_although_no_row_waits(night):
    """Nothing is called well beside them; the code speaks of rows alone."""
    assert 0 == night.status["exit_code"]
    assert (
        "no row waits and no failure is open, but 3 exports were refused and not taken since: "
        "plain.csv.pgp, cut.csv.pgp, other.csv.pgp" == night.status["verdict"]
    )


def test_the_mail_says_what_comes_instead_is_called_and_what_finishes_it(night):
    """Once a mail: how its name ends, how long it is left alone, and what makes waiting needless."""
    goes = f"goes into {night.inbox}, under any name ending in .csv.pgp.\n"
    assert 1 == night.mail.err.count(goes)
    assert (
        "takes it once nobody has touched it for 0 s. An empty file of its name with .done"
        in night.mail.err
    )
    assert (
        "behind (such as plainb.csv.pgp.done) spares that wait. Once it is there, a look now:\n"
        in night.mail.err
    )


def test_only_what_our_side_can_mend_is_moved_back(night):
    """Bytes that were damaged stay aside, and their digest tells whose damage it is."""
    told = night.mail.err
    cut, other = (
        told.partition(f"{name}: refused")[2] for name in ("cut.csv.pgp", "other.csv.pgp")
    )

    assert (
        "theirs is damaged: have it made anew.\n  Do not put this file back; once its cards are in, delete it:"
        f"\n    rm -f {night.inbox}/refused/cut.csv.pgp {night.inbox}/refused/cut.csv.pgp.reason.txt\n"
        in cut
    )
    assert 2 == told.count("Do not put this file back; ")
    assert "Do not put this file back; " in other
    assert ["plain.csv.pgp"] == [
        line.partition("/refused/")[2].split()[0]
        for line in told.splitlines()
        if line.strip().startswith("mv ")
    ]


def test_a_refused_export_leaves_the_list_when_it_is_given_up(night):
    """By name or by digest, by the command that `status` gives; the report keeps the reason."""
    [command] = {
        step["command"].split("give-up ")[1].split(" --reason")[0].split(" -c ")[0]
        for step in night.status["next"]
        if step["command"] and " plain.csv.pgp " in step["command"]
    }
    given = ("-c", night.config, "--reason", "it came as good.csv.pgp")
    done = cardferry("give-up", *command.split(), night.digests["cut.csv.pgp"], *given, "--json")
    after = cardferry("status", night.out, "--json").json
    report = json.loads((night.out / "report.json").read_bytes())

    assert [0, 0] == [export["rows"] for export in done.json["exports"]]
    assert ["other.csv.pgp"] == [export["name"] for export in after["refused"]]
    assert ["plain.csv.pgp", "cut.csv.pgp"] == [export["name"] for export in report["given_up"]]
    found = metrics((night.out / "metrics.prom").read_text())
    assert 1 == found["cardferry_exports_refused",]
    assert (
        night.metrics["cardferry_last_success_timestamp_seconds",]
        == (found["cardferry_last_success_timestamp_seconds",])
    )
    cardferry("verify", night.out)


def test_an_export_that_is_refused_once_its_rows_are_planned_is_told_of_by_its_rows(tmp_path):
    """Too many of its rows fail: they wait, the trail says why, and the same file goes on later."""
    bad = b"id-90,Holder,4242,12,2031,Bangkok,cus\n"
    with running() as vault:
        given = ("-c", settings(tmp_path, vault.base_url), "-o", tmp_path / "out")
        export = sealed(tmp_path, rows_csv(2) + bad)
        cardferry("run", export, *given, "--set", "rules.max_failure_rate=0.1", code=6)
        refused = cardferry("status", tmp_path / "out", "--json").json
        report = json.loads((tmp_path / "out" / "report.json").read_bytes())
        page = (tmp_path / "out" / "report.html").read_text()
        cardferry("verify", tmp_path / "out")
        # What fails in it is known since then.
        cardferry("run", export, *given)
        after = cardferry("status", tmp_path / "out", "--json").json
        cardferry("verify", tmp_path / "out")

    [waiting] = refused["waiting_exports"]
    assert ([], 2) == (refused["refused"], waiting["rows"])
    assert ([], [export.name]) == (
        report["refused"],
        [told["name"] for told in report["refused_planned"]],
    )
    assert "1 export refused" in page
    assert "rules.max_failure_rate = 0.1" in page
    assert "1 of 3 rows fails, more than rules.max_failure_rate = 0.1 allows" in waiting["refused"]
    assert ([], []) == (after["refused"], after["waiting_exports"])


def test_a_refused_export_is_looked_at_where_it_lies_after_the_night(tmp_path):
    """The command in its mail and beside it names the file in its new place, and the settings."""
    (tmp_path / "in box").mkdir()
    with running() as vault:
        config = settings(tmp_path, vault.base_url)
        sealed(tmp_path / "in box", rows_csv(2) + b"id-9,Ann,4242,12,2031,Bangkok,c\n", "a.csv.pgp")
        words = ("inbox", tmp_path / "in box", "-c", config, "-o", tmp_path / "out")
        rate = ("--set", "rules.max_failure_rate=0.1")
        night = cardferry(*words, *rate, "--quiet-for", "0s", "--json", code=6, hook=FORK_RUNS)
    aside = tmp_path / "in box" / "refused"
    beside = (aside / "a.csv.pgp.reason.txt").read_text()
    shown = cardferry("status", tmp_path / "out").err

    advised = f"check '{aside}/a.csv.pgp' -c {config} --set rules.max_failure_rate=0.1"
    assert f"{advised}\n" in night.err
    assert f"{advised}\n" in beside
    back = (
        f"  mv '{aside}/a.csv.pgp' '{tmp_path}/in box/' && rm -f '{aside}/a.csv.pgp.reason.txt'\n"
    )
    assert back in beside
    assert "  nothing of this file was sent, its 2 sound rows neither\n" in night.err
    assert "  1 row rejected (row 3 of a.csv.pgp): " in night.err
    assert "(that row alone" not in night.err
    assert f"  {back}" in night.err
    inner = night.json["exports"][0]["run"]["next"]
    assert inner[0]["why"].startswith("a.csv.pgp was refused. ")
    assert not [
        step for step in inner if f"run '{tmp_path}/in box/a.csv.pgp'" in str(step["command"])
    ]
    [waiting] = night.json["waiting_exports"]
    assert ("a.csv.pgp", 2) == (waiting["name"], waiting["rows"])
    assert "1 of 3 rows fails, more than rules.max_failure_rate = 0.1" in waiting["refused"]
    assert [waiting] == night.json["exports"][0]["run"]["waiting_exports"]
    assert "have that corrected in a new file, or change the setting and give that file" in shown
    assert f"give-up {tmp_path}/out a.csv.pgp" in shown
    assert f"{aside}/a.csv.pgp.reason.txt says how it is mended; once what comes instead" in shown
    # Its sound rows did not move, either: a file with the bad one alone would not do.
    assert "(that row alone" not in shown
