"""Runs in the process that holds the key: reads sealed bytes, writes plain ones and an answer beside.

It is short-lived on purpose. A key or a card number in its memory goes when it goes, which is
more than any wiping in Python can promise. Imports are few, so that it starts fast.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
from typing import Final

from pipeline.exports.decryptor.protocol import LACKS, Answer, Request
from pipeline.exports.verdict import Refused, Verdict

_PR_SET_DUMPABLE: Final = 4
_KEY_BYTES_MAX: Final = 16 * 2**20


def main(request_fd: int, answer_fd: int) -> None:
    """Open one export and leave.

    Args:
        request_fd: A pipe that holds an encoded `Request`, read to its end.
        answer_fd: A pipe that takes the encoded `Answer`, written once, before stdout closes.
    """
    harden()
    with open(request_fd, "rb") as asking:
        request = Request.decoded(asking.read())
    answer = answer_to(request)
    os.write(answer_fd, answer.encoded())
    os.close(answer_fd)


def harden() -> None:
    """Keep other processes and core files away from this one's memory."""
    os.umask(0o077)
    _keep_core_limit_low()
    # exec makes a process dumpable again, so the parent cannot do this for us.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _keep_core_limit_low() -> None:
    """Lower the limit of core files to 1 byte at most; gpg inherits it.

    Not to 0: a piped core_pattern ignores 0 but honours 1, and no file of one byte is ever
    written either (core(5)). A parent that allowed less keeps its word.
    """
    limit = min((each for each in resource.getrlimit(resource.RLIMIT_CORE) if each >= 0), default=1)
    resource.setrlimit(resource.RLIMIT_CORE, (min(limit, 1), min(limit, 1)))


def answer_to(request: Request) -> Answer:
    """Decrypt stdin to stdout and say how it ended; nothing that happens here escapes."""
    try:
        return _engine(request)
    except Refused as refused:
        return Answer(refused.verdict)
    except MemoryError:
        return Answer(Verdict.DECRYPTOR_DIED, lack=errno.ENOMEM)
    except BaseException as trouble:  # noqa: BLE001 - a Rust panic is no Exception; its text may hold data.
        # A machine that has no process for gpg says nothing of the export.
        number = getattr(trouble, "errno", None)
        if number in LACKS:
            return Answer(Verdict.DECRYPTOR_DIED, lack=number)
        return Answer(Verdict.DAMAGED)


def _engine(request: Request) -> Answer:
    key = _key(request.key_fd)
    if request.engine in {"age", "age_passphrase"}:
        from pipeline.exports.decryptor.age import open_age  # noqa: PLC0415 - one engine a process.

        return open_age(request, key)
    if request.engine == "gpg":
        from pipeline.exports.decryptor.gpg import open_with_gpg  # noqa: PLC0415

        return open_with_gpg(request, key)
    if request.engine == "lines":
        from pipeline.exports.decryptor.lines import open_lines  # noqa: PLC0415

        return open_lines(request, key)
    if request.engine == "jwe":
        from pipeline.exports.decryptor.jwe import open_values  # noqa: PLC0415

        return open_values(key)
    from pipeline.exports.decryptor.sequoia import open_with_sequoia  # noqa: PLC0415

    return open_with_sequoia(request, key)


def _key(descriptor: int | None) -> bytes:
    if descriptor is None:
        return b""
    # Each child gets a copy of one descriptor, position included: read by offset.
    return os.pread(descriptor, _KEY_BYTES_MAX, 0)
