"""Collects who runs a migration, where, and which memory guards held."""

from __future__ import annotations

from pipeline import process_guards
from pipeline.logs import EventLog

log = EventLog("run")


def run_environment(held: process_guards.GuardReport, operator: str | None) -> dict[str, object]:
    """Give who runs this, where, and which memory guards held."""
    system = process_guards.system_facts()
    leaky = process_guards.leaky_environment()
    if leaky:
        log.warning("the environment makes libraries print more", variables=len(leaky))
    return {
        "operator": operator or system.login_user or system.user,
        "user": system.user,
        "host": system.host,
        "pid": system.pid,
        "python": system.python,
        "terminal": system.terminal,
        "scheduler": system.scheduler,
        "guards": held.as_dict(),
        "leaky_environment": list(leaky),
    }
