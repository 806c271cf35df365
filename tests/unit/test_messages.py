"""Monitors are told in order, told again where they did not listen, and never waited for long."""

import pytest
from pydantic import SecretStr

from pipeline.migration.messages import Messenger
from tests.support.monitor import listening


def _told(statuses, *, well=True, notify=True, path=""):
    with listening(statuses) as monitor:
        url = SecretStr(monitor.url + path)
        messenger = Messenger(url, url, pauses_s=(0, 0, 0))
        messenger.began()
        messenger.ended({"exit_code": 0}, well=well, notify=notify)
    return [line.replace("/ping/secret-id", "") for line in monitor.told]


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        ((), ["GET /start", "GET ", "POST "]),
        ((503, 429), ["GET /start"] * 3 + ["GET ", "POST "]),
        ((500, 500, 500), ["GET /start"] * 3 + ["GET ", "POST "]),
        ((404,), ["GET /start", "GET ", "POST "]),
    ],
    ids=["heard", "later", "never", "refused"],
)
def test_what_was_not_heard_is_told_again(statuses, told):
    """A busy monitor is asked three times; one that refuses is asked once."""
    assert told == _told(statuses)


def test_a_failure_and_a_question_mark_have_their_addresses():
    """`/start` and `/fail` stand in the path, before what is asked of it."""
    assert ["GET /start?rid=1", "GET /fail?rid=1"] == _told(
        (), well=False, notify=False, path="?rid=1"
    )


def test_a_monitor_that_never_answers_is_not_waited_for():
    """The bound is kept whatever the network does."""
    with listening() as monitor:
        monitor.goes_on.clear()
        messenger = Messenger(SecretStr(monitor.url), None, bound_s=0.1)
        messenger.ended({}, well=True)
        monitor.goes_on.set()


def test_without_addresses_nothing_is_told():
    """No thread, no request."""
    messenger = Messenger(None, None)
    messenger.began()
    messenger.ended({}, well=True)

    assert messenger._thread is None
