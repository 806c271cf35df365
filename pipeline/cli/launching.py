"""Decides what starts a run's carriers: nothing, this machine, or a Dask cluster."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from pipeline.cli.carrier_children import carrier_starter
from pipeline.cluster.requirements import cluster_problems
from pipeline.cluster.submitted_carriers import cluster_starter
from pipeline.migration.job import Launch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.cli.advice import Given
    from pipeline.cli.terminal import Terminal
    from pipeline.config.loading import ReadSettings
    from pipeline.config.models import Settings


def launch_here(terminal: Terminal, given: Given, carriers: int | None) -> Launch | None:
    """Give what starts carriers on this machine, where that was asked for."""
    if carriers is None:
        return None
    return Launch(carriers, lambda: nullcontext(carrier_starter(terminal, given)))


def launch_by_cluster(settings: Settings, given: Given, carriers: int | None) -> Launch:
    """Give what has the cluster of the settings start carriers.

    Args:
        settings: They name the scheduler, and how many carriers unless that was asked for.
        given: The migration's folder.
        carriers: How many were asked for.
    """
    cluster = settings.cluster
    return Launch(
        cluster.carriers if carriers is None else carriers,
        lambda: cluster_starter(cluster, given.folder),
    )


def lacks_for_cluster(found: ReadSettings) -> Iterable[str]:
    """Say what a run lacks that carries by a cluster, if these settings name one, well or badly."""
    is_named = found.settings.cluster.address is not None
    if is_named or any(problem.startswith("cluster.") for problem in found.problems):
        return cluster_problems(found.settings)
    return ()


def refuse_limit(limit: int | None, carriers: int | None, settings: Settings | None) -> None:
    """Refuse a limit where carriers send: none of them knows how much the others have sent.

    Args:
        limit: The most rows to send, if there is a limit.
        carriers: How many carriers were asked for.
        settings: What names a cluster, where that is to carry.

    Raises:
        click.UsageError: Both were asked for.
    """
    if limit is None:
        return
    if carriers is not None:
        raise click.UsageError("--limit does not go with --carriers")
    if settings is not None and settings.cluster.address is not None:
        raise click.UsageError("--limit does not go with a cluster; add --no-cluster to carry here")
