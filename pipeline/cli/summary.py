"""Shows a plan, an ending or a state in a few readable lines, or as one JSON object."""

from __future__ import annotations

from dataclasses import asdict
from math import ceil
from typing import TYPE_CHECKING, Any

from pipeline.cli.advice import rows
from pipeline.cli.balance_tables import show_balance
from pipeline.cli.durations import duration
from pipeline.cli.flow_words import codes_named, troubles_named
from pipeline.cli.folding import print_line
from pipeline.cli.run_steps import new_failures, next_steps
from pipeline.counts import agreeing, counted
from pipeline.log_file import OUTPUT_NAMES
from pipeline.outputs.wording import TOKENS_PERISH

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from pipeline.cli.advice import Given
    from pipeline.cli.terminal import Terminal
    from pipeline.ledger.cohort import Chosen
    from pipeline.migration.attach_plan import AttachPlan
    from pipeline.migration.run_request import Ending, Plan


def show_plan(terminal: Terminal, plan: Plan, limit: int | None, vault: str) -> None:
    """Tell what would be sent where and how long it takes, on standard error."""
    counts = plan.counts
    now = counts["to_send"] if limit is None else min(limit, counts["to_send"])
    stands = [
        f"{counts['to_send']:,} to send",
        f"{counts['rejected']:,} rejected",
        f"{counts['already_tokenized']:,} already tokenized",
    ]
    if counts["done"]:
        stands.insert(0, f"{counts['done']:,} done before")
    terminal.say(f"{rows(counts['rows'])}: {', '.join(stands)}")
    if counts["other_details"]:
        terminal.say(other_details(counts["other_details"]))
    if plan.codes:
        terminal.say(f"not sent: {codes_named(plan.codes)}")
    if plan.chosen is not None:
        terminal.say(f"cohort: {_cohort(plan.chosen)}")
    for export in plan.waiting:
        terminal.say(
            f"{rows(export.rows)} of {export.name} {agreeing(export.rows, 'waits', 'wait')} for that file, not sent now"
        )
    terminal.say(f"{now:,} {agreeing(now, 'goes', 'go')} to {vault},")
    tokens_s = now / plan.rate_per_s
    if plan.attach is None:
        terminal.say(
            f"in about {duration(tokens_s)} at {plan.rate_per_s:g} a second",
            TOKENS_PERISH,
            f"plan {plan.digest}",
        )
    else:
        _show_attach_plan(terminal, plan.attach, limit, tokens_s, plan.rate_per_s)
        terminal.say(f"plan {plan.digest}")


def _show_attach_plan(
    terminal: Terminal, attach: AttachPlan, limit: int | None, tokens_s: float, rate_per_s: float
) -> None:
    """Tell whom the cards come to, what that takes, and who hears of it."""
    needs = attach.needs
    cards = needs.cards if limit is None else min(limit, needs.cards)
    # Which customers a limit reaches is not looked up; requests are as many a card as for all.
    part = cards / needs.cards if needs.cards else 1.0
    calls = ceil(needs.requests * part)
    whose = (
        f"{needs.customers_to_make:,} to make, {needs.customers_given:,} given, "
        f"{needs.customers_known:,} known; {counted(needs.requests, 'request')} to the API host"
    )
    on_customers = f"and {counted(cards, 'card')} on customers"
    terminal.say(
        f"{on_customers}: {whose}," if cards == needs.cards else f"{on_customers},",
        f"in about {duration(max(tokens_s, attach.seconds * part))} "
        f"at {rate_per_s:g} tokens and {attach.rate_per_s:g} API requests a second",
    )
    if cards < needs.cards:
        terminal.say(f"customers of all {counted(needs.cards, 'card')}: {whose}")
    if attach.deletes:
        terminal.say(
            f"then up to {counted(attach.deletes, 'replaced card')} "
            f"{agreeing(attach.deletes, 'is DELETED from its customer', 'are DELETED from their customers')} "
            '(attach.on_changed = "delete")'
        )
    if attach.has_webhook:
        terminal.say(f"the account names a webhook: expect about {counted(calls, 'call')} of it")


def other_details(count: int) -> str:
    """Say how many rows brought a known card with something else changed."""
    return (
        f"{rows(count)} {agreeing(count, 'names', 'name')} a known card with other carried columns "
        f"or another customer: {agreeing(count, 'is', 'are')} not taken over"
    )


def _cohort(chosen: Chosen) -> str:
    """Say what a cohort leaves out, and which of its ids lead nowhere."""
    words = f"{rows(chosen.left_out)} left out"
    if chosen.unknown:
        are = agreeing(chosen.unknown, "is", "are")
        words += f"; {chosen.unknown:,} of its ids {are} in none of these exports"
    return words


