"""What the vault holds is compared with what the mapping says, and every difference is named."""

import random

import pyarrow.parquet as pq
import pytest

from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings
from pipeline.errors import Interrupted, SettingsRefused
from pipeline.migration.readback import ReadbackRequest, read_back
from pipeline.migration.readback_customers import CustomersReadBack
from pipeline.migration.readback_progress import ReadbackProgress
from pipeline.migration.run_request import Tools
from tests.support.attach_runs import attaching, cards

AT_ONCE = 8
"""Cards in flight, as these migrations are set."""


def read(work, sample=None, *, everything=False, attach=True):
    """Read a migration back; give what was found and the rows of `readback.parquet`."""
    settings = load_settings(None, {}, work.overrides(attach=attach))
    tools = Tools(SystemClock(), random.Random(1))
    found = read_back(
        work.out, ReadbackRequest(sample, everything), settings, tools, ("me", "here:1")
    )
    return found, pq.read_table(work.out / "readback.parquet").to_pylist()


def findings(rows):
    """Each legacy id with what was found of it, but for those that are as they should be."""
    return {
        (row["legacy_id"], row["finding"], row["fields"]) for row in rows if row["finding"] != "ok"
    }


def mark(work):
    """Our mark, as the vault shows it on a customer of ours."""
    return work.customer(work.mapping()[0]["customer_id"])["metadata"]["cardferry"]


def test_what_is_as_it_should_be_is_found_so_with_a_request_a_hundred_customers(tmp_path):
    """Lists bring the cards with them; given customers and cut lists cost one request each."""
    with attaching(tmp_path) as work:
        given = work.sandbox.request("POST", "/customers", json={}).json()["id"]
        owners = [("ann", "", "yes"), "ann", ("gil", given, ""), *["big"] * 23]
        work.export(cards(*owners))
        work.run()
        found, rows = read(work)

        assert found.is_good
        assert (found.held, found.read, len(rows)) == (26, 26, 26)
        # A list, the given customer where that was older, and the three cards beyond twenty.
        assert found.requests <= 1 + 1 + 3
        assert not (work.out / ".readback.tmp").exists()


def test_cards_that_lists_cut_off_are_asked_for_side_by_side(tmp_path, monkeypatch):
    """A vault that takes its time for each would otherwise take as many times as long."""
    asked, under_way, most = CustomersReadBack._card, [], []

    async def seen(self, card):
        under_way.append(card)
        most.append(len(under_way))
        answer = await asked(self, card)
        under_way.remove(card)
        return answer

    monkeypatch.setattr(CustomersReadBack, "_card", seen)
    with attaching(tmp_path) as work:
        work.export(cards(*["big"] * 26, *["large"] * 26))
        work.run()
        found, rows = read(work)

        assert found.is_good
        assert (found.read, len(rows), len(most)) == (52, 52, 2 * (26 - 20))
        assert max(most) == AT_ONCE


def test_every_difference_is_named(tmp_path):
    """A card that was deleted, a changed expiration, a moved default, a stranger, a lost customer."""
    with attaching(tmp_path) as work:
        work.export(cards("ann", "ann", "bob", "cy", "cy", "dee", "eve"))
        work.run()
        by_id = {row["legacy_id"]: row for row in work.mapping()}
        path = {n: f"/customers/{row['customer_id']}" for n, row in by_id.items()}
        ask = work.sandbox.request
        ask("DELETE", f"{path['id-2']}/cards/{by_id['id-2']['card_id']}")
        ask(
            "PATCH",
            f"{path['id-3']}/cards/{by_id['id-3']['card_id']}",
            json={"expiration_month": 1},
        )
        ask("PATCH", path["id-4"], json={"default_card": by_id["id-5"]["card_id"]})
        ask("DELETE", path["id-6"])
        stray = work.sandbox.token()["id"]
        metadata = {"cardferry": mark(work).rpartition("/")[0] + "/999"}
        ask("POST", "/customers", json={"card": stray, "metadata": metadata})
        # A twin without a card, which a vault might make of a request that it did in two acts.
        ask("POST", "/customers", json={"metadata": metadata})
        # One more on a customer of ours.
        ask("PATCH", path["id-7"], json={"card": work.sandbox.token()["id"]})
        found, rows = read(work)

        assert not found.is_good
        assert found.findings["stranger"] == 3
        assert [row["card_id"] for row in rows if row["finding"] == "stranger"].count(None) == 1
        assert findings(rows) == {
            ("id-2", "missing", ""),
            ("id-3", "changed", "expiration_month"),
            ("id-4", "changed", "is_default"),
            ("id-5", "changed", "is_default"),
            ("id-6", "missing", ""),
            (None, "stranger", ""),
        }


def test_a_sample_says_what_it_proves_and_a_stopped_reading_goes_on(tmp_path):
    """One request a card; what was read before the stop is not read again."""
    with attaching(tmp_path) as work:
        work.export(cards(*(f"c{n}" for n in range(30))))
        work.run()
        found, rows = read(work, 20)
        assert (found.requests, len(rows), found.is_sample) == (20, 20, True)
        assert found.differs_at_most == pytest.approx(0.139, abs=0.001)

        stops_after(work, 2)
        found, rows = read(work, 20)
        assert found.requests == 20 - 16
        assert len(rows) == len({row["card_id"] for row in rows}) == 20


def stops_after(work, steps):
    """Read back a sample and stop after so many steps of eight."""
    whole, left = ReadbackProgress.step, [steps]

    def step(self, *told):
        if left[0] == 0:
            raise Interrupted(2)
        left[0] -= 1
        whole(self, *told)

    ReadbackProgress.step = step
    try:
        with pytest.raises(Interrupted):
            read(work, 20)
    finally:
        ReadbackProgress.step = whole


def test_tokens_alone_are_read_one_by_one(tmp_path):
    """There, unused, with the digits, expiration and mode that they should have."""
    with attaching(tmp_path) as work:
        work.export(cards("ann", "bob", "cy"))
        work.run(attach=False)
        found, rows = read(work, attach=False)
        assert (found.is_good, found.is_of_tokens, len(rows), found.requests) == (True, True, 3, 3)

        work.sandbox.request("POST", "/customers", json={"card": work.mapping()[1]["token_id"]})
        found, rows = read(work, attach=False)
        assert findings(rows) == {("id-2", "changed", "used")}


def test_cards_on_customers_are_not_read_back_without_the_api_host(tmp_path):
    """The settings that the run was started with are needed."""
    with attaching(tmp_path) as work:
        work.export(cards("ann"))
        work.run()
        with pytest.raises(SettingsRefused):
            read(work, attach=False)
