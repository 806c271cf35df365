"""Keeps this process out of dumps, debuggers and swap, and reports which guards held.

Each guard is tried, none is required: a container may forbid any of them, and the audit report
says which of them held. None of them makes Python erase anything.

Sources: prctl(2), mlockall(2), core(5), getrlimit(2).
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import sys
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_GET_NO_NEW_PRIVS: Final = 39
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_MCL_ONFAULT: Final = 4
_CAP_IPC_LOCK: Final = 14
_PRIVATE_UMASK: Final = 0o077

_LEAKY_VARIABLES: Final = (
    "SSLKEYLOGFILE",  # Writes the keys of every TLS session.
    "HTTPX_LOG_LEVEL",  # Old httpx: prints requests.
    "PYTHONASYNCIODEBUG",  # Prints coroutines with their arguments.
    "PYTHONDEVMODE",  # Switches asyncio's debugging on.
    "PYTHONDUMPREFS",  # Debug builds print every living object at exit.
    "PYTHONDUMPREFSFILE",  # The same, into a file.
    "PYTHONINSPECT",  # Leaves a prompt that can see every variable.
)


class MemoryLock(StrEnum):
    """What became of locking memory against swap."""

    LOCKED = "locked"
    LIMITED = "limited"
    """The memlock limit is finite: locking would make later allocations fail."""
    FAILED = "failed"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class GuardReport:
    """Which guards held, as `harden` found them after trying."""

    not_dumpable: bool
    no_core_file: bool
    memory_lock: MemoryLock
    swap_present: bool | None
    private_umask: bool
    no_new_privileges: bool

    def as_dict(self) -> dict[str, bool | str | None]:
        """Give the report as plain values, for `report.json`."""
        return {name: getattr(value, "value", value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """Who runs this, where and with what (PCI DSS 10.2.2: who, where from)."""

    user: str
    login_user: str | None
    host: str
    pid: int
    python: str
    terminal: bool
    scheduler: str | None


def harden() -> GuardReport:
    """Try every guard on this process and say which held; never raises.

    A guard lasts until `execve`, which makes a process dumpable again: every child that sees
    card numbers calls this itself.
    """
    os.umask(_PRIVATE_UMASK)
    _forbid_core_files()
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    return GuardReport(
        not_dumpable=_prctl(_PR_GET_DUMPABLE) == 0,
        no_core_file=resource.getrlimit(resource.RLIMIT_CORE)[0] <= 1,
        memory_lock=_lock_memory(),
        swap_present=_swap_present(),
        private_umask=True,
        no_new_privileges=_prctl(_PR_GET_NO_NEW_PRIVS) == 1,
    )


def leaky_environment(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Give the names of the variables set here that make Python or TLS write secrets down."""
    return tuple(name for name in _LEAKY_VARIABLES if environment.get(name))


def system_facts(environment: Mapping[str, str] = os.environ) -> SystemFacts:
    """Give who runs this process, where, and whether a scheduler seems to have started it."""
    return SystemFacts(
        user=_user_name(os.geteuid()),
        login_user=_login_user(environment),
        host=socket.gethostname(),
        pid=os.getpid(),
        python=".".join(str(part) for part in sys.version_info[:3]),
        terminal=os.isatty(0),
        scheduler=_scheduler(environment),
    )


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, argument: int = 0) -> int:
    """Call prctl(2); -1 where it fails or does not exist."""
    try:
        return int(_libc().prctl(option, *(ctypes.c_ulong(part) for part in (argument, 0, 0, 0))))
    except AttributeError:
        return -1


def _forbid_core_files() -> None:
    # A piped core_pattern ignores a limit of 0 but honours 1 (core(5)); no file of one byte is
    # ever written either. Children that `execve` are dumpable again, but inherit this limit.
    limit = 1 if _read("/proc/sys/kernel/core_pattern").startswith("|") else 0
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def _lock_memory() -> MemoryLock:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    # With MCL_FUTURE every later mapping counts against a finite limit, touched or not, and an
    # allocation in the middle of a run would fail.
    if soft != resource.RLIM_INFINITY and not _may_lock_without_limit():
        return MemoryLock.LIMITED
    # MCL_ONFAULT locks what is touched. Without it, locking makes every reserved page resident:
    # 1,382 MB instead of 175 MB once pandas and pyarrow had written one small file.
    try:
        answer = _libc().mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)
    except AttributeError:
        return MemoryLock.UNSUPPORTED
    return MemoryLock.LOCKED if answer == 0 else MemoryLock.FAILED


def _may_lock_without_limit() -> bool:
    for line in _read("/proc/self/status").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_IPC_LOCK & 1)
    return False


def _swap_present() -> bool | None:
    lines = _read("/proc/swaps").splitlines()
    return len(lines) > 1 if lines else None


def _user_name(user_id: int) -> str:
    import pwd  # noqa: PLC0415 - absent on systems without Unix accounts.

    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)


def _login_user(environment: Mapping[str, str]) -> str | None:
    """Give who logged in before becoming this user: the kernel's audit id, else sudo's word."""
    login_id = _read("/proc/self/loginuid").strip()
    unset = str(2**32 - 1)
    if login_id.isdecimal() and login_id != unset:
        return _user_name(int(login_id))
    return environment.get("SUDO_USER") or None


def _scheduler(environment: Mapping[str, str]) -> str | None:
    if environment.get("INVOCATION_ID"):
        return "systemd"
    parent = _read(f"/proc/{os.getppid()}/comm").strip()
    return "cron" if parent in {"cron", "crond"} else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
