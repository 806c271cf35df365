"""What is wrong with settings is said in the words of a settings file, and names the key meant."""

from typing import get_args

import pytest

from pipeline.config.layouts import Layout
from pipeline.config.loading import read_settings
from pipeline.errors import SettingsRefused

ENVIRONMENT = {"OMISE_PUBLIC_KEY": "pkey_test_1", "OMISE_SECRET_KEY": "skey_test_1"}
TABLE = 'must be a table such as { env = "NAME" }, { file = "PATH" } or { fd = 3 }'
LAYOUTS = " or ".join(", ".join(map(repr, get_args(Layout))).rsplit(", ", 1))
SAID = {
    'vault = "x"': ["vault: must be a table: [vault]"],
    "[vault]\npublic_key = 5": [f"vault.public_key: {TABLE}"],
    '[vault]\npublic_key = { environ = "X" }': [
        "vault.public_key.environ: is not a setting; did you mean `env`?"
    ],
    '[watch]\nping_url = "https://x"': [f"watch.ping_url: {TABLE}"],
    '[export]\nkey = "migration.key"': [
        'export.key: must be a table such as { file = "migration.key" }, or a list of them'
    ],
    '[export]\nkey = [{ file = "a" }, { gp = "x" }]': [
        "export.key.gp: is not a setting; did you mean `gpg`?"
    ],
    '[export]\nsigners = "x"\nallow_plaintext = "ja"': [
        'export.signers: must be a list, such as ["a", "b"]',
        "export.allow_plaintext: must be true or false",
    ],
    "[export.columns]\nname = 1.5": [
        'export.columns.name: must be text in quotes or a list, such as ["a", "b"]'
    ],
    '[export.columns]\nexpiration = { column = "x", format = "MM.YY" }': [
        f"export.columns.expiration.format: must be {LAYOUTS}"
    ],
    '[export.columns]\nlegacy = "x"': [
        "export.columns.legacy: is not a setting; did you mean `legacy_id`?"
    ],
    '[flow]\nrate_pers = 5\nrate_per_s = "fast"\nattempts_max = 1.5': [
        "flow.rate_per_s: must be a number",
        "flow.attempts_max: must be a whole number",
        "flow.rate_pers: is not a setting; did you mean `rate_per_s`?",
    ],
    "[flow]\nrate = 5": ["flow.rate: is not a setting; did you mean `rate_per_s`?"],
    "[flow]\nin_flight_max = 0": ["flow.in_flight_max: must be greater than or equal to 1"],
    "[vault]\nattempts_max = 5": [
        "vault.attempts_max: is not a setting here; it belongs under [flow]"
    ],
    "[flwo]\nx = 1": ["flwo: is not a setting; did you mean `flow`?"],
    "[vault]\nzebra = 1": ["vault.zebra: is not a setting"],
    '[rules]\nas_of = "tomorrow"': ["rules.as_of: must be a day, such as 2026-12-01"],
    '[watch]\ninbox_done = "mv"': ["watch.inbox_done: must be 'leave', 'move' or 'remove'"],
}


@pytest.mark.parametrize("text", SAID)
def test_a_wrong_setting_is_told_once_and_in_plain_words(tmp_path, text):
    """Each problem is one sentence that says what may stand there; no word of the validator's own."""
    file = tmp_path / "settings.toml"
    file.write_text(text)

    found = read_settings(file, ENVIRONMENT)

    assert set(SAID[text]) == {p for p in found.problems if not p.startswith("export.key: no")}
    assert not any("nput should" in p or "instance of" in p for p in found.problems)


def test_without_a_settings_file_the_message_says_so():
    """Whoever forgot -c is not sent to look for a mistake in a file that is not there."""
    with pytest.raises(SettingsRefused) as refused:
        read_settings(None, {}).refuse()

    assert "No settings file was named: give one with -c" in refused.value.next_step
