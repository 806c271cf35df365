"""The log's events are phrases of one shape, wherever they are written."""

import ast

import pytest

from pipeline.logs import EventLog
from tests.support.commands import ROOT

LEVELS = {"debug", "info", "warning", "error"}


def written_events():
    """Give each phrase that a module hands to its log, with the names of its fields."""
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and (node.func.value.id, node.func.attr in LEVELS) == ("log", True)
                and isinstance(node.args[0], ast.Constant)
            ):
                fields = [keyword.arg for keyword in node.keywords if keyword.arg]
                yield f"{path.name}:{node.lineno}", node.args[0].value, fields


def test_every_event_has_the_shape_that_the_log_takes():
    """A run that logs must not end where a run that does not log goes on."""
    events = list(written_events())
    log = EventLog("shape")
    for _, event, fields in events:
        log.info(event, **dict.fromkeys(fields, 1))

    assert len(events) > 20


def test_a_wrong_event_is_refused_although_nobody_listens():
    """The level decides what is written, not what is wrong."""
    with pytest.raises(ValueError, match="lower-case"):
        EventLog("shape").info("The API answers")
