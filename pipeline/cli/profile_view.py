"""Shows the profile of a check: tables in a pipe, with small bars on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.cli.advice import rows
from pipeline.cli.balance_tables import show_failures
from pipeline.cli.durations import duration
from pipeline.cli.folding import print_line
from pipeline.counts import agreeing, counted
from pipeline.failure_codes import FAILURE_CODES
from pipeline.outputs.wording import FAR_AHEAD, TOKENS_PERISH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import Console

_BAR_MAX: Final = 24
_BAR_MIN: Final = 6
_NAME_MAX: Final = 32
_LETTERS_MAX: Final = 20
_ORIGINS: Final = {
    "signed": "signed by one of `export.signers`",
    "unauthenticated": "unauthenticated: no `export.signers` are set, so whoever has the public key may "
    "have made it",
}
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_MIXES: Final = (
    ("brands", "brands"),
    ("expiration_years", "expiring in"),
    ("name_scripts", "names written in"),
    ("customers_by_cards", "customers by number of cards"),
    ("lookalike_ids", "ids that pass as card numbers by chance, in"),
    ("left_out", "left out, as they cannot be used"),
    ("skipped", "skipped"),
)


def show_profile(out: Console, figures: Mapping[str, Any]) -> None:
    """Show what a check found, the plan last, where the eye rests."""
    for export in figures["exports"]:
        packed = "".join(f", {name} inside" for name in export["packed_in"])
        _line(out, f"{export['name']}: {counted(export['size'], 'byte')}{packed}")
        _line(out, f"  sha256 {export['sha256']}")
        _line(out, f"  {_ORIGINS[export['origin']]}")
    for name, title in _MIXES:
        _show_mix(out, title, figures[name])
    _show_letters(out, figures)
    _show_odd(out, figures)
    show_failures(out, figures["failures"])
    _show_advice(out, figures)
    _show_plan(out, figures)


def _show_mix(out: Console, title: str, mix: Mapping[str, int]) -> None:
    if not mix:
        return
    if not out.is_terminal:
        _line(out, f"{title}: " + ", ".join(f"{name} {count:,}" for name, count in mix.items()))
        return
    _line(out, title)
    widest = min(_NAME_MAX, max(map(len, mix)))
    numbers = max(len(f"{count:,}") for count in mix.values())
    room = max(_BAR_MIN, min(_BAR_MAX, out.width - widest - numbers - 6))
    for name, count in mix.items():
        bar = _bar(count / max(mix.values()), room)
        _line(out, f"  {name[:widest]:<{widest}} {count:>{numbers},} {bar}")


def _bar(share: float, room: int) -> str:
    """Give a bar of blocks and eighths of blocks; something is never shown as nothing."""
    eighths = max(1, round(share * room * 8))
    full, rest = divmod(eighths, 8)
    return "█" * full + _EIGHTHS[rest].strip()


def _show_letters(out: Console, figures: Mapping[str, Any]) -> None:
    """Show by which letters the encoding of the names can be judged, the commonest first."""
    letters = figures["name_letters"]
    if not letters:
        return
    shown = [f"{letter} {count:,}" for letter, count in [*letters.items()][:_LETTERS_MAX]]
    more = len(letters) - len(shown)
    _line(out, f"letters in the names: {_listed(shown)}" + (f" and {more} others" if more else ""))
    elsewhere = figures["name_letters_elsewhere"]
    if elsewhere:
        pairs = [f"{here} {there}" for here, there in elsewhere["letters"].items()]
        _line(
            out,
            f"  in {elsewhere['encoding']} these would be others: {_listed(pairs[:_LETTERS_MAX])}; "
            "if those are right, change `export.encoding`",
        )


def _show_odd(out: Console, figures: Mapping[str, Any]) -> None:
    for remedy in figures["remedies"]:
        _line(
            out,
            f"{rows(remedy['rows'])} would be read with "
            f'`{remedy["setting"]} = "{remedy["value"]}"`',
        )
    for item in figures["hints"]:
        _line(out, f"{rows(item['rows'])} {item['code']}: {item['hint']}")
    if far := figures["expiring_far_ahead"]:
        _line(out, f"odd: {counted(far, 'card')} would expire {FAR_AHEAD}")
    for item in figures["suspicious_values"]:
        _line(out, f"odd: {rows(item['rows'])} whose {item['field']} {item['what']}")
    network = figures["network_transaction_ids"]
    if network:
        told = _listed(
            f"{brand} {n['missing']:,} of {n['cards']:,}" for brand, n in network.items()
        )
        _line(out, f"without a network transaction id: {told}")
    if figures["unmapped_columns"]:
        _line(out, f"columns that nothing is made of: {_listed(figures['unmapped_columns'])}")


def _show_advice(out: Console, figures: Mapping[str, Any]) -> None:
    """Show what to do about each failure, but where a setting was told already that mends it."""
    told = [remedy["setting"] for remedy in figures["remedies"]]
    for code in figures["failures"]:
        advice = FAILURE_CODES[code].advice
        if not any(setting in advice for setting in told):
            _line(out, f"{code}: {advice}")


def _show_plan(out: Console, figures: Mapping[str, Any]) -> None:
    same, other = figures["duplicates"].values()
    if same or other:
        _line(out, f"ids that come again: {rows(same)} with the same card, {other:,} with others")
    if soon := figures["expiring_within_3_months"]:
        _line(out, f"{counted(soon, 'card')} {agreeing(soon, 'expires', 'expire')} within 3 months")
    if figures["customers"]:
        _line(out, f"the cards belong to {counted(figures['customers'], 'customer')}")
    skipped = sum(figures["skipped"].values())
    _line(
        out,
        f"{rows(figures['rows'])}: {figures['to_send']:,} would be sent, "
        f"{figures['rejected']:,} rejected" + (f", {skipped:,} skipped" if skipped else ""),
    )
    _line(
        out,
        f"sending takes about {duration(figures['seconds_at_rate'])} "
        f"at {figures['rate_per_s']:g} a second, until {figures['done_at']} if it began now",
    )
    if figures["attach"] is None:
        _line(out, TOKENS_PERISH)
    else:
        attach = figures["attach"]
        _line(
            out,
            f"{counted(attach['cards'], 'card')} would come on customers: "
            f"{attach['customers_to_make']:,} to make, {attach['customers_given']:,} given; "
            f"{counted(attach['requests'], 'request')} to the API host "
            f"{agreeing(attach['requests'], 'takes', 'take')} about {duration(attach['seconds_at_rate'])} "
            f"at {attach['rate_per_s']:g} a second",
        )
    _line(out, f"plan {figures['plan_digest']}")


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def _line(out: Console, text: str) -> None:
    print_line(out, text)