def show_ending(terminal: Terminal, ending: Ending, given: Given) -> None:
    """Show how a run ended: JSON on request, else what it changed, the balance and the files."""
    terminal.answer = _ending_tree(ending, given)
    if ending.trouble is not None:
        terminal.answer["next_step"] = terminal.pasteable(ending.trouble.next_step)
    if terminal.as_json:
        terminal.print_json(terminal.answer)
    elif (
        ending.figures is not None
        and _has_own_story(ending)
        and terminal.shows_results_at(ending.exit_code)
    ):
        out = terminal.out()
        terminal.say("")
        show_balance(out, ending.figures, ending.this_run)
        _show_what_else(out, ending)
        print_line(out, f"files in {given.folder}")
        print_line(out, f"chain head {ending.chain_head}")
    if ending.trouble is not None:
        # What stopped the run comes last, where it is read first.
        terminal.tell_stop(ending.trouble)


def _has_own_story(ending: Ending) -> bool:
    """Tell whether a summary would speak of this run, too.

    That of a command which was stopped before it did anything would be the one of an earlier run,
    and say "Finished" above the error. Rows that wait elsewhere are told all the same.
    """
    return ending.trouble is None or ending.this_run.did_something or bool(ending.waiting)


def say_next(terminal: Terminal, ending: Ending, given: Given) -> None:
    """Tell the operator what can be done next with a folder as the run left it."""
    if terminal.as_json or ending.trouble is not None or ending.figures is None:
        return
    always = ending.exit_code != 0
    if always:
        terminal.show_held()
    if ending.planned_again == 0:
        only_waited = ending.this_run.figures.get("sent")
        words = "no failure to plan again: only rows that waited were sent"
        terminal.say(words if only_waited else "there was nothing to retry", always=always)
    for line in new_failures(ending):
        terminal.note(line, always=always)
    terminal.say("", "next:", always=always)
    for why, command in next_steps(ending, given):
        terminal.say(f"  {why}{':' if command else ''}", always=always)
        if command is not None:
            terminal.say_command(command, always=always)


def _show_what_else(out: Console, ending: Ending) -> None:
    """Show what is new among the failures, and what this run could not touch."""
    if ending.this_run.failures:
        print_line(out, f"new failures: {codes_named(ending.this_run.failures)}")
    if ending.chosen is not None:
        print_line(out, f"cohort: {_cohort(ending.chosen)}")
    if changed := ending.this_run.figures.get("other_details"):
        print_line(out, other_details(changed))
    if troubles := ending.this_run.figures.get("troubles"):
        print_line(out, f"requests met: {troubles_named(troubles)}")
    for export in ending.waiting:
        print_line(out, f"waiting: {rows(export.rows)} of {export.name}")


def _ending_tree(ending: Ending, given: Given) -> dict[str, Any]:
    figures = ending.figures or {}
    tree: dict[str, Any] = {
        "exit_code": ending.exit_code,
        "run_id": ending.run_id,
        "folder": str(given.folder),
        "plan_digest": ending.plan_digest,
        "this_run": ending.this_run.as_dict(),
        "all_time": {
            "balance": figures.get("balance"),
            "attach": figures.get("attach"),
            "failures": {item["code"]: item["rows"] for item in figures.get("failures", ())},
            "unseen_tokens_max": figures.get("unseen_tokens_max"),
        },
        "given_exports": {"unseen_tokens_max": ending.this_run.unseen_of_exports},
        "waiting_exports": [asdict(export) for export in ending.waiting],
        "unfinished": list(ending.this_run.unfinished),
        "chain_head": ending.chain_head,
        "trail_head": figures.get("trail", {}).get("head"),
        "paths": paths_in(given.folder) if ending.figures is not None else [],
        "next": [step._asdict() for step in next_steps(ending, given)],
    }
    if ending.chosen is not None:
        tree["cohort"] = ending.chosen._asdict()
    if ending.planned_again is not None:
        tree["planned_again"] = ending.planned_again
    if ending.trouble is not None:
        tree["error"] = ending.trouble.message
        tree["kind"] = type(ending.trouble).__name__
    return tree


def paths_in(folder: Path) -> list[str]:
    """Give the paths of a migration folder's outputs."""
    outputs = sorted(name for name in OUTPUT_NAMES if not name.startswith("ledger."))
    return [str(folder / name) for name in outputs if (folder / name).is_file()]
