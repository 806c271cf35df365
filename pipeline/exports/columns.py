"""Defines how an export is read, and finds the wanted columns in its header, or refuses the export.

Header text is data: it may hold anything, a card number too where a sender left the header out.
So nothing of it is repeated; messages name columns as the settings spell them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.cards.detect import texts_containing_pan
from pipeline.cards.rows import CARRY_PREFIX
from pipeline.config.policies import Multiline, OnInvalidOptional, OnSecurityCode, Quoting
from pipeline.counts import counted
from pipeline.errors import ExportRefused
from pipeline.exports.column_names import (
    METHOD,
    OTHER_METHOD,
    in_another_case,
    lacked,
    listed,
    part_name,
    tells_expiration,
    to_set,
    whole_name,
)
from pipeline.exports.security_code_values import CodeColumns
from pipeline.exports.security_codes import Suspicion, suspicion

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pipeline.exports.keys import NumberKey


_FREE: Final = frozenset((OTHER_METHOD, METHOD))
_COLUMNS_MAX: Final = 500
BLANKS: Final = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
    "\u00ad\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff"
)
"""What does not count around a name or a value: blanks and invisible signs."""


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """What the reader must know of an export.

    Args:
        columns: Canonical name to source column (a dotted path in JSON), or columns that are
            joined by a blank: `legacy_id`, `number`, `name`, `expiration_month` and
            `expiration_year` unless `expiration` is given, and any of `ADDRESS_COLUMNS` and
            `CUSTOMER_COLUMNS`.
        expiration: Source columns that hold month and year together, each with the layouts that
            its values may have, such as `MM/YY`.
        may_lack: Canonical names that an export need not have, as a preset's optional ones.
        null_values: Texts that mean "empty".
        carry: Source columns that are copied into the mapping.
        format: `csv`, `jsonl` or `json`; None judges by the first characters.
        records: Where the records of JSON are, such as `customers.*.cards.*`.
        as_json: The options for an export that turns out to be JSON, where they differ.
        encoding: A superset of ASCII; a byte order mark in the export wins over it.
        delimiter: One character.
        quoting: How fields are quoted.
        multiline: Whether a record may span lines.
        header: Whether the first line names the columns; else they are named 1, 2, ...
        header_names: What columns without names are called all the same, in order.
        other_methods: Source columns that hold another payment method where they are filled.
        method: A source column that says `card` or names another payment method.
        security_code_column: `refuse` the export or `drop` the column.
        security_code_columns: Names of such columns beside ours; `-` takes one of ours off.
        optional_invalid: `drop` leaves out an optional field that cannot be used.
        chunk_rows: Rows a chunk, the unreadable ones counted.
        row_bytes_max: Bytes that a record may have, with its line ends.
        number_key: Opens card numbers that are sealed one by one.
        on_header: Told a CSV header's names and those that are mapped; gives columns to be
            read besides, and their places.
    """

    columns: Mapping[str, str | tuple[str, ...]]
    expiration: tuple[tuple[str, tuple[str, ...]], ...] = ()
    may_lack: frozenset[str] = frozenset()
    null_values: frozenset[str] = frozenset()
    carry: tuple[str, ...] = ()
    format: str | None = None
    records: str | None = None
    as_json: ReaderOptions | None = None
    encoding: str = "utf-8"
    delimiter: str = ","
    quoting: Quoting = Quoting.RFC4180
    multiline: Multiline = Multiline.GUARDED
    header: bool = True
    header_names: tuple[str, ...] = ()
    other_methods: tuple[str, ...] = ()
    method: str | None = None
    security_code_column: OnSecurityCode = OnSecurityCode.REFUSE
    security_code_columns: tuple[str, ...] = ()
    optional_invalid: OnInvalidOptional = OnInvalidOptional.REJECT
    chunk_rows: int = 5000
    row_bytes_max: int = 65_536
    number_key: NumberKey | None = None
    on_header: Callable[[Sequence[str], Collection[str]], dict[str, int]] | None = None

    def wanted(self) -> dict[str, str]:
        """Give our column to source column, for everything that is read.

        What is put together from several columns has a column for each part, such as
        `name#0`, until the reader has joined them.
        """
        wanted = {}
        for name, source in self.columns.items():
            if isinstance(source, str):
                wanted[name] = source
            else:
                wanted |= {part_name(name, place): part for place, part in enumerate(source)}
        for place, (source, _) in enumerate(self.expiration):
            wanted[part_name("expiration", place)] = source
        for place, source in enumerate(self.other_methods):
            wanted[part_name(OTHER_METHOD, place)] = source
        if self.method is not None:
            wanted[METHOD] = self.method
        return wanted | {CARRY_PREFIX + source: source for source in self.carry}


def column_places(header: Sequence[str], options: ReaderOptions) -> dict[str, int]:
    """Find the wanted columns in a CSV header.

    Args:
        header: The first record; blanks around a name do not count, case does.
        options: Which columns are wanted and what to do with security codes.

    Returns:
        Frame column to its place, counted from 0.

    Raises:
        ExportRefused: The first record is no header, has more than 500 columns, lacks or repeats a
            wanted column, or names a column of security codes, tracks or PINs that the settings do
            not drop.
    """
    names = [name.strip(BLANKS) for name in header]
    if len(names) > _COLUMNS_MAX:
        raise ExportRefused(
            f"the export has more than {_COLUMNS_MAX} columns",
            next_step="Check `export.delimiter`, or ask for an export of cards only.",
        )
    if options.header and any(texts_containing_pan(names)):
        raise ExportRefused(
            "the export has no header: its first line holds a card number",
            next_step="Set `export.header = false` and name columns by their position, 1, 2, ..., "
            "or ask for an export whose first line names them.",
        )
    wanted = options.wanted()
    refuse_mapped_security_codes(options)
    found = {name: _places(source, names, options) for name, source in wanted.items()}
    there = {
        name: places
        for name, places in found.items()
        if places or whole_name(name) not in options.may_lack | _FREE
    }
    if tells_expiration(there):
        found = there
    missing = [name for name, places in found.items() if not places]
    if missing:
        raise _missing(missing, names, options)
    repeated = [name for name, places in found.items() if len(places) > 1]
    if repeated:
        raise ExportRefused(
            f"the export's header has more than one column for {listed(repeated, wanted)}",
            next_step="Name the one that counts by its place among them, as in `number#2`, or ask "
            "for an export in which the names stand once.",
        )
    places = {name: place for name, (place,) in found.items()}
    if options.on_header is not None:
        places |= options.on_header(names, set(wanted.values()))
    return places


def _places(source: str, names: Sequence[str], options: ReaderOptions) -> list[int]:
    """Give where a source column stands: by its name, its position, or its place among its like."""
    called = list(names)
    if not options.header:
        called = [*options.header_names[: len(names)], *names[len(options.header_names) :]]
    places = [place for place, name in enumerate(called) if name == source]
    if not places and not options.header:
        places = [place for place, name in enumerate(names) if name == source]
    name, _, number = source.rpartition("#")
    if not places and name and number.isascii() and number.isdigit():
        alike = [place for place, one in enumerate(called) if one == name]
        places = alike[int(number) - 1 : int(number)] if int(number) else []
    return places


def refuse_mapped_security_codes(options: ReaderOptions) -> None:
    """Refuse settings that would read a security code, whatever the export holds.

    Raises:
        ExportRefused: A mapped or carried source column is named like authentication data.
    """
    own = options.security_code_columns
    # What is dropped cannot be carried: nobody would look at its values.
    drops = options.security_code_column == OnSecurityCode.DROP
    mapped = [
        name
        for name, source in options.wanted().items()
        if (found := suspicion(source, own)) is Suspicion.CERTAIN
        or (drops and found is Suspicion.BY_VALUES and source in options.carry)
    ]
    if mapped:
        raise ExportRefused(
            f"the settings map a column of security codes: {listed(mapped, options.wanted())}",
            next_step="Take it out of `[export]`; security codes are never read nor sent.",
        )


def code_columns(options: ReaderOptions) -> CodeColumns:
    """Give what checks the columns that are named like security codes."""
    return CodeColumns(options.security_code_columns)


def suspect_places(
    header: Sequence[str], codes: CodeColumns, options: ReaderOptions
) -> dict[int, str]:
    """Give place and name of the columns that are named like security codes.

    A column that the settings map to a field of the card is what they say; one that they only
    carry along is checked as any other. Where codes are dropped none is looked at.
    """
    if options.security_code_column == OnSecurityCode.DROP:
        return {}
    mapped = {source for name, source in options.wanted().items() if source not in options.carry}
    names = [name.strip(BLANKS) for name in (header if options.header else options.header_names)]
    return {
        place: name
        for place, name in enumerate(names[: len(header)])
        if name not in mapped and codes.is_suspect(name)
    }


def _missing(missing: list[str], names: list[str], options: ReaderOptions) -> ExportRefused:
    wanted = options.wanted()
    if len(names) == 1 and options.header:
        hint = "The header has one column only: check `export.delimiter`."
    elif options.header and in_another_case(missing, names, wanted):
        hint = "The header spells them in other letters' case: correct `[export.columns]`."
    elif options.header:
        hint = f"{to_set(missing, wanted)}; or ask for an export that has them."
    else:
        there = counted(len(names), "column")
        hint = (
            f"{to_set(missing, wanted)}: columns go by their position, and its first row has "
            f"{there}."
        )
    whole = "the export's header" if options.header else "the export, read without a header,"
    return ExportRefused(f"{whole} lacks {', '.join(lacked(missing, wanted))}", next_step=hint)
