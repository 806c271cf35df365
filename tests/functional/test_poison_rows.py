"""One card against all: rows that the vault refuses for themselves stop nobody else."""

import csv
import itertools
import json
from random import Random

import pytest

from tests.support.cards import card_number
from tests.support.crash import zygote
from tests.support.hostile_vault import hostile_vault
from tests.support.sampled import sampled, slow

HEADER = "legacy_id,name,number,expiration_month,expiration_year"
HURRY = "tests.support.hooks:hurry"


class Carried:
    """A folder of one export of named rows, and how its runs ended."""

    def __init__(self, folder, names, *, number=None, flow="in_flight_max = 8\nrate_per_s = 1000"):
        random = Random(1)
        self.out, self.flow, self.base = folder / "out", flow, folder
        lines = [
            f"id-{place},{name},{number or card_number(random)},12,2031"
            for place, name in enumerate(names, 1)
        ]
        self.export = folder / "cards.csv"
        self.export.write_text("\n".join([HEADER, *lines]) + "\n", "utf-8")

    def run(self, vault, *words, command="run", hook=None):
        settings = self.base / "settings.toml"
        settings.write_text(
            f'[vault]\nurl = "{vault.url}"\npublic_key = "pkey_test_x"\n'
            f"[export]\nallow_plaintext = true\n[flow]\n{self.flow}\n",
            "utf-8",
        )
        places = [self.out, self.export] if command == "retry" else [self.export, "-o", self.out]
        self.ended = zygote().run(command, *places, "-c", settings, "--yes", *words, hook=hook)
        return self.ended.code

    def states(self):
        ended = zygote().run("status", self.out, "--json")
        return {k: n for k, n in json.loads(ended.said)["states"].items() if n}

    def failures(self):
        with (self.out / "failures.csv").open(encoding="utf-8", newline="") as file:
            return {(row["legacy_id"], row["code"], row["state"]) for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    ("place", "poison"),
    sampled(itertools.product([0, 30, 59], ["403", "404", "429", "302"]), 6),
)
def test_a_row_that_the_vault_refuses_is_set_aside_and_named(tmp_path, poison, place):
    """Wherever it stands, every other row gets its token and the run ends; it may be retried."""
    names = [f"row {number}" for number in range(60)]
    names[place] += f" poison-{poison}"
    run = Carried(tmp_path, names)
    with hostile_vault() as vault:
        code = run.run(vault, hook=HURRY)

    assert 3 == code, run.ended.said
    assert {"tokenized": 59, "failed": 1} == run.states()
    assert {(f"id-{place + 1}", "vault_refused_row", "failed")} == run.failures()
    assert 59 == vault.requests["good"]
    with hostile_vault(healed={poison}) as vault:
        assert 0 == run.run(vault, command="retry", hook=HURRY), run.ended.said
    assert {"tokenized": 60} == run.states()


@pytest.mark.parametrize("poison", ["403", slow("404"), slow("302")])
def test_a_vault_that_denies_everybody_stops_the_run_and_blames_no_row(tmp_path, poison):
    """Several cards in a row with no success between are the vault's word for all."""
    run = Carried(tmp_path, [f"row {n} poison-{poison}" for n in range(60)])
    with hostile_vault() as vault:
        code = run.run(vault)

    assert 7 == code, run.ended.said
    assert {"planned": 60} == run.states()
    assert 16 >= vault.requests[poison]


def test_a_vault_that_denies_from_some_row_on_stops_the_run(tmp_path):
    """A key that is blocked in mid-run blames no row of those that were not settled."""
    names = [f"row {n}" for n in range(40)] + [f"row {n} poison-403" for n in range(40)]
    run = Carried(tmp_path, names)
    with hostile_vault() as vault:
        assert 7 == run.run(vault)

    assert {"tokenized": 40, "planned": 40} == run.states()


