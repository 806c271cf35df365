"""Exports that are not the ones that were meant, by digest, rows and share of failures."""

import hashlib

import pytest

from tests.support.commands import settings
from tests.support.judged import command

HEADER = "legacy_id,name,number,expiration_month,expiration_year,city,legacy_customer_id\n"
GOOD = "id-{0},Ann,4242424242424242,1,2031,Bangkok,c\n"
PLAIN = HEADER + "".join(map(GOOD.format, range(10))) + "id-x,Ann,4242,1,2031,B,c\n"
DIGEST = hashlib.sha256(PLAIN.encode()).hexdigest()


def checked(folder, *sets, exports=("cards.csv",)):
    """Check plain exports with some settings changed."""
    for name in exports:
        (folder / name).write_text(PLAIN)
    config = settings(folder, "http://127.0.0.1:9", key=None)
    words = [word for one in ("export.allow_plaintext=true", *sets) for word in ("--set", one)]
    paths = [folder / name for name in exports]
    return command(folder, "check", *paths, "-c", config, "--json", *words)


@pytest.mark.parametrize(
    ("sets", "code", "said"),
    [
        (["rules.max_rows=11", "rules.expect_rows=11"], 3, None),
        ([f"rules.expect_sha256={DIGEST.upper()}"], 3, None),
        (["rules.max_rows=10"], 6, "more than 10 rows"),
        (["rules.expect_rows=12"], 6, "it has 11 rows, and rules.expect_rows says 12"),
        (["rules.expect_rows=4", "flow.chunk_rows=3"], 6, "more than 4 rows"),
        ([f"rules.expect_sha256={'0' * 64}"], 6, "not the export that rules.expect_sha256"),
        (["rules.expect_sha256=abc"], 7, "rules.expect_sha256: is no SHA-256"),
        (["rules.max_failure_rate=0.05"], 6, "1 of 11 rows fails, more than"),
        (["rules.max_failure_rate=0.1"], 3, None),
    ],
)
def test_an_export_that_was_not_meant_is_refused(tmp_path, sets, code, said):
    """Each expectation that does not hold refuses the export, and says by how much."""
    done = checked(tmp_path, *sets)

    assert code == done.code, done.err
    assert said is None or said in done.answer["error"]


def test_expectations_of_one_export_are_not_put_to_two(tmp_path):
    """Rows and digest can be those of one export only: the settings are refused."""
    done = checked(tmp_path, "rules.expect_rows=11", exports=("a.csv", "b.csv"))

    assert done.code == 7
    assert "speak of one export" in done.answer["error"] + str(done.answer["problems"])


def test_a_check_needs_no_key_of_the_vault(tmp_path, monkeypatch):
    """Secrets that it does not use may be missing: the vault's, the signing key, addresses."""
    monkeypatch.delenv("NOT_THERE", raising=False)
    missing = "={ env = 'NOT_THERE' }"
    names = ("vault.public_key", "audit.signing_key", "watch.ping_url")

    assert checked(tmp_path, *(name + missing for name in names)).code == 3
    assert checked(tmp_path, "export.passphrase" + missing).code == 7
