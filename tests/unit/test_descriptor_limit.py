"""Descriptors: as many as connections may need, or a word before anything is sent."""

import resource
import subprocess
import sys

import pytest

from pipeline.descriptor_limit import RESERVED

CODE = """
import resource, sys
from pipeline.descriptor_limit import require_descriptors
from pipeline.errors import SettingsRefused
try:
    require_descriptors(int(sys.argv[1]))
except SettingsRefused as refused:
    print("refused", "flow.in_flight_max" in str(refused))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def after(connections, *, soft, hard):
    """Give what a process with these limits says and what its limit is afterwards."""
    ended = subprocess.run(
        [sys.executable, "-c", CODE, str(connections)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
    )
    return ended.stdout.split("\n")[:-1]


@pytest.mark.parametrize(("connections", "limit"), [(8, 256), (160, 256), (161, 257), (928, 1024)])
def test_the_soft_limit_is_raised_as_far_as_needed(connections, limit):
    """The operator's shell allows 256; the machine allows more, and as much as needed is taken."""
    assert 160 == 256 - RESERVED
    assert [str(limit)] == after(connections, soft=256, hard=1024)


def test_what_cannot_fit_is_refused_before_anything_is_sent():
    """More connections than descriptors is a setting that this machine cannot keep."""
    assert ["refused True", "256"] == after(929, soft=256, hard=1024)
