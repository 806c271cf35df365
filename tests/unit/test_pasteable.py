"""Commands that messages advise are given what the command in whose message they stand was given."""

from pathlib import Path

import pytest

from pipeline.cli.advice import program
from pipeline.cli.pasteable import advice, filled_in, places_of

SETTINGS = {"config_file": Path("my settings.toml"), "overrides": ("flow.rate_per_s=2",)}


@pytest.mark.parametrize(
    ("command", "options", "text", "pasteable"),
    [
        ("status", {"folder": Path("-out")}, "verify DIR", "verify ./-out"),
        ("run", {"folder": Path("my out")}, "publish DIR --restore", "publish 'my out' --restore"),
        (
            "run",
            {"folder": Path("out"), "exports": (Path("a b.pgp"), Path("c.pgp")), **SETTINGS},
            "check EXPORT... -c CONFIG",
            "check 'a b.pgp' c.pgp -c 'my settings.toml' --set flow.rate_per_s=2",
        ),
        ("inbox", {"folder": Path("in"), "out": Path("out")}, "verify DIR", "verify out"),
        ("seal", {"file": Path("a.csv"), "out": Path("b")}, "verify DIR", "verify DIR"),
        ("run", {"config_file": None}, "check EXPORT -c CONFIG", "check EXPORT"),
        (
            "run",
            {"folder": Path("EXPORT"), "exports": (Path("DIR"),)},
            "run EXPORT -o DIR",
            "run DIR -o EXPORT",
        ),
    ],
)
def test_an_advised_command_names_what_was_given(command, options, text, pasteable):
    """Folder, exports and settings as a shell takes them; what nobody gave stays a word for it."""
    told = filled_in(f"Look at `cardferry {text}`; `verify DIR` too.", places_of(command, options))

    assert told == f"Look at `{program()} {pasteable}`; `verify DIR` too."


def test_a_message_without_a_command_stays_as_it_is():
    """A word of a message that is written like a place is none."""
    text = "Name the EXPORT and the DIR, `--wait-lock 15m` does."

    assert filled_in(text, {"EXPORT": "a", "DIR": "b"}) == text


@pytest.mark.parametrize(
    ("options", "text", "is_told"),
    [
        ({"config_file": None}, "Set `export.key` to the secret key file.", True),
        ({"config_file": None}, "Run the same command again.", False),
        ({"folder": Path("out")}, "Set `export.key` to the secret key file.", False),
    ],
)
def test_advice_about_a_setting_says_that_no_settings_file_was_named(options, text, is_told):
    """Whoever forgot -c looks for a setting that stands in a file which nobody read."""
    told = advice(text, "run", options)

    assert is_told == ("No settings file was named (-c)" in told)
    assert told.startswith(text)


@pytest.mark.parametrize(
    ("text", "pasteable"),
    [
        ("Set `export.key` to it; see `export.engine`.", "Set `export.key` in my.toml to it; see"),
        ("Correct it in the settings file.", "Correct it in my.toml."),
        ("Name the settings file.", "Name the settings file."),
    ],
)
def test_advice_about_a_setting_names_the_file_that_it_stands_in(text, pasteable):
    """Whoever is woken by it was not there when the command was written; once a message is enough."""
    told = advice(text, "run", {"config_file": Path("my.toml")})

    assert told.startswith(pasteable)
    assert told.count("in my.toml") <= 1
