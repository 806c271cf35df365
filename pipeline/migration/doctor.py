"""Tries what a night needs of this machine: folder, room, descriptors, memory guards.

Nothing stays on the disk.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.counts import counted
from pipeline.descriptor_limit import require_descriptors
from pipeline.errors import LocalStorageFailed, SettingsRefused
from pipeline.ledger.reserve import LEDGER_BYTES_A_ROW, OUTPUT_BYTES_A_ROW
from pipeline.migration.doctor_findings import failed, ok, warning
from pipeline.process_guards import MemoryLock, leaky_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config.models import Settings
    from pipeline.migration.doctor_findings import DoctorFinding
    from pipeline.process_guards import GuardReport

_FAR: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "fuse.s3fs", "ceph", "glusterfs"}
)
"""File systems whose locks and syncs a ledger cannot rely on."""


def machine_findings(
    settings: Settings, folder: Path, guards: GuardReport
) -> Iterator[DoctorFinding]:
    """Try what needs no network: folder, room, descriptors, guards.

    Args:
        settings: The settings in force.
        folder: The migration folder; where it is not there yet, the folder around it is tried.
        guards: Which memory guards hold in this process.
    """
    yield from _folder(folder)
    try:
        require_descriptors(settings.flow.in_flight_max)
        yield ok("descriptors", f"enough for {counted(settings.flow.in_flight_max, 'connection')}")
    except SettingsRefused as trouble:
        yield failed("descriptors", trouble)
    yield _guards(guards)


def _folder(folder: Path) -> Iterator[DoctorFinding]:
    place = next(p for p in (folder, *folder.absolute().parents) if p.is_dir())
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".cardferry-") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        yield ok("folder", f"{place} can be written to")
    except OSError as error:
        yield failed(
            "folder",
            LocalStorageFailed(
                f"{place} cannot be written to ({error.strerror})",
                next_step="Give this user the folder, or name another with -o.",
            ),
        )
    kind = file_system_of(place, _read_mounts())
    if kind in _FAR:
        yield warning(
            "file system",
            f"{kind} is elsewhere, and its locks and syncs cannot be relied on",
            "Keep migration folders on a disk of this machine.",
        )
    else:
        yield ok("file system", f"{kind or 'unknown'}, on this machine")
    disk = os.statvfs(place)
    rows = disk.f_bavail * disk.f_frsize // (LEDGER_BYTES_A_ROW + 2 * OUTPUT_BYTES_A_ROW)
    yield ok("room", f"for about {counted(rows, 'row')}")


def file_system_of(folder: Path, mounts: str) -> str | None:
    """Give the kind of the file system that a folder is on, by the kernel's list of mounts.

    Args:
        folder: The folder.
        mounts: What `/proc/self/mounts` holds: device, place, kind, ... a line.
    """
    real = folder.resolve()
    kind = None
    longest = -1
    for line in mounts.splitlines():
        words = line.split()
        place = Path(words[1].replace("\\040", " ")) if len(words) > 2 else Path()  # noqa: PLR2004 - device, place, kind.
        # The last of two mounts on one place is the one that is seen.
        if real.is_relative_to(place) and len(place.parts) >= longest and place.is_absolute():
            longest, kind = len(place.parts), words[2]
    return kind


def _read_mounts() -> str:
    try:
        return Path("/proc/self/mounts").read_text("utf-8", "replace")
    except OSError:
        return ""


def _guards(guards: GuardReport) -> DoctorFinding:
    lacks = {
        "memory is not locked, and there is swap": guards.memory_lock is not MemoryLock.LOCKED
        and guards.swap_present is not False,
        "the process is dumpable": not guards.not_dumpable,
        "core files are written": not guards.no_core_file,
        "new privileges are possible": not guards.no_new_privileges,
        "the environment makes libraries print more": bool(leaky_environment()),
    }
    missing = [words for words, lacking in lacks.items() if lacking]
    if missing:
        return warning(
            "memory guards",
            "; ".join(missing),
            "Raise `ulimit -l` or LimitMEMLOCK=, turn swap off or encrypt it; see the report.",
        )
    return ok("memory guards", "all hold")
