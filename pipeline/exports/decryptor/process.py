"""Starts the decrypting process, feeds it sealed blocks and takes plain ones from it.

The child holds the key; this side feeds it from a thread, reads what it gives, and ends it.
Nothing plain touches a disk: request, ciphertext, plain bytes and answer are four pipes. When
this process dies, however it dies, the pipes close and the child ends by itself; a parent-death
signal would not do, because it follows the thread that started the child.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from pipeline.child_process import no_process
from pipeline.exports.decryptor.protocol import ANSWER_BYTES_MAX, Answer
from pipeline.exports.verdict import Refused, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.exports.decryptor.protocol import Request

READ_BYTES: Final = 2**18
_PIPE_BYTES: Final = 2**20
_GRACE_S: Final = 3.0
_PACKAGE_PARENT: Final = str(Path(__file__).resolve().parents[3])
_START: Final = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from pipeline.exports.decryptor.child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_KEPT_ENVIRONMENT: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TERM", "DISPLAY", "XAUTHORITY"),
    *("GNUPGHOME", "GPG_TTY", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "LD_LIBRARY_PATH"),
    *("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"),  # Our suite measures the child too.
)
"""What the child needs of our environment; the vault's keys are not among it."""


class Decryptor:
    """One decryption under way.

    Args:
        request: What to do; its `key_fd` is inherited by the child.
        ciphertext: Blocks, read in a thread of ours; what it raises, `read` and `end` raise.
        stall_s: Seconds without a plain byte, while we wait for one, after which the child
            counts as hung.

    Raises:
        LocalStorageFailed: This machine cannot start a child now.
    """

    def __init__(self, request: Request, ciphertext: Iterator[bytes], *, stall_s: float) -> None:
        self._stall_s = stall_s
        self._clears_up = request.home is not None
        self._stopping = False
        self._fed = 0
        self._trouble: BaseException | None = None
        with ExitStack() as stack:
            stack.enter_context(_no_child())
            pipes = [stack.enter_context(closing(_Pipe())) for _ in range(4)]
            self._asking, self._sealed, self._plain, self._answer = pipes
            self._child = _spawn(request.key_fd, *pipes)
            stack.pop_all()
        self._feeder = threading.Thread(
            target=self._feed, args=(request.encoded(), ciphertext), daemon=True, name="feeder"
        )
        self._feeder.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def fed(self) -> int:
        """Ciphertext bytes handed over so far."""
        return self._fed

    def read(self) -> bytes:
        """Give the next plain bytes; none at the end.

        Raises:
            Refused: `DECRYPTOR_STALLED`, or what stopped the feeding: `CHANGED`, `STILL_WRITTEN`.
            LocalStorageFailed: The disk refused a read of the ciphertext.
        """
        if not self._plain.readable(self._stall_s):
            raise Refused(Verdict.DECRYPTOR_STALLED)
        block = os.read(self._plain.read_end, READ_BYTES)
        if self._trouble is not None:
            raise self._trouble
        return block

    def end(self) -> Answer:
        """Give the child's answer after `read` gave its last bytes.

        Raises:
            Refused: `DECRYPTOR_DIED`, `DECRYPTOR_STALLED`, or what stopped the feeding.
            LocalStorageFailed: The disk refused a read of the ciphertext, or the child lacked what
                this machine has to give.
        """
        written = self._answer.readable(self._stall_s)
        raw = os.read(self._answer.read_end, ANSWER_BYTES_MAX) if written else b""
        try:
            status = self._child.wait(self._stall_s)
        except subprocess.TimeoutExpired:
            raise Refused(Verdict.DECRYPTOR_STALLED) from None
        self._feeder.join()
        if self._trouble is not None:
            raise self._trouble
        answer = Answer.decoded(raw)
        if answer is None or status != 0:
            raise Refused(Verdict.DECRYPTOR_DIED)
        if answer.lack is not None:
            raise no_process(answer.lack)
        return answer

    def stop(self) -> None:
        """End the child and the thread, whatever they are doing; stopping twice is fine."""
        self._stopping = True
        self._plain.close()
        if self._clears_up and self._child.returncode is None:
            # gpg's private folder is the child's to clear; the closed pipe tells it to end.
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(_GRACE_S)
        self._kill()
        self._feeder.join()
        self._answer.close()

    def _kill(self) -> None:
        if self._child.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()

    def _feed(self, request: bytes, ciphertext: Iterator[bytes]) -> None:
        """Hand over the request and every block; a child that ended early is no trouble here."""
        try:
            with suppress(BrokenPipeError):
                self._asking.write_all(request)
                self._asking.close()
                for block in ciphertext:
                    if self._stopping:
                        break
                    # Counted first: the child may unpack a block before the write returns.
                    self._fed += len(block)
                    self._sealed.write_all(block)
        except BaseException as trouble:  # noqa: BLE001 - raised again where it can be heard.
            self._trouble = trouble
            # The child must not take our silence for the end of the file.
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
        finally:
            self._asking.close()
            self._sealed.close()


class _Pipe:
    """A pipe whose ends close by themselves in a child and at most once here."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe2(os.O_CLOEXEC)

    def readable(self, timeout_s: float) -> bool:
        """Wait for bytes or the end; poll, because select stops at descriptor 1023."""
        poll = select.poll()
        poll.register(self.read_end, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def write_all(self, octets: bytes) -> None:
        left = memoryview(octets)
        while left:
            left = left[os.write(self.write_end, left) :]

    def widen(self) -> None:
        """Let more bytes lie in the pipe; a kernel that has no room for that may refuse."""
        with suppress(OSError):
            fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def close_read(self) -> None:
        if self.read_end >= 0:
            os.close(self.read_end)
            self.read_end = -1

    def close_write(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def close(self) -> None:
        self.close_read()
        self.close_write()


@contextmanager
def _no_child() -> Iterator[None]:
    """Say it where the system has no process, memory or descriptor left for a child."""
    try:
        yield
    except OSError as trouble:
        raise no_process(trouble.errno) from None


def _spawn(
    key_fd: int | None, asking: _Pipe, sealed: _Pipe, plain: _Pipe, answer: _Pipe
) -> subprocess.Popen[bytes]:
    """Start the child and keep only our ends of the pipes."""
    for pipe in (sealed, plain):
        pipe.widen()
    inherited = [asking.read_end, answer.write_end]
    arguments = [_PACKAGE_PARENT, *map(str, inherited)]
    child = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module, no shell.
        [sys.executable, "-I", "-c", _START, *arguments],
        stdin=sealed.read_end,
        stdout=plain.write_end,
        stderr=subprocess.DEVNULL,  # What libraries print there may hold plain bytes.
        pass_fds=[*inherited, *([] if key_fd is None else [key_fd])],
        start_new_session=True,  # A Ctrl-C in the terminal is ours to judge, not the child's.
        cwd="/",
        env={name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
    )
    for pipe in (asking, sealed):
        pipe.close_read()
    for pipe in (plain, answer):
        pipe.close_write()
    return child
