"""Measures how much slower than alone this machine lets us be, for bounds on wall-clock time."""

import os
import time

_SAMPLE_S = 0.02


def crowd() -> float:
    """Give how many times slower than alone we are: by the load, and by a sample of work.

    The load counts who waits; the sample sees what a low priority costs beside busy neighbours.
    """
    began, worked = time.monotonic(), time.process_time()
    while time.process_time() - worked < _SAMPLE_S:
        pass
    share = (time.monotonic() - began) / _SAMPLE_S
    return max(1.0, share, os.getloadavg()[0] / (os.cpu_count() or 1))
