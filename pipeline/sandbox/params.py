"""Reads a body and a query as nested parameters: JSON, or forms with `a[b]=c` names."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import orjson

from pipeline.sandbox.refusals import bad_request

if TYPE_CHECKING:
    from pipeline.sandbox.context import Params

_FIELDS_MAX: Final = 1_000
_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART: Final = re.compile(r"\[([^\[\]]*)\]")
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_DEPTH_MAX: Final = 20
_JSON_DEPTH_MAX: Final = 100
"""As deep as Ruby's own reader of JSON goes, and well within what can be written out again."""


def _put(params: Params, name: str, value: str) -> None:
    """Put a form's field where its name says.

    Raises:
        Refusal: The name is malformed, too deep, or says that one thing is two.
    """
    match = _NAME.fullmatch(name)
    if not match:
        raise bad_request("request contains a malformed parameter name")
    path = [match[1], *_PART.findall(match[2])]
    if len(path) > _DEPTH_MAX:
        raise bad_request("request contains a malformed parameter name")
    where: Any = params
    for part, following in pairwise(path):
        where = _step(where, part, [] if following == "" else {})
    if isinstance(where, list):
        where.append(value)
    else:
        where[path[-1]] = value


def _step(where: Any, part: str, empty: Any) -> Any:
    """Go one level down, making that level when it is not there yet."""
    if isinstance(where, list):
        where.append(empty)
        return empty
    below = where.setdefault(part, empty)
    if type(below) is not type(empty):
        raise bad_request("request contains conflicting parameters")
    return below


def read_form(raw: bytes) -> Params:
    """Read `application/x-www-form-urlencoded`, and query strings.

    Letters outside ASCII may come as they are: curl sends them so unless it is told otherwise.

    Raises:
        Refusal: `bad_request` when it is malformed.
    """
    malformed = bad_request("request contains malformed form data")
    if _BROKEN_ESCAPE.search(raw):
        raise malformed
    try:
        fields = parse_qsl(
            raw.decode(),
            keep_blank_values=True,
            strict_parsing=False,
            errors="strict",
            max_num_fields=_FIELDS_MAX,
        )
    except ValueError:
        raise malformed from None
    params: Params = {}
    for name, value in fields:
        _put(params, name, value)
    return params


def read_json(raw: bytes) -> Params:
    """Read a JSON object; `null` says nothing, as one client's capture without arguments does.

    Raises:
        Refusal: `bad_request` when it is malformed or no object.
    """
    try:
        # orjson's error holds the document, so nothing of it may be chained.
        params = orjson.loads(raw)
    except ValueError:
        raise bad_request("request contains malformed JSON") from None
    if params is None:
        return {}
    if not isinstance(params, dict):
        raise bad_request("request contains JSON that is not an object")
    # Only a document with that many brackets can be that deep, so most are not walked.
    if raw.count(b"{") + raw.count(b"[") > _JSON_DEPTH_MAX and _is_too_deep(params):
        raise bad_request("request contains malformed JSON")
    return params


def _is_too_deep(params: Params) -> bool:
    level: list[Any] = [params]
    for _ in range(_JSON_DEPTH_MAX):
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [item for items in inner for item in items if isinstance(item, (dict, list))]
        if not level:
            return False
    return True


def read_params(body: bytes, content_type: bytes, query: bytes) -> Params:
    """Read everything a client sent, the body's fields before the query's.

    The media type's parameters are ignored: one client sends `application/json;utf-8`.

    Raises:
        Refusal: `bad_request` when something is malformed or of an unknown media type.
    """
    params = read_form(query) if query else {}
    if not body:
        return params
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type == b"application/json":
        return {**params, **read_json(body)}
    if media_type == b"application/x-www-form-urlencoded":
        return {**params, **read_form(body)}
    if not media_type:
        return {**params, **(read_json(body) if body.lstrip()[:1] == b"{" else read_form(body))}
    raise bad_request("request has an unsupported content type")


def read_loosely(body: bytes, content_type: bytes, query: bytes) -> Params:
    """Read the parameters of a GET, where clients send a body that may mean nothing."""
    try:
        return read_params(body, content_type, query)
    except Exception:  # noqa: BLE001 - whatever the body is, a GET does not depend on it.
        return read_form(query) if query else {}
