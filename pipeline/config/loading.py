"""Loads settings from a file, the environment and the command line, and checks them all at once.

Later layers win: defaults, preset, file, `CARDFERRY_SECTION_KEY` variables, `--set section.key=value`.
Every problem of every layer is collected and raised at once; none shows a value.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from pydantic import SecretStr

from pipeline.config.cluster import TLS_FILES, privacy_problems
from pipeline.config.credentials import TEST_KEY_MARK, Credentials, read_credentials
from pipeline.config.models import Settings
from pipeline.config.overrides import from_environment, lay_over, split_override
from pipeline.config.policies import Mode
from pipeline.config.presets import laid_over, read_preset
from pipeline.config.validation import disagreements, validate
from pipeline.counts import agreeing
from pipeline.disk import open_regular_file
from pipeline.errors import SettingsRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_NEXT_STEP = (
    "Correct {it} in the settings file, or in the files and variables that it names; `cardferry config "
    "--example` shows every setting."
)
_WITHOUT_FILE = "No settings file was named: give one with -c (`cardferry config --example` shows every setting)."
_MEANING = {
    "vault": {"url", "mode"},
    "export": {
        "preset",
        "format",
        "records",
        "encoding",
        "delimiter",
        "quoting",
        "multiline",
        "header",
        "null_values",
        "columns",
        "carry",
    },
    "rules": {"expired", "as_of", "brands", "optional_invalid", "lookalike_ids"},
    "attach": {
        "url",
        "without_customer",
        "metadata",
        "description",
        "email",
        "same_card",
        "on_changed",
        "default_on_given",
    },
}
"""The settings that a result means something by; pace, retries, keys and limits are not."""

_PATHS = (
    ("vault", "ca_file"),
    ("vault", "public_key", "file"),
    ("attach", "secret_key", "file"),
    ("export", "key", "file"),
    ("export", "passphrase", "file"),
    ("export", "number_key", "file"),
    ("export", "signers"),
    ("ledger", "url", "file"),
    *(("cluster", name) for name in TLS_FILES),
    ("audit", "signing_key", "file"),
    ("audit", "signing_passphrase", "file"),
    ("watch", "metrics_file"),
    ("watch", "ping_url", "file"),
    ("watch", "notify_url", "file"),
)
"""Settings that name files; relative ones are looked for beside the settings file."""


class ReadSettings(NamedTuple):
    """Settings as far as they can be used, and everything that is wrong with them."""

    settings: Settings
    credentials: Credentials
    problems: Sequence[str]
    is_from_file: bool

    def refuse(self) -> None:
        """Refuse settings that are wrong.

        Raises:
            SettingsRefused: With every problem at once.
        """
        if self.problems:
            it = agreeing(len(self.problems), "it", "them")
            next_step = _NEXT_STEP.format(it=it) if self.is_from_file else _WITHOUT_FILE
            raise SettingsRefused(self.problems, next_step=next_step)


def load_settings(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    only: str | None = None,
) -> tuple[Settings, Credentials]:
    """Read and check the settings, and read the secrets that they name.

    Args:
        path: The TOML file, or None for defaults.
        environ: The process environment; `CARDFERRY_FLOW_RATE_PER_S=10` sets `flow.rate_per_s`.
        overrides: `section.key=value` texts from the command line.
        only: The one section whose secrets are read; default: those of every section.

    Raises:
        SettingsRefused: With every problem at once.
    """
    found = read_settings(path, environ, overrides, only)
    found.refuse()
    return found.settings, found.credentials


def read_settings(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    only: str | None = None,
) -> ReadSettings:
    """Read settings as `load_settings` does, but give the problems along with what is left.

    Whoever has to be told that the settings are wrong stands in the settings, too.
    """
    problems: list[str] = []
    tree, shared = _read_file(path, problems)
    if problems:
        # Nothing more can be said of a file that cannot be read.
        return ReadSettings(Settings(), Credentials(SecretStr("")), problems, is_from_file=True)
    if path is not None:
        _anchor_paths(tree, path.parent)
    lay_over(tree, from_environment(environ), problems, "the environment")
    lay_over(tree, [split_override(text) for text in overrides], problems, "--set")
    _lay_over_preset(tree, problems)
    settings, places = validate(tree, problems)
    if shared and not settings.vault.is_loopback:
        problems.append("the settings file may be written by anyone; run chmod o-w on it")
    if settings.attach is not None:
        problems.extend(disagreements(settings, settings.attach, places))
    problems.extend(privacy_problems(settings.cluster))
    credentials = read_credentials(settings, environ, problems, places, only)
    return ReadSettings(settings, credentials, problems, is_from_file=path is not None)


def meaning_digest(settings: Settings) -> str:
    """Digest what results mean, as hexadecimal SHA-256 of canonical JSON.

    Two settings with the same digest may take turns on one unfinished ledger.
    """
    tree = settings.model_dump(mode="json", include=_MEANING)
    return hashlib.sha256(orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)).hexdigest()


def reading_digest(settings: Settings) -> str:
    """Digest what rows are read and judged by: the meaning, but for the addresses they go to.

    Rows that were planned under the same digest would be planned the same way now.
    """
    tree = settings.model_dump(mode="json", include=_MEANING)
    for section in ("vault", "attach"):
        if tree.get(section):
            del tree[section]["url"]
    # Whether published test numbers are taken hangs on it.
    tree["vault"]["is_loopback"] = settings.vault.is_loopback
    return hashlib.sha256(orjson.dumps(tree, option=orjson.OPT_SORT_KEYS)).hexdigest()


def masked(settings: Settings) -> dict[str, Any]:
    """Give the settings as a tree that may be shown and read again: secrets are stars."""
    tree = _without_empty(settings.model_dump(mode="json"))
    # The kind of key is no secret, and without it the settings could not be read again.
    kind = TEST_KEY_MARK[1:] if settings.vault.mode is Mode.TEST else ""
    if isinstance(settings.vault.public_key, SecretStr):
        tree["vault"]["public_key"] = f"pkey_{kind}{settings.vault.public_key}"
    if settings.attach and isinstance(settings.attach.secret_key, SecretStr):
        tree["attach"]["secret_key"] = f"skey_{kind}{settings.attach.secret_key}"
    return tree


def _without_empty(tree: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is `None`; TOML has no word for it."""
    return {
        name: _without_empty(value) if isinstance(value, dict) else value
        for name, value in tree.items()
        if value is not None
    }


