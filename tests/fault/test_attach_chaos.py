"""Runs that attach are killed again and again while both hosts misbehave; the vault's journal judges."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter, defaultdict
from contextlib import suppress

import httpx
import pyarrow.parquet as pq
import pytest

from tests.support.attach_runs import AttachRun, cards
from tests.support.sandbox import spawned

VAULT = "D=0.05 T=0.05 R=0.05 5=0.04 3=0.03 9=0.02 Z=0.06"
API = "D=0.06 T=0.04 R=0.04 5=0.03 3=0.02 9=0.01 J=0.02 Z=0.06"
"""A good quarter of the answers is wrong or lost, one in twenty is done late."""

RUNS_MAX = 60
PATIENCE_S = 60
HURRY = {"hook": "tests.support.hooks:hurry"}


def chaos(folder, seed, *, count, customers, kills, life):
    """Carry cards through so many kills to the end, and the held ones after them; then judge."""
    dice = random.Random(seed)
    faults = ("--faults", f"seed={seed} {VAULT}", "--faults-api", f"seed={seed + 1} {API}")
    late = ("--late-s", "0.1", "--assume", f"token_life_s={life}")
    flow = ("flow.in_flight_max=16", "vault.read_timeout_s=1")
    with spawned(*faults, *late, journal=folder / "journal") as vault:
        work = AttachRun(folder, vault, list(flow))
        owners = drawn_owners(vault, dice, count, customers)
        work.export(cards(*owners[: count // 2]))
        work.export(cards(*owners[count // 2 :], first=1 + count // 2))
        killed = 0
        for number in range(kills):
            killed += kill_in_the_middle(work, dice, 4 * count // (kills + 1))
            if number % 5 == 4:
                check_bound(work)
        carry_to_the_end(work)
        # What is held is carried again on the operator's word, until nothing is.
        carry_to_the_end(work, "--held", command="retry")
        carry_to_the_end(work, "--all", command="readback")
        judge(work, owners)
    assert killed > 0


def drawn_owners(vault, dice, count, customers):
    """Give whose each card is: every tenth customer is there before, every fifth card flagged."""
    given = {}
    for number in range(0, customers, 10):
        while number not in given:
            with suppress(httpx.TransportError, KeyError, ValueError):
                given[number] = vault.request("POST", "/customers", json={}).json()["id"]
    numbers = [place % customers for place in range(count)]
    dice.shuffle(numbers)
    return [(f"c{n}", given.get(n, ""), "1" if dice.random() < 0.2 else "") for n in numbers]


def carry_to_the_end(work, *options, **command):
    """Run a command again and again until it has nothing left to do that it can do."""
    for _ in range(RUNS_MAX):
        ended = work.start(*options, **command, **HURRY).wait(300)
        assert ended.code in {0, 3, 4}, ended.said
        # What the storm left unread, or unsent, is for the same command.
        if ended.code == 0 or (ended.code == 3 and not options):
            return
    raise AssertionError(ended.said)


def check_bound(work):
    """See that no more cards are at the vault unseen than V says, by what the journal has now."""
    ended = work.start(command="status").wait()
    attach = json.loads(ended.said)["attach"]
    seen = attach["attached"] + attach["superseded"]
    assert len(work.made()) - seen <= attach["unseen_cards_max"]


def kill_in_the_middle(work, dice, lines):
    """Start a run and kill it when the vault has done some more, or at any moment of its start.

    Returns:
        Whether the kill came before the run's own end.
    """
    started = work.start(**HURRY)
    if dice.random() < 0.1:
        time.sleep(dice.uniform(0, 0.5))
    else:
        wait_for_more(work.sandbox.journal, dice.randint(1, max(lines, 1)), started)
        time.sleep(dice.uniform(0, 0.02))
    started.signal(signal.SIGKILL)
    ended = started.wait()
    assert ended.code in {-signal.SIGKILL, 0, 3, 4}, ended.said
    return ended.killed


def wait_for_more(journal, lines, started):
    """Wait until the journal has so many lines more, or the run has ended."""
    first = journal.stat().st_size
    wanted = first + 150 * lines
    deadline = time.monotonic() + PATIENCE_S
    while journal.stat().st_size < wanted and not started.has_ended():
        assert time.monotonic() < deadline, "the vault had nothing more to do"
        time.sleep(0.002)


def judge(work, owners):
    """Compare what the vault's journal says was made with what the outputs name."""
    made = work.made()
    mapping = {row["legacy_id"]: row for row in work.mapping()}
    failures = pq.read_table(work.out / "failures.parquet").to_pylist()
    customers = defaultdict(set)
    for place, customer, _ in made:
        owner, given, _ = owners[place - 1]
        customers[owner] |= {customer, given or customer}
    at_the_vault = {(f"id-{place}", customer, card) for place, customer, card in made}
    mapped = {(name, row["customer_id"], row["card_id"]) for name, row in mapping.items()}
    named = {row["card_id"] for row in failures if row["stage"] == "attach"}
    unseen = at_the_vault - mapped
    attach = work.report()["attach"]
    codes = Counter(row["code"] for row in failures)
    print(
        f"{len(owners)} cards: {len(mapped)} mapped, failures {dict(codes)}, "
        f"{len(unseen)} cards not seen, V {attach['unseen_cards_max']}"
    )

    legacy_ids = {f"id-{n}" for n in range(1, 1 + len(owners))}
    assert set(mapping) | {row["legacy_id"] for row in failures} == legacy_ids
    assert set(mapping).isdisjoint(row["legacy_id"] for row in failures)
    assert mapped <= at_the_vault
    assert {owner: ids for owner, ids in customers.items() if len(ids) > 1} == {}
    assert {card for *_, card in unseen} <= named
    assert len(unseen) == attach["unseen_cards_max"]
    assert attach["unattached"] == 0
    assert work.report()["balance"]["difference"] == 0


def test_a_storm_with_kills_ends_with_the_truth(tmp_path):
    """A small one for every day."""
    chaos(tmp_path, 7, count=24, customers=15, kills=2, life=0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(20))
def test_chaos_loses_no_card_and_makes_no_customer_twice(tmp_path, seed):
    """Two thousand cards on 1,300 customers, forty kills; tokens live two seconds in half of them."""
    life = 2 if seed % 2 else 0
    chaos(tmp_path, seed, count=2000, customers=1300, kills=40, life=life)
