"""Planning: an export is proving until every byte is proved, and only then its rows count."""

from datetime import date

import pytest

from pipeline.ledger import duplicates
from pipeline.ledger.plan_records import PlannedCard, PlannedCards, ProvedFacts, SealedFacts
from pipeline.ledger.planning import Planning
from pipeline.model import Rejection
from tests.support.ledgers import new_builder

pytestmark = pytest.mark.usefixtures("each_store")

DAY = date(2026, 11, 20)
PROVED = ProvedFacts("sequoia", None, None, 5, "00" * 32)


@pytest.fixture
def ledger(tmp_path):
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    yield builder.ledger
    builder.ledger.close()


def sealed(letter="a"):
    return SealedFacts(f"{letter}.csv", 10, letter * 64, bytes(32), "plain")


def card(row, legacy_id, digits="4242"):
    return PlannedCard(row, legacy_id, digits, "Visa", 12, 2031)


def states(ledger):
    with ledger.look() as look:
        return {state.value: n for state, n in look.by_state().items() if n}


def codes(ledger):
    with ledger.look() as look:
        return look.by_code()


def plan(ledger, letter, cards, rejections=()):
    planning = Planning(ledger)
    export = planning.begin(sealed(letter), DAY)
    planning.add(export, cards, rejections)
    planning.finish(export, PROVED)
    return export


def test_rows_of_an_export_that_is_being_proved_do_not_count(ledger):
    """They may be thrown away."""
    planning = Planning(ledger)
    export = planning.begin(sealed(), DAY)
    planning.add(export, [card(1, "a"), card(2, "b")], [])
    assert {} == states(ledger)
    planning.finish(export, PROVED)

    assert {"planned": 2} == states(ledger)


def test_a_broken_pass_1_is_thrown_away_when_the_export_comes_again(ledger):
    """No row of it is planned twice."""
    planning = Planning(ledger)
    planning.add(planning.begin(sealed(), DAY), [card(1, "a"), card(2, "b")], [])
    plan(ledger, "a", [card(1, "a"), card(2, "b"), card(3, "c")])

    assert {"planned": 3} == states(ledger)


def test_a_refused_export_leaves_nothing_but_an_event(ledger):
    """Its rows are gone and it is unknown again."""
    planning = Planning(ledger)
    export = planning.begin(sealed(), DAY)
    planning.add(export, [card(1, "a")], [])
    planning.refuse(export, "ExportRefused", "it was cut short")

    assert {} == states(ledger)
    assert planning.find(export.sha256) is None


def test_an_export_is_known_by_its_bytes_alone(ledger):
    """Its name may change; the day its expirations are judged on stays."""
    plan(ledger, "a", [card(1, "a")])
    known = Planning(ledger).find("a" * 64)

    assert known.is_planned
    assert known.as_of == DAY
    assert Planning(ledger).find("b" * 64) is None


def test_all_rows_of_a_doubled_id_are_rejected_even_beside_a_refused_one(ledger):
    """A row that was refused for another reason still claims its id."""
    plan(
        ledger,
        "a",
        [card(1, "a"), card(2, "b"), card(3, "a"), card(4, "c")],
        [Rejection(5, "number_checksum", "number", "c")],
    )

    assert {"planned": 1, "rejected": 4} == states(ledger)
    assert {"legacy_id_duplicate": 3, "number_checksum": 1} == codes(ledger)


def test_of_rows_that_are_all_the_same_one_is_sent(ledger):
    """The others are no failures; without a word that they are the same they all are duplicates."""
    planning = Planning(ledger)
    export = planning.begin(sealed(), DAY)
    planning.add(export, [card(row, legacy_id) for row, legacy_id in enumerate("abab", 1)], [])
    planning.finish(export, PROVED, lambda rows: list(rows) == [1, 3])

    assert {"planned": 1, "skipped": 1, "rejected": 2} == states(ledger)
    assert {"legacy_id_duplicate": 2} == codes(ledger)


@pytest.mark.parametrize("sorted_max", [0, 20_000])
def test_doubled_ids_are_found_in_memory_and_along_the_index_alike(ledger, monkeypatch, sorted_max):
    """Rows of other exports are met along the index, and are nobody's duplicates there."""
    monkeypatch.setattr(duplicates, "_SORTED_MAX", sorted_max)
    plan(ledger, "a", [card(1, "a"), card(2, "x")])
    plan(ledger, "b", [card(1, "a"), card(2, "b"), card(3, "c"), card(4, "b")])

    assert {"planned": 4, "rejected": 2} == states(ledger)


def test_what_is_planned_is_told_by_brand_and_year_without_what_was_taken_out(ledger):
    """Duplicates, refused exports and rows that were rejected at once are in none of the numbers."""
    planning = Planning(ledger)
    planning.add(planning.begin(sealed("r"), DAY), [card(1, "r")], [])
    export = planning.begin(sealed("a"), DAY)
    cards = [card(1, "a"), card(2, "b"), card(3, "b"), card(4, "c")._replace(brand="JCB")]
    planning.add(export, cards, [Rejection(5, "number_checksum", "number", "e")])
    planning.finish(export, PROVED)
    with ledger.look() as look:
        figures = look.plan_figures(planning.mix)

    assert figures.brands == {"JCB": 1, "Visa": 1}
    assert figures.expiration_years == {"2031": 2}
    assert figures.states[export.id] == {"planned": 2, "rejected": 3}


def test_rows_without_an_id_are_no_duplicates_of_one_another(ledger):
    """Nobody knows whose they are."""
    nameless = [Rejection(row, "legacy_id_missing", "legacy_id") for row in (1, 2, 3)]
    plan(ledger, "a", [card(4, "a")], nameless)

    assert {"legacy_id_missing": 3} == codes(ledger)


def test_the_same_id_in_two_exports_is_no_duplicate(ledger):
    """Which one counts shows when the first is settled."""
    plan(ledger, "a", [card(1, "a")])
    plan(ledger, "b", [card(1, "a"), card(2, "b")])

    assert {"planned": 3} == states(ledger)


def test_cards_of_several_chunks_are_one_after_the_other():
    """Whichever way they came: by column, or one by one."""
    some, more = [card(1, "a"), card(2, "b")], [card(4, "c")]
    joined = PlannedCards.joined([PlannedCards.of(each) for each in (some, [], more)])

    assert list(joined) == [*some, *more]
