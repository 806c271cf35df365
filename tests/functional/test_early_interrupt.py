"""SIGINT while a command is still being loaded."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.commands import ROOT
from tests.support.sampled import slow


@pytest.mark.parametrize("after_s", [0.03, slow(0.06), 0.1, slow(0.15), 0.25, slow(0.4)])
def test_an_interrupt_during_loading_shows_nothing_of_python(tmp_path, after_s):
    """Whenever it comes, the command ends with 130 and without a traceback."""
    ready = tmp_path / "ready"
    # The interpreter's own start is Python's; ours begins where the package is imported.
    # Tests in the background of a shell inherit that SIGINT is ignored, which a command keeps to.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"from pipeline.__main__ import main; open({str(ready)!r}, 'w').close(); main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, "sandbox", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        while not ready.exists():
            time.sleep(0.001)
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)

    # The sandbox that was up by then ends well when it is interrupted.
    assert process.returncode in {0, 130}, said
    assert "Traceback" not in said[1]
    assert "KeyboardInterrupt" not in said[1]
