"""Decides what starts the carriers of a `run` or `retry`: nothing, this machine, or a Dask cluster."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pipeline.child_process import start_child
from pipeline.migration.run_request import Launch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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
        if not is_named or self.no_cluster:
            return ()
        from pipeline.cluster.requirements import cluster_problems  # Few have one.

        return cluster_problems(found.settings)

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
            from pipeline.cluster.submitted_carriers import cluster_starter

            count = cluster.carriers if carriers is None else carriers
            return Launch(count, lambda: cluster_starter(cluster, self.given.folder))
        if carriers is None:
            return None
        return Launch(carriers, lambda: nullcontext(carrier_starter(self.terminal, self.given)))


class CarrierChild:
    """A carrier in a process of its own.

    It has a process group of its own, too: what a terminal sends to the group reaches the run, which
    lets its carriers go.

    Args:
        command: Its command line.

    Raises:
        LocalStorageFailed: This machine cannot start a process now.
    """

    def __init__(self, command: list[str]) -> None:
        self._process = start_child(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def ended(self) -> int | None:
        """Give its exit code once it has ended; negative where a signal ended it."""
        return self._process.poll()

    def said(self) -> str:
        """Give nothing: its error output is ours."""
        return ""

    def let_go(self) -> None:
        """Close its input, so that it drains and leaves."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def wait(self, seconds: float) -> None:
        """Wait until it has ended, and end it after so long: its session is over by then."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def carrier_starter(terminal: Terminal, given: Given) -> Callable[[], CarrierChild]:
    """Give what starts a carrier with the settings and exports of this command line."""
    # -P: a folder named like our package in the current folder must not be taken for it.
    command = [sys.executable, "-P", "-m", "pipeline", "carry", "-q", "--until-input-ends"]
    command += ["-o", str(given.folder.absolute()), "--log-format", terminal.log_format]
    if given.config_file is not None:
        command += ["-c", str(given.config_file.absolute())]
    command += [word for override in given.overrides for word in ("--set", override)]
    if terminal.log_file is not None:
        command += ["--log-file", str(terminal.log_file.absolute())]
    command += ["--", *(str(export.absolute()) for export in given.exports)]
    return lambda: CarrierChild(command)
