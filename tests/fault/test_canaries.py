"""Numbers that exist nowhere else, through runs that fail in every way: none leaves the process.

Borders with parsers and libraries are made to raise exceptions that hold a number, at the
highest log level and in Python's development mode. Looked at are all files, both streams and,
under strace, every call of the whole process tree that writes.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from random import Random

import pytest

from pipeline.errors import EXIT_CODES
from tests.support.cards import card_number
from tests.support.commands import HEADER, ROOT, sealed, settings
from tests.support.exports import unmeasured
from tests.support.forced import KINDS, SPECIAL
from tests.support.leaks import Watch
from tests.support.sandbox import spawned

ROWS = 12
LOST_SOON = ("--set", "vault.read_timeout_s=1")
SECONDS_MAX = 1200
"""For all points of one kind, on a machine with much else to do."""
BORDERS = {
    # The stage's name and the call that is made to fail: how often it succeeds before.
    "read": ("pipeline.migration.judged_chunks:read", 0),
    "read again": ("pipeline.migration.waiting_cards:read", 0),
    "decode": ("pipeline.exports.reader:decoded", 0),
    "decode a batch": ("pipeline.exports.csv_records:decoded", 0),
    "csv": ("csv:reader", 0),
    "csv after the header": ("csv:reader", 1),
    "column of numbers": ("pipeline.cards.pan:PanColumn.from_texts", 0),
    "build requests": ("pipeline.migration.waiting_cards:_requests", 0),
    "validate": ("pipeline.migration.judged_chunks:validate", 0),
    "validate again": ("pipeline.migration.judged_chunks:validate", 1),
    "check digits": ("pipeline.cards.pan:PanColumn.luhn", 0),
    "numbers in texts": ("pipeline.cards.validator:texts_containing_pan", 2),
    "plan": ("pipeline.migration.judged_chunks:planned_cards", 0),
    "carried columns": ("orjson:dumps", 1),
    "ledger plan": ("pipeline.ledger.planning:Planning.add", 0),
    "ledger finish": ("pipeline.ledger.planning:Planning.finish", 0),
    "wipe a chunk": ("pipeline.cards.pan:PanColumn.wipe", 0),
    "reveal": ("pipeline.cards.pan:PanColumn.reveal", 3),
    "encode": ("pipeline.vault.omise.tokens:encode_card", 3),
    "wipe a request": ("pipeline.vault.omise.tokens:CardMessage.wipe", 0),
    "claim": ("pipeline.ledger.settling:Settling.claimable", 0),
    "group commit": ("pipeline.ledger.settling:Settling.apply", 2),
    "pace": ("pipeline.vault.flow.flow_control:FlowControl.reserve_turn", 3),
    "report": ("pipeline.vault.flow.flow_control:FlowControl.report", 3),
    "retry": ("pipeline.vault.flow.flow_control:FlowControl.backoff", 0),
    "send": ("pipeline.vault.omise.tokens:VaultClient.create_token", 3),
    "transport": ("pipeline.vault.transport.transport:VaultTransport.exchange", 10),
    "connection": ("pipeline.vault.transport.connection:Connection.send", 10),
    "bytes received": ("pipeline.vault.transport.answer_reader:AnswerReader.feed", 10),
    "answer": ("pipeline.vault.omise.tokens:classify", 3),
    "answer's JSON": ("pipeline.vault.omise.answers:read_object", 3),
    "transition": ("pipeline.migration.tokenizer:next_transition", 3),
    "progress": ("pipeline.cli.live_progress:_head", 0),
    "progress of reading": ("pipeline.cli.live_progress:Lines.reading", 0),
    "log line": ("pipeline.logs:_text_line", 0),
    "end of run": ("pipeline.ledger.ledger:Ledger.end_run", 0),
    "publish": ("pipeline.migration.run:publish", 0),
    "figures": ("pipeline.outputs.files:gather", 0),
    "Parquet": ("pipeline.outputs.parquet:_table", 0),
    "failures": ("pipeline.outputs.files:csv_block", 0),
    "page": ("pipeline.outputs.files:render_report", 0),
    "manifest": ("pipeline.outputs.files:manifest_bytes", 0),
    "show the ending": ("pipeline.cli.running:show_ending", 0),
}
WRITING_CALLS = (
    *("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg"),
    *(
        "execve",
        "vmsplice",
        "splice",
        "tee",
        "rename",
        "renameat",
        "renameat2",
        "mkdir",
        "symlinkat",
    ),
)
TRACED = re.compile(rb"^(\d+) +(\w+)\((?:\d+<((?:TCP:\[[^\]]*\])|[^>]*)>)?")
HEX = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"')


def export_of_canaries(seed):
    """Give a plain export of unique numbers, half of its rows bad, and the numbers."""
    random = Random(seed)
    numbers = [card_number(random) for _ in range(2 * ROWS)]
    good, bad = numbers[:ROWS], numbers[ROWS:]
    lines = [HEADER]
    lines += [f"g-{n},Ann Lee,{pan},1,2031,Bangkok,c" for n, pan in enumerate(good)]
    wrong = [
        lambda pan: f"b,Ann,{pan[:-1]}{9 - int(pan[-1])},1,2031,B,c",
        lambda pan: f"{pan},Ann,4242424242424242,1,2031,B,c",
        lambda pan: f"b-2,Ann {pan},4242424242424242,1,2031,B,c",
        lambda pan: f"b-3,Ann,{pan},13,2031,B,c",
        lambda pan: f"b-4,Ann,{pan},1,2031",
        lambda pan: f'b-5,"Ann,{pan},1,2031,B,c',
        lambda pan: f"b-6,Ann,{pan},1,2031,B,{pan}",
        lambda pan: f"b-7,Ann,{pan} {pan},1,2031,B,c",
        lambda pan: f"b-8,\0{pan},{pan},1,2031,B,c",
        lambda pan: f"b-9,Ann,{pan}x,1,{pan},{pan},c",
        lambda pan: f"b-10,%B{pan}^LEE^3112,{pan},{pan},2031,B,c",
        lambda pan: f"=cmd({pan}),Ann,{pan},1,2031,B,c",
    ]
    lines += [write(pan) for write, pan in zip(wrong, bad, strict=True)]
    # A test number stands in two rows on purpose; it is no canary.
    return ("\n".join(lines) + "\n").encode(), good, bad


def plan_of(work, config, export, names):
    """Give what `tests.support.forced` is to run: each border with one kind of exception."""
    points = []
    for at, name in enumerate(names):
        target, skip = BORDERS.get(name, ("", 0))
        points.append(
            {
                "name": name,
                "target": target,
                "skip": skip,
                "kind": KINDS[at % len(KINDS)],
                "folder": str(work / f"point-{at}"),
                "command": ["run", str(export), "-c", str(config), *LOST_SOON],
            }
        )
    return points


def forced(work, vault, names, *, seed, before=(), rotate=0):
    """Run the borders of these names in one process tree; give exit codes and the numbers."""
    plain, good, bad = export_of_canaries(seed)
    config = settings(work, vault.base_url, "outage_max_s = 2", "drain_s = 2")
    # Whatever writes to a temporary folder writes where we look.
    temporary = work / "tmp"
    temporary.mkdir()
    # Sealed, so that the numbers are in the clear in no file but those that leak.
    export = sealed(work, plain)
    points = plan_of(work, config, export, names)
    for point in points:
        point["kind"] = KINDS[(KINDS.index(point["kind"]) + rotate) % len(KINDS)]
    plan = work.parent / f"{work.name}.plan"
    plan.write_text(json.dumps({"points": points, "numbers": good}))
    done = subprocess.run(
        [*before, sys.executable, "-m", "tests.support.forced", str(plan)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=SECONDS_MAX,
        env={
            **unmeasured(),
            "PYTHONPATH": str(ROOT),
            "PYTHONDEVMODE": "1",
            "PYTHONASYNCIODEBUG": "1",
            "TMPDIR": str(temporary),
        },
    )
    plan.unlink()

    assert done.returncode == 0, done.stderr
    return done, json.loads(done.stdout), good, bad


def require_no_leak(work, done, codes, watch):
    assert watch.in_bytes((done.stdout + done.stderr).encode()) == []
    assert watch.in_folder(work) == []
    assert {name: code for name, code in codes.items() if code not in EXIT_CODES} == {}
    said = "".join(path.read_text("utf-8") for path in work.glob("point-*/err.txt"))
    assert "Traceback" not in said


@contextmanager
def faulty_vault(folder):
    """Run a vault of its own process that loses, resets, refuses and breaks some answers."""
    script = folder / "faults"
    script.write_text("seed=1 D=0.04 R=0.04 T=0.04 J=0.02 5=0.04 8=0.04", "utf-8")
    with spawned("--faults", f"@{script}") as vault:
        yield vault


def test_no_forced_exception_shows_a_number(tmp_path, tmp_path_factory):
    """Two borders fail with the number in their exception; no file, no stream holds it.

    Libraries that talk are heard below, under strace.
    """
    names = [*list(BORDERS)[::25], *(name for name in SPECIAL if name != "talk")]
    with faulty_vault(tmp_path_factory.mktemp("vault")) as vault:
        done, codes, good, bad = forced(tmp_path, vault, names, seed=11)

    require_no_leak(tmp_path, done, codes, Watch(good + bad))
    # The exceptions were raised: what was forced is told, by type and place.
    told = [path for path in tmp_path.glob("point-*/err.txt") if "withheld" in path.read_text()]
    assert len(told) > len(names) // 2


@pytest.mark.slow
@pytest.mark.timeout(SECONDS_MAX + 60)
@pytest.mark.parametrize("rotate", range(len(KINDS)))
def test_no_forced_exception_of_any_kind_shows_a_number(tmp_path, tmp_path_factory, rotate):
    """Every border with every kind of exception."""
    with faulty_vault(tmp_path_factory.mktemp("vault")) as vault:
        done, codes, good, bad = forced(
            tmp_path, vault, [*BORDERS, *SPECIAL], seed=100 + rotate, rotate=rotate
        )

    require_no_leak(tmp_path, done, codes, Watch(good + bad))


# Under strace: every call that writes.


def strace_command(log):
    if shutil.which("strace") is None:
        if os.environ.get("CARDFERRY_REQUIRE_STRACE") == "1":
            pytest.fail("strace is required and not installed")
        pytest.skip("strace is not installed; set CARDFERRY_REQUIRE_STRACE=1 to require it")
    calls = ",".join(WRITING_CALLS)
    # `?`: a call that this machine does not know is no error.
    traced = ",".join(f"?{call}" for call in calls.split(","))
    return ["strace", "-f", "-qq", "-yy", "-xx", "-s", "65535", "-e", f"trace={traced}", "-e", "signal=none", "-o", str(log)]  # fmt: skip


def traced_calls(log):
    """Give process, name, what the descriptor leads to, and the bytes of every traced call."""
    for line in log.read_bytes().splitlines():
        found = TRACED.match(line)
        if found is not None:
            octets = b"".join(map(_from_hex, HEX.findall(line)))
            target = found[3] or b""
            yield found[1], found[2], _from_hex(target) if b"\\x" in target else target, octets


def _from_hex(text):
    return bytes.fromhex(text.replace(b"\\x", b"").decode())


def require_silent_calls(log, port, watch):
    """Require that no number is written but by the decryptor to us and by us to the vault."""
    decryptors, allowed, other, calls = set(), [], [], 0
    for process, name, target, octets in traced_calls(log):
        calls += 1
        if name == b"execve" and b"decryptor.child" in octets:
            decryptors.add(process)
        to_vault = target.startswith(b"TCP") and f"->127.0.0.1:{port}]".encode() in target
        to_us = process in decryptors and target.startswith(b"pipe:")
        # The decryptor's second pipe holds its verdict only.
        if to_vault or (to_us and not octets.startswith(b'{"verdict"')):
            allowed.append(octets)
        else:
            other.append(b"[" + name + b" " + target + b"]" + octets)

    assert calls > 100
    assert decryptors
    # The detector works: what goes to the vault and comes from the decryptor is seen.
    assert watch.in_bytes(b"\n".join(allowed)) != []
    assert watch.in_bytes(b"\n".join(other)) == []


def port_of(vault):
    return vault.address[1]


def test_no_writing_call_holds_a_number(tmp_path, tmp_path_factory):
    """A run with failures, lost answers, retries and refusals writes no number anywhere."""
    work, log = tmp_path / "work", tmp_path / "strace"
    work.mkdir()
    with faulty_vault(tmp_path_factory.mktemp("vault")) as vault:
        done, codes, good, bad = forced(work, vault, ["talk"], seed=12, before=strace_command(log))
        port = port_of(vault)

    watch = Watch(good + bad)
    require_silent_calls(log, port, watch)
    require_no_leak(work, done, codes, watch)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS_MAX + 60)
def test_no_writing_call_holds_a_number_whatever_fails(tmp_path, tmp_path_factory):
    """The same with every border made to fail."""
    work, log = tmp_path / "work", tmp_path / "strace"
    work.mkdir()
    with faulty_vault(tmp_path_factory.mktemp("vault")) as vault:
        done, codes, good, bad = forced(
            work, vault, [*BORDERS, *SPECIAL], seed=13, before=strace_command(log)
        )
        port = port_of(vault)

    watch = Watch(good + bad)
    require_silent_calls(log, port, watch)
    require_no_leak(work, done, codes, watch)


def test_the_watch_sees_every_writing_of_a_number():
    """A detector that sees nothing would make every test here pass."""
    number = card_number(Random(3))
    watch = Watch([number])
    texts = [base64.b64encode(b"abc"[:at] + number.encode() + b"xyz") for at in range(3)]
    texts += [number.encode("utf-16"), json.dumps({"n": number}).encode()]
    texts += [number.encode().hex().encode(), f"{number[:4]} {number[4:8]} ".encode() * 2]

    assert [True] * 6 + [False] == [bool(watch.in_bytes(text)) for text in texts]
    assert watch.in_bytes(b"4242424242424242") == []
