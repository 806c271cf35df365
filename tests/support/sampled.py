"""Thins out tables of cases: a few always run, the others only where slow tests are asked for."""

import os

import pytest

THOROUGH = "CARDFERRY_THOROUGH_TESTS"


def examples(count):
    """Give how many examples to try: a third of the number where slow tests are left out."""
    return count if os.environ.get(THOROUGH) else count // 3


def slow(*values):
    """Give a case that runs only with the slow tests."""
    return pytest.param(*values, marks=pytest.mark.slow)


def one_of_each(cases, kind):
    """Give all cases; but for the first of each kind, they are slow."""
    seen = set()
    return [
        case if kind(case) not in seen and not seen.add(kind(case)) else slow(case)
        for case in cases
    ]


def sampled(cases, every, first=0):
    """Give all cases; but for each so many-th, from the first that is named on, they are slow."""
    return [
        case if place % every == first else slow(*(case if isinstance(case, tuple) else (case,)))
        for place, case in enumerate(cases)
    ]