def test_a_vault_that_rejects_the_form_of_everything_stops_the_run(tmp_path):
    """The first twenty rejected for their form are our doing; the rest is not burnt."""
    run = Carried(tmp_path, [f"row {n} poison-bad" for n in range(400)])
    with hostile_vault() as vault:
        code = run.run(vault)

    assert 7 == code, run.ended.said
    assert 40 >= run.states()["rejected"]
    with hostile_vault(healed={"bad"}, port=vault.port) as vault:
        assert 0 == run.run(vault, "--code", "vault_rejected", command="retry"), run.ended.said
    assert {"tokenized": 400} == run.states()


def test_rows_of_bad_form_among_good_ones_are_rejected_one_by_one(tmp_path):
    """Once a token was made, a bad request is the row's own."""
    names = ["good", *(f"row {n} poison-bad" for n in range(60))]
    run = Carried(tmp_path, names, flow="in_flight_max = 1\nrate_per_s = 1000")
    with hostile_vault() as vault:
        assert 3 == run.run(vault)

    assert {"tokenized": 1, "rejected": 60} == run.states()


def test_an_answer_that_repeats_the_number_is_held_and_stops_with_nine(tmp_path):
    """The number reaches no file; the token is counted as one that may exist unseen."""
    number = card_number(Random(7))
    run = Carried(tmp_path, ["row poison-echo"], number=number)
    with hostile_vault() as vault:
        code = run.run(vault)
    written = b"".join(path.read_bytes() for path in run.out.iterdir())

    assert 9 == code, run.ended.said
    assert {"held": 1} == run.states()
    assert number.encode() not in written


def test_the_run_after_an_answer_that_repeats_the_number_carries_the_rest(tmp_path):
    """That row stays held, is named and not asked for again; no other row is lost or sent twice."""
    names = [f"row {number}" for number in range(60)]
    names[30] += " poison-echo"
    run = Carried(tmp_path, names)
    with hostile_vault() as vault:
        stopped, named = run.run(vault), run.failures()
        resumed = run.run(vault)

    assert (9, 0) == (stopped, resumed), run.ended.said
    assert {("id-31", "answer_mismatch", "held")} == named == run.failures()
    assert {"tokenized": 59, "held": 1} == run.states()
    assert {"good": 59, "echo": 1} == vault.requests


def test_another_brand_in_an_answer_is_a_counted_warning(tmp_path):
    """Vaults name brands their own way; the token is the card's by its digits, and kept."""
    run = Carried(tmp_path, [f"row {n} poison-brand" for n in range(3)] + ["row"])
    with hostile_vault() as vault:
        assert 0 == run.run(vault, "--json")
    report = json.loads((run.out / "report.json").read_text("utf-8"))

    assert {"tokenized": 4} == run.states()
    assert 3 <= report["runs"][0]["statistics"]["other_brands"]
    assert "the vault calls some brands otherwise" in run.ended.said


def test_cards_that_an_answer_cannot_tell_apart_are_never_in_flight_together(tmp_path):
    """Equal last four digits and expiration: the second waits for the first to be done."""
    run = Carried(tmp_path, [f"row {n}" for n in range(40)], number="4242424242424242")
    with hostile_vault(latency_s=0.02) as vault:
        assert 0 == run.run(vault)

    assert {"tokenized": 40} == run.states()
    assert 1 == vault.most_alike


@pytest.mark.parametrize("in_flight_max", [1, 8])
def test_a_row_that_was_set_aside_is_tried_again_though_its_like_waits_for_it(
    tmp_path, in_flight_max
):
    """What comes next has to wait until that row is settled, and nobody waits for both."""
    flow = f"in_flight_max = {in_flight_max}\nrate_per_s = 1000"
    run = Carried(tmp_path, [*(f"row {n}" for n in range(9)), "row 9 poison-429"], flow=flow)
    later = tmp_path / "later.csv"
    later.write_text(f"{HEADER}\nid-10,the same,{card_number(Random(2))},11,2031\n", "utf-8")
    with hostile_vault() as vault:
        assert 3 == run.run(vault, later, hook=HURRY), run.ended.said

    assert {"tokenized": 10, "failed": 1} == run.states()
    assert 10 == vault.requests["good"]
