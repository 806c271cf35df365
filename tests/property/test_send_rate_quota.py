"""What the pace makes of a vault's quota, in virtual time (issue 5's marks)."""

from __future__ import annotations

import pytest

from pipeline.vault.flow.send_rate import FLOOR_PER_S, AdaptiveRate
from tests.support.quota_vault import drive
from tests.support.sampled import sampled

SEEDS = (1, 2, 3)
JITTERS_S = (0.0, 0.003, 0.01)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("jitter_s", JITTERS_S)
@pytest.mark.parametrize("in_flight", [8, 64])
def test_a_known_quota_is_used_and_never_exceeded(seed, jitter_s, in_flight):
    """At 50 a second allowed and taken: 97 % used, no 429, no second with more than rate + 2."""
    traffic = drive(
        AdaptiveRate(50), [(0, 50)], 65, seed=seed, jitter_s=jitter_s, in_flight=in_flight
    )

    assert 0.97 <= traffic.goodput(5, 65)
    assert [] == traffic.refused
    assert 52 >= traffic.most_in_a_second()


@pytest.mark.parametrize(
    ("seed", "jitter_s", "quota", "goodput", "refused"),
    sampled(
        [
            (seed, jitter_s, *wanted)
            for wanted in ((20, 0.92, 0.03), (100, 0.92, 0.03), (3, 0.80, 0.08))
            for jitter_s in JITTERS_S
            for seed in SEEDS
        ],
        4,
    ),
)
def test_a_hidden_quota_is_found(seed, jitter_s, quota, goodput, refused):
    """After half a minute the hidden quota is used, and little is refused."""
    traffic = drive(AdaptiveRate(500), [(0, quota)], 150, seed=seed, jitter_s=jitter_s)

    assert goodput <= traffic.goodput(30, 150)
    assert refused >= traffic.refused_share(30, 150)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("quota", "goodput"), [(3, 0.83), (5, 0.80), (10, 0.72)])
def test_a_machine_that_is_late_does_not_waste_a_low_quota(seed, quota, goodput):
    """Sends late by up to 50 ms stay an interval apart, where the vault has room for one."""
    traffic = drive(AdaptiveRate(500), [(0, quota)], 150, seed=seed, jitter_s=0.05)

    assert goodput <= traffic.goodput(30, 150)
    assert 0.08 >= traffic.refused_share(30, 150)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("quota", [3, 20])
def test_a_ceiling_far_too_high_is_given_up_quickly(seed, quota):
    """The way down from 500 a second to a hidden quota costs at most a hundred refusals."""
    traffic = drive(AdaptiveRate(500), [(0, quota)], 30, seed=seed)

    assert 100 >= len(traffic.refused)
    assert 0.8 <= traffic.goodput(5, 30)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("quota", "goodput", "refused"), [(20, 0.92, 0.03), (3, 0.80, 0.08)])
def test_a_vault_that_answers_late_is_not_refused_more_often(seed, quota, goodput, refused):
    """When a refusal is known only a second later, the way back is longer: same marks."""
    traffic = drive(AdaptiveRate(500), [(0, quota)], 210, seed=seed, latency_s=1.0, in_flight=256)

    assert goodput <= traffic.goodput(60, 210)
    assert refused >= traffic.refused_share(60, 210)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("jitter_s", JITTERS_S)
def test_a_quota_that_moves_is_followed(seed, jitter_s):
    """When the quota goes 20, 5, 40, two minutes each, 88 % of it is used and 4 % refused."""
    quotas = [(0, 20), (150, 5), (270, 40)]
    traffic = drive(AdaptiveRate(500), quotas, 390, seed=seed, jitter_s=jitter_s)

    assert 0.88 <= traffic.goodput(30, 390)
    assert 0.04 >= traffic.refused_share(30, 390)


@pytest.mark.parametrize("seed", SEEDS)
def test_half_an_hour_of_very_low_quotas(seed):
    """At 3, then 10, then 0.5 a second without a hint: 85 % used, 5 % refused."""
    quotas = [(0, 3), (600, 10), (1200, 0.5)]
    traffic = drive(AdaptiveRate(500), quotas, 1800, seed=seed)

    assert 0.85 <= traffic.goodput(30, 1800)
    assert 0.05 >= traffic.refused_share(30, 1800)


@pytest.mark.parametrize("retry_after_s", [0.5, 1, 7])
def test_nothing_is_sent_before_the_vault_allows(retry_after_s):
    """After each refusal with a Retry-After, no send leaves before its instant."""
    traffic = drive(
        AdaptiveRate(500),
        [(0, 20)],
        90,
        retry_after_s=retry_after_s,
        latency_s=0.02,
        jitter_s=0.002,
    )

    assert traffic.refused
    for at in traffic.refused:
        told = at + 0.01

        assert not [sent for sent in traffic.sends if told < sent < told + retry_after_s]


def test_an_endless_refusal_ends_at_the_floor():
    """However long a vault refuses, a send every five seconds keeps asking, and not more."""
    pace = AdaptiveRate(100)
    traffic = drive(pace, [(0, 1e-9)], 600)
    late = [at for at in traffic.sends if at > 300]

    assert FLOOR_PER_S == pytest.approx(pace.rate_per_s, rel=0.4)
    assert 300 * FLOOR_PER_S == pytest.approx(len(late), rel=0.4)


def test_the_level_found_is_where_the_next_run_starts():
    """A run that begins at an earlier run's level is refused no more than a settled one."""
    first = AdaptiveRate(500)
    drive(first, [(0, 20)], 60)
    second = drive(AdaptiveRate(500, start_per_s=first.good_per_s), [(0, 20)], 60)

    assert 0.9 <= second.goodput(0, 60)
    assert 0.04 >= second.refused_share(0, 60)
