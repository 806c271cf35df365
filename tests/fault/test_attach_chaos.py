"""Runs that attach are killed again and again while both hosts misbehave; the vault's journal judges."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter

import httpx
import pyarrow.parquet as pq
import pytest

from pipeline.sandbox.assumptions import read_assumptions
from tests.support.attach_runs import HastyClock, attaching, cards

VAULT = "D=0.05 T=0.05 R=0.05 5=0.04 3=0.03 9=0.02 Z=0.06"
API = "D=0.06 T=0.04 R=0.04 5=0.03 3=0.02 9=0.01 J=0.02 Z=0.06"
"""A good quarter of the answers is wrong or lost, one in twenty is done late."""

RUNS_MAX = 60


def carried(work):
    """Run in a child process; give its number and, for whoever waits, how it ended."""
    child = os.fork()
    if child:
        return child
    try:
        ending = work.run(clock=HastyClock())
        os._exit(ending.exit_code)
    except BaseException:  # noqa: BLE001 - nothing of the child may go on.
        os._exit(99)


def chaos(folder, seed, *, count, customers, kills, life):
    """Carry cards through kills to the end; give the migration."""
    dice = random.Random(seed)
    owners = [f"c{place % customers}" for place in range(count)]
    dice.shuffle(owners)
    options = {
        "faults": f"seed={seed} {VAULT}",
        "api_faults": f"seed={seed + 1} {API}",
        "late_s": 0.1,
        "assume": read_assumptions((f"token_life_s={life}",)),
    }
    flow = ("flow.in_flight_max=16", "flow.attempts_max=20", "vault.read_timeout_s=1")
    with attaching(folder, *flow, **options) as work:
        work.export(cards(*owners[: count // 2]))
        work.export(cards(*owners[count // 2 :], first=1 + count // 2))
        killed = 0
        for _ in range(kills + RUNS_MAX):
            child = carried(work)
            if killed < kills:
                time.sleep(dice.uniform(0.3, 1.5))
                os.kill(child, signal.SIGKILL)
                killed += 1
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code in {0, 3}:
                break
            assert code in {4, -signal.SIGKILL}, code
        judge(work)
        return killed


def owner_of(work, customer):
    """Give whose customer it is, by what it was made with; asked until the storm lets it through."""
    while True:
        try:
            return work.customer(customer)["metadata"]["legacy_customer_id"]
        except (httpx.TransportError, KeyError, ValueError):
            continue


def judge(work):
    """Compare what the vault's journal says was made with what the outputs name."""
    at_the_vault, mapped = work.at_the_vault(), work.mapped()
    failures = pq.read_table(work.out / "failures.parquet").to_pylist()
    named = {row["card_id"] for row in failures if row["stage"] == "attach"}
    unnamed = {card for _, card in at_the_vault - mapped} - named
    figures = work.report()["attach"]
    owners = Counter(
        owner_of(work, customer) for customer in {customer for customer, _ in at_the_vault}
    )

    assert mapped <= at_the_vault
    assert len({card for _, card in mapped}) == len(work.mapping())
    assert [owner for owner, times in owners.items() if times > 1] == []
    assert unnamed == set()
    assert len(at_the_vault - mapped) <= figures["unseen_cards_max"]
    assert figures["unattached"] == 0
    assert work.report()["balance"]["difference"] == 0


def test_a_storm_with_kills_ends_with_the_truth(tmp_path):
    """A small one for every day."""
    chaos(tmp_path, 7, count=40, customers=25, kills=4, life=0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(20))
def test_chaos_loses_no_card_and_makes_no_customer_twice(tmp_path, seed):
    """Two thousand cards on 1,300 customers, forty kills; tokens live two seconds in half of them."""
    life = 2 if seed % 2 else 0
    assert chaos(tmp_path, seed, count=2000, customers=1300, kills=40, life=life) > 0
