"""`cardferry init`: from a sealed export to settings that `check` takes as they are."""

from __future__ import annotations

import json
import tomllib

import pytest

from tests.support.commands import cardferry, sealed
from tests.support.drafts import OWN, of_presets
from tests.support.exports import by_passphrase, keyring

GERMAN = next(sent for sent in OWN if sent.name == "semicolons in German")
ODD = next(sent for sent in OWN if sent.name == "odd names")
STRIPE = next(sent for sent in of_presets() if sent.preset == "stripe")
PEOPLE = {
    "customers": [
        {
            "id": f"cus_{place}",
            "default_source": f"card_{place}",
            "cards": [
                {
                    "id": f"card_{place}",
                    "number": "4242424242424242",
                    "name": "Ann",
                    "exp_month": 12,
                    "exp_year": 2031,
                }
            ],
        }
        for place in range(3)
    ]
}


@pytest.mark.parametrize(
    ("sent", "preset", "mode"),
    [(GERMAN, None, "live"), (STRIPE, "stripe", "live"), (PEOPLE, "stripe-json", "test")],
)
def test_an_export_becomes_settings_that_check_takes_as_they_are(tmp_path, sent, preset, mode):
    """No edit between `init` and a clean `check`; the key is named, and nothing else is written."""
    raw = json.dumps(sent).encode() if isinstance(sent, dict) else sent.raw
    export = sealed(tmp_path, raw)
    file = tmp_path / "own.toml"

    done = cardferry("init", export, "--key", keyring().secret("cv25519"), "-o", file)
    told = tomllib.loads(file.read_text("utf-8"))
    checked = cardferry(
        "check", export, "-c", file, "--json", "--set", "rules.brands=['*']", code=None
    )

    assert "drafted as" in done.err
    assert "unsure" not in done.err
    assert told["export"].get("preset") == preset
    assert told["vault"]["mode"] == mode
    assert {path.name for path in tmp_path.iterdir()} == {export.name, file.name}
    answer = json.loads(checked.out)
    to_vault_elsewhere = {"real_card_in_test_mode"} if mode == "test" else set()
    assert set(answer["failures"]) <= to_vault_elsewhere
    assert answer["to_send"] == answer["rows"] > 0


def test_what_is_unsure_is_told_and_an_existing_file_is_left_alone(tmp_path):
    """Candidates stand as comments and are told beside; a second `init` does not write over it."""
    export = sealed(tmp_path, ODD.raw)
    key = keyring().secret("cv25519")
    done = cardferry("init", export, "--key", key)
    file = tmp_path / "own.toml"
    file.write_text("mine", "utf-8")
    again = cardferry("init", export, "--key", key, "-o", file, code=2)
    wrong = cardferry("init", export, "--key", key, "--preset", "none", code=2)

    assert '# legacy_id = ""  # unsure; candidates: "a"' in done.out
    assert tomllib.loads(done.out)["export"]["columns"] == {"number": "b"}
    assert "unsure: export.columns.legacy_id: `a`" in done.err
    assert "exists already" in again.err
    assert file.read_text("utf-8") == "mine"
    assert "cardferry presets" in wrong.err


def test_init_says_what_is_wrong_with_an_export_as_run_does(tmp_path):
    """A key that does not open it, or a message that was cut, ends with 6."""
    export = sealed(tmp_path, ODD.raw)
    stranger = cardferry("init", export, "--key", keyring().secret("stranger"), code=6)
    cut = tmp_path / "cut.pgp"
    cut.write_bytes(export.read_bytes()[:-40])

    assert "not sealed to" in stranger.err
    assert cardferry("init", cut, "--key", keyring().secret("cv25519"), code=6).out == ""


def test_a_passphrase_is_named_only_where_it_was_needed(tmp_path):
    """Without the variable its name is told; with it the draft is TOML that names it, and no other."""
    locked = tmp_path / "locked.pgp"
    locked.write_bytes(by_passphrase(ODD.raw, "one two"))
    variable = {"EXPORT_PASSPHRASE": "one two"}
    key = tmp_path / "open.key"
    key.write_bytes(keyring().secret("cv25519").read_bytes())
    key.chmod(0o644)

    refused = cardferry("init", locked, environment={"EXPORT_PASSPHRASE": ""}, code=6)
    wrong = cardferry("init", locked, environment={"EXPORT_PASSPHRASE": "x"}, code=6)
    done = cardferry("init", locked, environment=variable)
    unneeded = cardferry("init", sealed(tmp_path, ODD.raw), "--key", key, environment=variable)

    assert "EXPORT_PASSPHRASE" in refused.err
    assert "EXPORT_PASSPHRASE" in wrong.err
    assert "export.passphrase" not in refused.err + wrong.err
    assert tomllib.loads(done.out)["export"]["passphrase"] == {"env": "EXPORT_PASSPHRASE"}
    assert "passphrase" not in tomllib.loads(unneeded.out)["export"]
    assert "chmod 600" in unneeded.err
    assert "chmod" not in done.err
