import tomllib
from pathlib import Path
from typing import get_args

from pipeline.config.attach import AttachSettings
from pipeline.config.loading import load_settings
from pipeline.config.models import Section, Settings

CONFIGS = Path(__file__).parents[2] / "configs"


def _keys(section: type[Section], prefix: str = "") -> set[str]:
    found = set()
    for name, field in section.model_fields.items():
        # A table that may be missing is a union with None.
        others = [one for one in get_args(field.annotation) if one is not type(None) and not prefix]
        kind = others[0] if len(others) == 1 else field.annotation
        is_table = isinstance(kind, type) and issubclass(kind, Section)
        found |= _keys(kind, f"{prefix}{name}.") if is_table else {f"{prefix}{name}"}
    return found


def _written_keys(text: str) -> set[str]:
    found, table = set(), ""
    for line in text.splitlines():
        if line.startswith("["):
            table = line[1 : line.index("]")] + "."
            continue
        key, equals, _ = line.removeprefix("# ").partition(" = ")
        if equals and table and key.replace("_", "").isalnum():
            found.add(table + key)
    return found


def _uncommented(text: str) -> str:
    excluded = ("# key = { gpg", "# expiration = ")
    lines = []
    for line in text.splitlines():
        key, equals, _ = line.removeprefix("# ").partition(" = ")
        optional = line.startswith("# ") and equals and key.replace("_", "").isalnum()
        lines.append(line[2:] if optional and not line.startswith(excluded) else line)
    return "\n".join(lines)


def test_the_production_example_shows_every_setting_and_no_other():
    """`production.example.toml` names exactly the settings that the models know."""
    text = (CONFIGS / "production.example.toml").read_text("utf-8")

    assert _keys(Settings) == _written_keys(text)


def test_the_production_example_loads_with_every_optional_line_taken_in(tmp_path):
    """The example is valid settings as it stands in a folder that has the files it names."""
    for name in ("migration.key", "private-ca.pem", "sender.asc", "audit.pem"):
        (tmp_path / name).write_text("stands for a key")
        (tmp_path / name).chmod(0o600)
    text = (CONFIGS / "production.example.toml").read_text("utf-8")
    file = tmp_path / "production.toml"
    environment = {
        "OMISE_PUBLIC_KEY": "pkey_live1",
        "OMISE_SECRET_KEY": "skey_live1",
        "EXPORT_PASSPHRASE": "x",
        "AUDIT_PASSPHRASE": "x",
        "CARDFERRY_PING": "https://monitor.example/ping",
        "CARDFERRY_NOTIFY": "https://monitor.example/mail",
    }
    for form in (text, _uncommented(text)):
        file.write_text(form, "utf-8")
        settings, credentials = load_settings(file, environment)

        assert settings.vault.mode == "live"
        assert credentials.public_key.get_secret_value() == "pkey_live1"


def test_the_production_examples_values_are_the_defaults_where_it_says_so():
    """A value in the example that is not a default carries a comment that names the default."""
    text = (CONFIGS / "production.example.toml").read_text("utf-8")
    tree = tomllib.loads(text)
    defaults = Settings(attach=AttachSettings()).model_dump(mode="json")
    for line in text.splitlines():
        key, equals, rest = line.partition(" = ")
        for section, table in tree.items():
            if equals and key in table and key in defaults[section] and key != "columns":
                given, default = table[key], defaults[section][key]
                same = default == given or key in {"key", "public_key", "secret_key"}

                assert same or "default" in rest, f"{section}.{key}"


def test_the_sandbox_settings_load_unedited_from_any_folder(monkeypatch, tmp_path):
    """`sandbox.toml` needs no environment and finds its key wherever it is called from."""
    monkeypatch.chdir(tmp_path)

    settings, _ = load_settings(CONFIGS / "sandbox.toml", {})

    assert settings.vault.is_loopback
