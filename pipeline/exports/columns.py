"""Finds the wanted columns in an export's header, or refuses the export.

Header text is data: it may hold anything, a card number too where a sender left the header out.
So nothing of it is repeated; messages name columns as the settings spell them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.cards.detect import texts_containing_pan
from pipeline.cards.rows import whole_name
from pipeline.config.policies import OnSecurityCode
from pipeline.errors import ExportRefused
from pipeline.exports.security_codes import is_ambiguous, is_security_code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.cards.rows import ReaderOptions


_COLUMNS_MAX: Final = 500
BLANKS: Final = (
    "".join(chr(code) for code in range(0x10000) if chr(code).isspace())
    + "\u00ad\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff"
)
"""What does not count around a name or a value: blanks, and signs that nobody can see."""


def column_places(header: Sequence[str], options: ReaderOptions) -> dict[str, int]:
    """Find the wanted columns in a CSV header.

    Args:
        header: The first record; blanks around a name do not count, case does.
        options: Which columns are wanted and what to do with security codes.

    Returns:
        Frame column to its place, counted from 0.

    Raises:
        ExportRefused: The first record is no header, has more than 500 columns, lacks or repeats a wanted column, or names a
            column of security codes, tracks or PINs that the settings do not drop.
    """
    names = [name.strip(BLANKS) for name in header]
    if len(names) > _COLUMNS_MAX:
        raise ExportRefused(
            f"the export has more than {_COLUMNS_MAX} columns",
            next_step="Check `export.delimiter`, or ask for an export of cards only.",
        )
    if any(texts_containing_pan(names)):
        raise ExportRefused(
            "the export has no header: its first line holds a card number",
            next_step="Ask for an export whose first line names the columns.",
        )
    wanted = options.wanted()
    refuse_mapped_security_codes(options)
    _refuse_security_codes(names, options)
    wanted = {
        name: source
        for name, source in wanted.items()
        if source in names or whole_name(name) not in options.may_lack
    }
    if not _tells_expiration(wanted):
        wanted = options.wanted()
    missing = [name for name, source in wanted.items() if source not in names]
    if missing:
        raise _missing(missing, names, options)
    repeated = [name for name, source in wanted.items() if names.count(source) > 1]
    if repeated:
        raise ExportRefused(
            f"the export's header has more than one column for {_listed(repeated, options)}",
            next_step="Ask for an export in which these names stand once.",
        )
    return {name: names.index(source) for name, source in wanted.items()}


def _tells_expiration(wanted: Mapping[str, str]) -> bool:
    whole = set(map(whole_name, wanted))
    return "expiration" in whole or {"expiration_month", "expiration_year"} <= whole


def refuse_mapped_security_codes(options: ReaderOptions) -> None:
    """Refuse settings that would read a security code, whatever the export holds.

    Raises:
        ExportRefused: A mapped or carried source column is named like authentication data.
    """
    mapped = [
        name
        for name, source in options.wanted().items()
        if is_security_code(source) and (source in options.carry or not is_ambiguous(source))
    ]
    if mapped:
        raise ExportRefused(
            f"the settings map a column of security codes: {_listed(mapped, options)}",
            next_step="Take it out of `[export]`; security codes are never read nor sent.",
        )


def security_codes_found(count: int) -> ExportRefused:
    """Give the refusal of an export that holds authentication data in that many columns."""
    return ExportRefused(
        f"the export holds security codes, tracks or PINs in {count} column(s)",
        next_step="Ask for an export without them (PCI DSS 3.3.1 forbids keeping them), or set "
        '`export.security_code_column = "drop"` to leave them unread.',
    )


def _refuse_security_codes(names: Sequence[str], options: ReaderOptions) -> None:
    if options.security_code_column == OnSecurityCode.DROP:
        return
    mapped = set(options.wanted().values())
    count = sum(is_security_code(name) and name not in mapped for name in names)
    if count:
        raise security_codes_found(count)


def _missing(missing: list[str], names: list[str], options: ReaderOptions) -> ExportRefused:
    wanted = options.wanted()
    folded = {name.casefold() for name in names}
    if len(names) == 1:
        hint = "The header has one column only: check `export.delimiter`."
    elif all(wanted[name].casefold() in folded for name in missing):
        hint = "The header spells them in other letters' case: correct `[export.columns]`."
    else:
        hint = "Correct `[export.columns]`, or ask for an export that has them."
    return ExportRefused(f"the export's header lacks {_listed(missing, options)}", next_step=hint)


def _listed(names: list[str], options: ReaderOptions) -> str:
    wanted = options.wanted()
    return ", ".join(f"{whole_name(name)} (column `{wanted[name]}`)" for name in names)
