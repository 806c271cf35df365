"""`cardferry config`: settings that are shown can be read again, and no secret is among them."""

import tomllib

import pytest

from pipeline.config.loading import load_settings
from tests.support.commands import ROOT, cardferry, settings

EXAMPLE = ROOT / "configs" / "production.example.toml"
ODD = {
    "line end": "two\nlines",
    "quotes": 'a "quoted" name',
    "backslash": "DOMAIN\\user",
    "control sign": "bell\x07 and tab\t",
    "beyond ascii": "สมชาย ใจดี",
}


@pytest.mark.parametrize("case", ODD)
def test_what_config_prints_are_the_same_settings_wherever_they_are_read(tmp_path, case):
    """Odd texts, paths beside the file and a key that stands inline survive the way out and back."""
    given = settings(tmp_path, "http://127.0.0.1:9", "[rules]", "as_of = 2026-01-31")
    (tmp_path / "sender.asc").write_text("stands for a certificate")
    given.write_text(
        given.read_text("utf-8").replace("[export]\n", '[export]\nsigners = ["sender.asc"]\n', 1),
        "utf-8",
    )
    environment = {"CARDFERRY_AUDIT_OPERATOR": ODD[case]}
    shown = cardferry("config", "-c", given.name, cwd=tmp_path, environment=environment).out
    again = tmp_path / "elsewhere" / "shown.toml"
    again.parent.mkdir()
    again.write_text(shown, "utf-8")

    before, _ = load_settings(given, environment)
    after, _ = load_settings(again, {})

    assert after.audit.operator == ODD[case]
    assert "pkey_test_x" not in shown
    left_out = {"vault": {"public_key"}}
    assert before.model_dump(exclude=left_out) == after.model_dump(exclude=left_out)


def test_the_example_is_printed_as_it_is_shipped():
    """`--example` gives every setting with its comment, and needs no settings of its own."""
    shown = cardferry("config", "--example").out

    assert EXAMPLE.read_text("utf-8") == shown
    assert "vault" in tomllib.loads(shown)
