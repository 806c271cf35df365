"""An address that nothing was sent to is corrected, and the same command goes on."""

import pytest

from tests.support.attach_runs import HastyClock, attaching, cards
from tests.support.migrations import Migration, new_rows
from tests.support.sampled import slow
from tests.support.sandbox import running

WRONG, WRONG_TOO = "http://127.0.0.1:1", "http://127.0.0.1:9"
HURRY = "tests.support.hooks:hurry"
_LIVE = ("--set", "vault.public_key=pkey_live")


@pytest.fixture
def vault(tmp_path):
    with running(journal=tmp_path / "journal") as sandbox:
        yield sandbox


@pytest.fixture
def migration(tmp_path, vault):
    return Migration(tmp_path / "m", vault)


def at(url, *options):
    """Give the options of a run that looks for the vault elsewhere."""
    return ("--set", f'vault.url="{url}"', *options)


def test_a_first_run_at_a_wrong_port_goes_on_at_the_right_one(migration):
    """Exit 4 twice, at two wrong ports; then the same command sends every card, once."""
    migration.add(new_rows(6))
    for url in (WRONG, WRONG_TOO):
        ended = migration.run(*at(url), hook=HURRY)
        assert ended.code == 4, ended.said
        assert "cannot be reached" in ended.said
    ended = migration.run()

    assert ended.code == 0, ended.said
    assert {"tokenized": 6} == dict(migration.check().states)
    assert 6 == len(migration.journal)


def test_a_night_with_a_mistyped_address_costs_a_healthy_folder_no_other_night(migration):
    """The cards of that night go out in the next one, to where all others went."""
    migration.add(new_rows(6))
    assert migration.run().code == 0
    migration.add(new_rows(4, first=7, seed=2))
    assert migration.run(*at(WRONG), hook=HURRY).code == 4
    assert {"tokenized": 6, "planned": 4} == dict(migration.check().states)
    ended = migration.run()

    assert ended.code == 0, ended.said
    assert {"tokenized": 10} == dict(migration.check().states)
    assert 10 == len(migration.journal)


def test_rows_that_wait_never_go_on_at_another_address_once_a_card_was_sent(migration):
    """Also after the address was corrected: from the first card on it stays, until none waits."""
    migration.add(new_rows(6))
    assert migration.run(*at(WRONG), hook=HURRY).code == 4
    assert migration.run("--limit", "2").code == 4
    refused = migration.run(*at(WRONG), hook=HURRY)

    assert refused.code == 7, refused.said
    assert "differ from those this unfinished migration began with" in refused.said
    assert migration.run().code == 0
    assert 6 == len(migration.journal)


@pytest.mark.parametrize(
    "setting",
    ['rules.expired="tokenize"', slow('rules.brands=["Visa"]'), slow('vault.mode="live"')],
)
def test_only_the_address_is_corrected(migration, setting):
    """Rows that were planned by other rules are not sent by new ones, though nothing was sent."""
    migration.add(new_rows(3))
    assert migration.run(*at(WRONG), hook=HURRY).code == 4
    refused = migration.run("--set", setting, *(_LIVE if "live" in setting else ()))

    assert refused.code == 7, refused.said
    assert [] == migration.journal
    assert migration.run().code == 0


@pytest.mark.parametrize("place", ["chunk-before:1", "chunk-after:1", "finish-after:1"])
def test_a_run_that_is_killed_at_a_wrong_address_is_corrected_too(migration, place):
    """Whether it had planned its rows by then or not."""
    migration.add(new_rows(5))
    died = migration.run(
        *at(WRONG), hook="tests.support.hooks:die", environment={"CARDFERRY_TEST_DEATH": place}
    )
    assert died.killed, died.said
    ended = migration.run()

    assert ended.code == 0, ended.said
    assert {"tokenized": 5} == dict(migration.check().states)


@pytest.mark.parametrize("place", ["commit-after:1", slow("send-before:1"), slow("send-after:1")])
def test_a_run_that_was_killed_about_to_send_keeps_its_address(migration, place):
    """The intent is durable; whether its card arrived is not asked."""
    migration.add(new_rows(5))
    died = migration.run(
        hook="tests.support.hooks:die", environment={"CARDFERRY_TEST_DEATH": place}
    )
    assert died.killed, died.said
    refused = migration.run(*at(WRONG), hook=HURRY)

    assert refused.code == 7, refused.said
    assert migration.run().code == 0
    migration.check()


def test_a_mistyped_address_of_the_api_host_is_corrected_too(tmp_path):
    """The vault itself was there; no token was made that could not be put on a customer."""
    with attaching(tmp_path) as work:
        work.export(cards("anna", "ben"))
        ended = work.run(f'attach.url="{WRONG}"', clock=HastyClock())
        assert ended.exit_code == 4, ended.trouble
        assert [] == work.sandbox.entries()
        ended = work.run()

        assert (ended.exit_code, ended.trouble) == (0, None)
        assert 2 == len(work.mapped())
        assert work.mapped() == work.at_the_vault()
