"""What one run says of exports whose ids look like card numbers, and of exports sealed to different keys."""

import json
from random import Random

import pytest

from tests.support.cards import card_number
from tests.support.commands import HEADER, rows_csv, sealed, settings
from tests.support.exports import keyring
from tests.support.judged import command
from tests.support.sandbox import running

ALLOWED = ("[rules]", 'lookalike_ids = "allow"')
NUMBER = "4242424242424242"


def with_lookalikes(count, of):
    """Give an export some of whose ids pass as card numbers by chance, none as its own."""
    rows = []
    for place in range(of):
        like_one = card_number(Random(place), "MasterCard")
        legacy_id = like_one if place < count else f"id-{place}"
        rows.append(f"{legacy_id},Ann {place},{NUMBER},12,2031,Oslo,c{place}")
    return "\n".join([HEADER, *rows, ""]).encode()


@pytest.mark.parametrize(
    ("count", "of", "code"), [(3, 6, 0), (4, 6, 6), (2501, 5002, 0), (2502, 5002, 6)]
)
def test_a_column_more_than_half_of_which_passes_as_card_numbers_is_refused(
    tmp_path, count, of, code
):
    """Half of it may be chance; one more is a column of numbers, in one chunk or over two."""
    export = sealed(tmp_path, with_lookalikes(count, of))
    config = settings(tmp_path, "http://127.0.0.1:9", *ALLOWED)

    done = command(tmp_path, "check", export, "-c", config, "--json")

    assert done.code == code, done.err
    if code:
        assert "more than half of the ids pass as card numbers" in done.err
        assert "legacy_id" in done.err
    else:
        assert done.answer["to_send"] == of
        assert done.answer["lookalike_ids"] == {"legacy_id": count}


def test_two_exports_with_two_keys_are_carried_by_one_run(tmp_path):
    """Each is opened by the key of the list that it is sealed to, in both passes."""
    first = sealed(tmp_path, rows_csv(3), "first.csv.pgp", to="cv25519")
    second = sealed(tmp_path, rows_csv(2, first=4), "second.csv.pgp", to="rsa")
    with running(journal=tmp_path / "journal") as vault:
        config = settings(tmp_path, vault.base_url)
        one, other = (f'{{ file = "{keyring().secret(name)}" }}' for name in ("cv25519", "rsa"))
        config.write_text(config.read_text().replace(f"key = {one}", f"key = [{one}, {other}]"))
        words = ("-c", config, "-o", tmp_path / "out", "--json")
        run = command(tmp_path / "out", "run", first, second, *words)
        made = len(vault.entries())

    assert run.code == 0, run.err
    assert made == 5
    assert {row["legacy_id"] for row in run.rows("mapping")} == {f"id-{n}" for n in range(1, 6)}
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    keys = {export["key_fingerprint"] for export in report["exports"]}
    assert None not in keys
    assert len(keys) == 2
