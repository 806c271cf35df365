"""Says in the words of a settings file what is wrong with it, with the nearest key for a misspelt one."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

from pipeline.config.addresses import SecretSource
from pipeline.config.columns import Section
from pipeline.config.models import KeySource, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_UNKNOWN: Final = "extra_forbidden"
_FORMS: Final = {
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "tuple_type": 'must be a list, such as ["a", "b"]',
    "dict_type": 'must be a table, such as { name = "text" }',
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "date_type": "must be a day, such as 2026-12-01",
    "date_parsing": "must be a day, such as 2026-12-01",
    "date_from_datetime_parsing": "must be a day, such as 2026-12-01",
    "date_from_datetime_inexact": "must be a day, such as 2026-12-01",
    "string_pattern_mismatch": "must be a day, such as 2019-05-29",
}
"""What a value of the wrong form must be, by the validator's name for what is wrong."""

_TABLES: Final = frozenset({"model_type", "model_attributes_type", "dataclass_type"})
_OF_FORM: Final = _TABLES | _FORMS.keys()
_SOURCE: Final = 'must be a table such as { env = "NAME" }, { file = "PATH" } or { fd = 3 }'
_KEY: Final = 'must be a table such as { file = "migration.key" }, or a list of them'


class _Problem(NamedTuple):
    """A place, the validator's name for what is wrong there, and its message."""

    place: list[str]
    kind: str
    message: str


def sentences(found: Sequence[tuple[list[str], str, str]]) -> list[str]:
    """Give one sentence a problem; a value that could have had two forms is told once.

    Args:
        found: Place, kind and message of everything that the validator refused.
    """
    problems = [_Problem(*each) for each in found]
    told: list[str] = []
    for problem in problems:
        deeper = any(
            len(other.place) > len(problem.place)
            and other.place[: len(problem.place)] == problem.place
            for other in problems
        )
        has_form = any(
            other.place == problem.place and other.kind not in _OF_FORM for other in problems
        )
        # Of a value that may be something else as well only its own fault is told.
        if problem.kind in _OF_FORM and (deeper or has_form):
            continue
        alike = [p for p in problems if p.place == problem.place and p.kind in _OF_FORM]
        forms = alike if problem in alike else [problem]
        words = " or ".join(dict.fromkeys(map(_words, forms))).replace(" or must be ", " or ")
        sentence = f"{'.'.join(problem.place)}: {words}"
        if sentence not in told:
            told.append(sentence)
    return told


def _words(problem: _Problem) -> str:
    if problem.kind == _UNKNOWN:
        return _unknown(problem.place)
    if problem.kind in _OF_FORM:
        return _form(problem)
    text = problem.message.removeprefix("Value error, ")
    for theirs, ours in (("Input should ", "must "), ("String should ", "must ")):
        text = text.replace(theirs, ours)
    return text[:1].lower() + text[1:]


def _form(problem: _Problem) -> str:
    """Say which form a value must have, by what may stand in its place."""
    tables = list(_tables_at(problem.place))
    if KeySource in tables:
        return _KEY
    if SecretSource in tables:
        return _SOURCE
    if problem.kind in _TABLES:
        return f"must be a table: [{'.'.join(problem.place)}]"
    return _FORMS[problem.kind]


def _unknown(place: list[str]) -> str:
    """Say of an unknown key which one may be meant, or where it belongs."""
    *parents, key = place
    here = sorted({name for table in _tables_at(parents) for name in table.model_fields})
    if near := get_close_matches(key.lower(), here, n=1) or _begun(key, here):
        return f"is not a setting; did you mean `{near[0]}`?"
    for section in Settings.model_fields:
        for table in _tables_at([section]):
            if key in table.model_fields and [section] != parents:
                return f"is not a setting here; it belongs under [{section}]"
    elsewhere = {
        name: section
        for section in Settings.model_fields
        for table in _tables_at([section])
        for name in table.model_fields
    }
    if near := get_close_matches(key.lower(), elsewhere, n=1, cutoff=0.8):
        return f"is not a setting; did you mean `{near[0]}` under [{elsewhere[near[0]]}]?"
    return "is not a setting"


def _begun(key: str, names: Sequence[str]) -> list[str]:
    """Give the first name that begins with the words of a key: `rate` is short for `rate_per_s`."""
    return [name for name in names if key and name.startswith(f"{key.lower()}_")][:1]


def _tables_at(place: Sequence[str]) -> Iterator[type[Section]]:
    """Give the tables that may stand at a place; the settings themselves at no place."""
    tables: list[type[Section]] = [Settings]
    for name in place:
        fields = [table.model_fields[name] for table in tables if name in table.model_fields]
        tables = [inner for field in fields for inner in _tables_in(field.annotation)]
    yield from tables


def _tables_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from _tables_in(inner)
