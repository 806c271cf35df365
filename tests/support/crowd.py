"""Measures how fast this machine is and how much of it we get, for bounds on time."""

import functools
import os
import time

_SAMPLE_S = 0.02


@functools.cache
def work_s() -> float:
    """Give the processor time of a fixed piece of work, some 0.05 s of an ordinary machine."""
    began = time.process_time()
    sum(number * number for number in range(1_000_000))
    return time.process_time() - began


def crowd() -> float:
    """Give how many times slower than alone we are: by the load, and by a sample of work.

    The load counts who waits; the sample sees what a low priority costs beside busy neighbours.
    """
    began, worked = time.monotonic(), time.process_time()
    while time.process_time() - worked < _SAMPLE_S:
        pass
    share = (time.monotonic() - began) / _SAMPLE_S
    return max(1.0, share, os.getloadavg()[0] / (os.cpu_count() or 1))
