"""Decides what starts the carriers of a `run` or `retry`: nothing, this machine, or a Dask cluster."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
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


def with_cluster(
    overrides: tuple[str, ...], address: str | None, *, no_cluster: bool
) -> tuple[str, ...]:
    """Give the overrides of settings with the address of a cluster, if one was named.

    Raises:
        click.UsageError: One was named, and none is to carry.
    """
    if address is not None and no_cluster:
        raise click.UsageError("--cluster and --no-cluster exclude each other")
    return overrides if address is None else (*overrides, f"cluster.address={address}")


@dataclass(frozen=True, slots=True)
class Launching:
    """What a command line says of carriers.

    No carrier knows how much the others have sent, so a limit goes with none of them.

    Attributes:
        terminal: Where a carrier on this machine says what it has to say.
        given: The folder, exports and settings of the command line.
        carriers: How many carriers were asked for; None where that was left to the settings.
        limit: The most rows to send, if there is a limit.
        no_cluster: Whether to carry here, whatever the settings say.

    Raises:
        click.UsageError: Carriers are to keep a limit.
    """

    terminal: Terminal
    given: Given
    carriers: int | None
    limit: int | None
    no_cluster: bool

    def __post_init__(self) -> None:
        if self.limit is not None and self.carriers is not None:
            raise click.UsageError("--limit does not go with --carriers")

    def lacks(self, found: ReadSettings) -> Iterable[str]:
        """Say what is missing for the cluster that the settings name, well or badly."""
        is_named = found.settings.cluster.address is not None
        is_named = is_named or any(p.startswith("cluster.") for p in found.problems)
        return cluster_problems(found.settings) if is_named and not self.no_cluster else ()

    def launch(self, settings: Settings) -> Launch | None:
        """Give what starts carriers; None where this process sends by itself.

        Raises:
            click.UsageError: A cluster's carriers are to keep a limit.
        """
        cluster, carriers = settings.cluster, self.carriers
        if cluster.address is not None and not self.no_cluster:
            if self.limit is not None:
                raise click.UsageError(
                    "--limit does not go with a cluster; add --no-cluster to carry here"
                )
            count = cluster.carriers if carriers is None else carriers
            return Launch(count, lambda: cluster_starter(cluster, self.given.folder))
        if carriers is None:
            return None
        return Launch(carriers, lambda: nullcontext(carrier_starter(self.terminal, self.given)))
