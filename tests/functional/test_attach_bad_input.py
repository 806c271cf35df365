"""What cannot come on a customer is refused before a token is spent: settings, columns, rows."""

import pytest

from tests.support.attach_runs import attaching, cards
from tests.support.judged import command


def tokens_of(work):
    return [line for line in work.sandbox.entries() if "name_sha256" in line]


def run_by_command(work, *more, without=()):
    """Run the command itself, with settings more or fewer; give how it ended."""
    rules = [rule for rule in work.overrides() if not rule.startswith(without or "-")]
    words = [word for rule in (*rules, *more) for word in ("--set", rule)]
    return command(work.base, "run", *work.exports, "-o", work.out, "--yes", "--json", *words)


def test_all_that_is_wrong_with_the_settings_of_attaching_is_told_at_once(tmp_path):
    """No secret key, one host elsewhere, no customer column, a name in braces that is none."""
    with attaching(tmp_path) as work:
        work.export(cards("ann"))
        done = run_by_command(
            work,
            "attach.url='https://api.example'",
            "attach.secret_key={env='CARDFERRY_NO_SUCH_KEY'}",
            "attach.description='{nobody}'",
            without=("export.columns.customer=", "attach.secret_key=", "attach.url="),
        )
        settings = (
            "attach.metadata or attach.description",
            "attach.secret_key",
            "export.columns.customer",
            "vault.url",
        )

        assert done.code == 7
        assert [name for name in settings if f"{name}: " not in done.answer["error"]] == []
        assert tokens_of(work) == []


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("skey_x", "is a live key"),
        ("pkey_test_x", "is a public key; the secret one begins with skey_"),
        ("x", "is not a secret key"),
    ],
    ids=["of the other mode", "public", "neither"],
)
def test_a_key_that_is_no_secret_key_of_this_mode_spends_nothing(tmp_path, key, words):
    """Exit code 7, the setting is named and the key is not repeated."""
    with attaching(tmp_path) as work:
        work.export(cards("ann"))
        done = run_by_command(work, f"attach.secret_key={key}")

        assert done.code == 7
        assert f"attach.secret_key: {words}" in done.out + done.err
        assert tokens_of(work) == []


def test_an_export_without_the_customer_column_is_refused_with_the_column_named(tmp_path):
    """The settings name a column that no record has; nothing is sent for any row."""
    with attaching(tmp_path) as work:
        work.export(cards("ann"))
        done = run_by_command(work, "export.columns.customer=nobody")

        assert done.code == 6
        assert "lacks customer (column `nobody`)" in done.answer["error"]
        assert tokens_of(work) == []


def test_metadata_that_would_show_a_card_number_rejects_the_row(tmp_path):
    """Two harmless values put together are one; the others of the export go on their way."""
    note = "attach.metadata={ note = 'x{legacy_id}{customer}' }"
    with attaching(tmp_path, note) as work:
        whole = [row.split(",") for row in cards("42424242", "42424242", "ben")]
        rows = [["42424242", *whole[0][1:]], ["id-2", *whole[1][1:]], whole[2]]
        work.export([",".join(row) for row in rows])
        ending = work.run()
        sheet = (work.out / "failures.csv").read_text()

        assert ending.exit_code == 3
        assert work.failures() == {"42424242": "field_contains_card_number"}
        assert ",metadata," in sheet
        assert len(tokens_of(work)) == len(work.mapped()) == 2


@pytest.mark.parametrize("letter", ["L", "A"], ids=["an answer of the other mode", "refused"])
def test_a_given_customer_that_cannot_be_judged_stops_before_a_token(tmp_path, letter):
    """It is read before its first card's token is made; then the settings are to be looked at."""
    with attaching(tmp_path, api_faults=".." + letter) as work:
        given = work.sandbox.request("POST", "/customers", json={}).json()["id"]
        work.export(cards(("gil", given, "")))
        ending = work.run()

        assert ending.exit_code == 7
        assert "attach.secret_key" in str(ending.trouble)
        assert tokens_of(work) == []
        assert work.failures() == {}


def test_a_customer_without_a_name_may_have_one_of_its_own(tmp_path):
    """`without_customer = "own"`: a customer for each such card; none is shared."""
    with attaching(tmp_path, "attach.without_customer=own") as work:
        work.export(cards("", "", "ann"))
        ending = work.run()

        assert ending.exit_code == 0
        assert len({customer for customer, _ in work.mapped()}) == 3
        assert work.mapped() == work.at_the_vault()
