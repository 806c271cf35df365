"""The trail: any events make a chain that holds, and no change of a line goes unseen."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline import hashing
from pipeline.outputs.trail import trail_lines
from pipeline.outputs.verify_ledger import ChainEnd, check_trail

DETAILS = st.dictionaries(
    st.text(max_size=8), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
)
EVENTS = st.lists(st.fixed_dictionaries({"event": st.text(), "detail": DETAILS}), max_size=6)


def linked(events):
    """Give events as the ledger keeps them: canonical body and hash."""
    head, kept = hashing.GENESIS, []
    for seq, event in enumerate(events, 1):
        body = hashing.canonical({"seq": seq, **event})
        head = hashing.link_bytes(head, body)
        kept.append((body.decode(), head))
    return kept


@given(EVENTS)
def test_the_trail_of_any_events_holds(events):
    """Whatever the events say, the file's chain ends where the ledger's does."""
    kept = linked(events)
    end = ChainEnd(kept[-1][1] if kept else hashing.GENESIS, len(kept))

    assert end == check_trail(trail_lines(kept))


@given(EVENTS.filter(bool), st.data())
def test_any_changed_byte_of_a_trail_is_seen(events, data):
    """One byte changed, anywhere, breaks the chain at its own line or at the next."""
    content = bytearray(b"".join(trail_lines(linked(events))))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    lines = bytes(content).splitlines(keepends=True)

    assert check_trail(trail_lines(linked(events))) != check_trail(lines)


@given(EVENTS.filter(lambda events: len(events) > 1), st.data())
def test_a_line_out_of_its_turn_is_seen(events, data):
    """Lines dropped, doubled or swapped are seen where it happened."""
    lines = list(trail_lines(linked(events)))
    at = data.draw(st.integers(0, len(lines) - 2))
    change = data.draw(st.sampled_from(["drop", "double", "swap"]))
    changed = {
        "drop": [*lines[:at], *lines[at + 1 :]],
        "double": [*lines[: at + 1], *lines[at:]],
        "swap": [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]],
    }[change]
    found = check_trail(changed)

    assert f"line {at + 2 if change == 'double' else at + 1}" == found.place
