"""Tries whether the cluster that the settings name would start carriers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cluster.connection import RESOURCE, connected, slots_offered
from pipeline.cluster.requirements import cluster_problems
from pipeline.counts import counted
from pipeline.errors import CardferryError, SettingsRefused
from pipeline.migration.doctor_findings import failed, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config.models import Settings
    from pipeline.migration.doctor_findings import DoctorFinding


def cluster_findings(settings: Settings) -> Iterator[DoctorFinding]:
    """Try the scheduler and count what its workers offer; nothing is said where none is named."""
    if settings.cluster.address is None:
        return
    if problems := list(cluster_problems(settings)):
        yield failed("cluster", SettingsRefused(problems))
        return
    try:
        with connected(settings.cluster) as client:
            slots = slots_offered(client)
    except CardferryError as trouble:
        yield failed("cluster", trouble)
        return
    if slots:
        yield ok("cluster", f"its workers offer to start {counted(slots, 'carrier')} at once")
    else:
        yield warning(
            "cluster",
            "its scheduler answers, and no worker offers to start a carrier now",
            f"Start workers with `--resources {RESOURCE}=1`; a run waits for them.",
        )