def _read_file(path: Path | None, problems: list[str]) -> tuple[dict[str, Any], bool]:
    """Read the settings file; say also whether anyone may write to it."""
    if path is None:
        return {}, False
    try:
        with open_regular_file(path) as file:
            shared = bool(os.fstat(file.fileno()).st_mode & stat.S_IWOTH)
            return tomllib.loads(file.read().decode("utf-8")), shared
    except OSError as error:
        problems.append(f"the settings file cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        problems.append("the settings file is not UTF-8")
    except tomllib.TOMLDecodeError as error:
        # The message may quote the line; only the place is repeated.
        place = re.search(r"\((at [^()]*)\)$", str(error))
        problems.append(f"the settings file is not TOML ({place[1] if place else 'unknown place'})")
    except RecursionError:
        problems.append("the settings file is not TOML (nested too deep)")
    return {}, False


def _anchor_paths(tree: dict[str, Any], folder: Path) -> None:
    for *parents, last in _PATHS:
        tables: list[Any] = [tree]
        for name in parents:
            inner = [table.get(name) for table in tables if isinstance(table, dict)]
            tables = [one for each in inner for one in (each if isinstance(each, list) else [each])]
        for table in tables:
            if isinstance(table, dict) and last in table:
                _anchor(table, last, folder)


def _anchor(table: dict[str, Any], last: str, folder: Path) -> None:
    value = table[last]
    if isinstance(value, str):
        table[last] = str(folder / value)
    elif isinstance(value, list):
        table[last] = [str(folder / item) if isinstance(item, str) else item for item in value]


def _lay_over_preset(tree: dict[str, Any], problems: list[str]) -> None:
    export = tree.get("export")
    name = export.get("preset") if isinstance(export, dict) else None
    if not isinstance(export, dict) or not isinstance(name, str):
        return
    preset = read_preset(name)
    if preset is None:
        problems.append("export.preset: is no known format; `cardferry presets` lists them")
    else:
        tree["export"] = laid_over(preset.export, export)
