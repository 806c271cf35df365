"""Runs with `[attach]`: every card ends on its customer, and the mapping says on which."""

from tests.support.attach_runs import attaching, cards


def test_a_run_ends_with_every_card_on_its_customer(tmp_path):
    """Two cards on one customer, a flagged default, a customer of the export's own naming."""
    with attaching(tmp_path) as work:
        work.export(cards("anna", ("anna", "", "yes"), "ben"))
        ending = work.run()
        mapping = {row["legacy_id"]: row for row in work.mapping()}
        anna = work.customer(mapping["id-1"]["customer_id"])

        assert (ending.exit_code, ending.trouble) == (0, None)
        assert work.mapped() == work.at_the_vault()
        assert len(work.mapped()) == 3
        assert mapping["id-1"]["customer_id"] == mapping["id-2"]["customer_id"]
        assert [row["is_default"] for row in mapping.values()] == [False, True, True]
        assert {row["customer_origin"] for row in mapping.values()} == {"made"}
        assert anna["metadata"]["legacy_customer_id"] == "anna"
        assert anna["email"] == "p1@example.com"
        assert ending.this_run.rows["attached"] == 3
