"""Takes the wanted fields out of the records of JSON, as texts.

A source column is a key, or a dotted path into nested objects (`json_paths`); a key that is not
there is an empty field. A number keeps its digits, null is empty; a list or an object in the place
of a field makes the row malformed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pipeline.exports.json_columns import CONTROL, PlainObjects, as_text
from pipeline.exports.json_names import names_in
from pipeline.exports.json_paths import FieldPath
from pipeline.exports.records import (
    NOT_PLAIN,
    WITH_CONTROLS,
    Record,
    Records,
    Unread,
    not_plain,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pipeline.exports.json_names import RequiredNames
    from pipeline.exports.json_paths import Chain
    from pipeline.exports.security_code_values import CodeColumns

_RECORDS_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class JsonFields:
    """Which fields each record has, and what no object may name.

    Attributes:
        sources: Their paths, in the order of a record's texts.
        mapped: Those of them that the settings map to a field, not only carry.
        steps: The path from a line, or from the document, to the records.
        codes: Checks the keys that are named like security codes, unless they are dropped.
        on_first: Told the paths of the first record's fields; gives more sources to be read.
        required: Looks for what every card has, if this is the reading that judges it.
    """

    sources: tuple[str, ...]
    mapped: tuple[str, ...]
    steps: tuple[str, ...]
    codes: CodeColumns | None
    on_first: Callable[[list[str]], Sequence[str]] = lambda _names: ()
    required: RequiredNames | None = None


class FieldReader:
    """Takes fields out of records, and looks through the objects for security codes.

    Args:
        wanted: Which fields.
    """

    def __init__(self, wanted: JsonFields) -> None:
        self._wanted = wanted
        self._paths: list[FieldPath] = []
        self._required = wanted.required
        # The last keys of the mapped paths, which hold what the settings say.
        self._allowed = frozenset(
            key
            for source in wanted.mapped
            for key in (source.lstrip("."), source.rpartition(".")[2])
        )

    def see_first(self, record: dict[str, Any]) -> None:
        """Find out which fields there are, if this record is the first."""
        if not self._paths:
            sources = (*self._wanted.sources, *self._wanted.on_first(names_in(record)))
            self._paths = [FieldPath.parse(source) for source in sources]

    def fields(self, chain: Chain) -> Record | None:
        """Give a record's fields as texts, or None when one is a float and its digits are lost."""
        if self._required is not None:
            self._look_for_names(chain)
        fields: list[str] = []
        record = chain[0]
        for path in self._paths:
            # Most fields are texts of the record itself, and a call for each would cost more.
            value = None if path.climbs else record.get(path.key)
            if not isinstance(value, str):
                value = path.find(chain)
            if not isinstance(value, str):
                if isinstance(value, float):
                    # A long id without quotes comes as a float too, rounded.
                    return None
                if isinstance(value, (dict, list)):
                    return self._not_plain(len(fields), value)
                value = as_text(value)
            fields.append(value)
        return fields

    def _look_for_names(self, chain: Chain) -> None:
        if self._required is not None:
            self._required.look(chain)
            if self._required.are_found:
                # What is known already is not worth a call for each record.
                self._required = None

    def _not_plain(self, place: int, value: object) -> Unread:
        sources = self._wanted.sources
        # What the profile looks at besides is called as the data call it.
        return not_plain(sources[place], value) if place < len(sources) else NOT_PLAIN

    def columns(self, plain: PlainObjects) -> Records | None:
        """Give the fields of plain objects, or None where each has to be looked at by itself.

        Raises:
            ExportRefused: An object names a security code, track or PIN and they are refused.
        """
        self.see_first(plain.objects[0])
        records = plain.columns(self._paths)
        for one in plain.objects if records is not None else ():
            if self._required is None:
                break
            self._look_for_names((one,))
        if records is not None and self._wanted.codes is not None:
            keys = set(map(tuple, plain.objects))
            if any(_suspect_keys(some, self._allowed, self._wanted.codes) for some in keys):
                for one in plain.objects:
                    self.look_for_codes(one)
        return records

    def look_for_codes(self, found: dict[str, Any]) -> None:
        """Look at what stands under keys that are named like security codes.

        Raises:
            ExportRefused: It is one beyond doubt, and they are refused.
        """
        codes = self._wanted.codes
        waiting: list[Any] = [] if codes is None else [found]
        while waiting and codes is not None:
            value = waiting.pop()
            if isinstance(value, dict):
                for key in _suspect_keys(tuple(value), self._allowed, codes):
                    codes.look(key, (value[key],))
                waiting += [inner for inner in value.values() if isinstance(inner, (dict, list))]
            else:
                waiting += [inner for inner in value if isinstance(inner, (dict, list))]

    def end(self) -> None:
        """Judge what only all rows together tell.

        Raises:
            ExportRefused: There are security codes, and those are refused, or no record names what
                every card has.
        """
        if self._wanted.codes is not None:
            self._wanted.codes.check()
        if self._wanted.required is not None:
            self._wanted.required.end()


def document_fields(
    found: Iterator[Chain | Unread | PlainObjects], wanted: JsonFields
) -> Iterator[Records]:
    """Give the fields of a document's records, some at a time.

    Raises:
        ExportRefused: An object names a security code, track or PIN and they are refused, or no
            record names what every card has.
    """
    reader = FieldReader(wanted)
    outermost: dict[str, Any] | None = None
    records: list[Record] = []
    for one in found:
        chains: Iterable[Chain | Unread]
        if isinstance(one, PlainObjects):
            columns = reader.columns(one)
            if columns is not None:
                yield from (Records.of(records), columns)
                records = []
                continue
            chains = zip(one.exactly(), strict=True)
        else:
            chains = (one,)
        for chain in chains:
            if isinstance(chain, str):
                records.append(chain)
                continue
            if chain[-1] is not outermost:
                outermost = chain[-1]
                reader.look_for_codes(outermost)
            reader.see_first(chain[0])
            records.append(without_controls(reader.fields(chain) or NOT_PLAIN))
        if len(records) >= _RECORDS_AT_ONCE:
            yield Records.of(records)
            records = []
    yield Records.of(records)
    reader.end()


def without_controls(record: Record) -> Record:
    """Give a record, or what stands for it where a control character is in a field."""
    if not isinstance(record, str) and CONTROL.search("".join(record)):
        return WITH_CONTROLS
    return record


@lru_cache(maxsize=1024)
def _suspect_keys(
    keys: tuple[str, ...], allowed: frozenset[str], codes: CodeColumns
) -> tuple[str, ...]:
    return tuple(key for key in keys if key not in allowed and codes.is_suspect(key))
