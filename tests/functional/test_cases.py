"""A hundred exports as other systems write them, through `check`; presets through `run`, too.

Every third of the exports is read by default, and all of them in the slow tests.
"""

import csv
import io
import json
import re

import pytest

from pipeline.clock import SystemClock
from pipeline.config.loading import load_settings
from pipeline.config.presets import preset_names, read_preset
from pipeline.errors import ExportRefused
from pipeline.metrics import Listeners
from pipeline.migration.check import CheckRequest, profile
from tests.support.cases import CASES, VISA
from tests.support.exports import by_gpg, keyring
from tests.support.judged import command
from tests.support.sampled import sampled
from tests.support.sandbox import running

LOOPBACK = '[vault]\nurl = "{url}"\npublic_key = "pkey_test_x"\n'


def toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {toml(one)}" for name, one in value.items()) + " }"
    return json.dumps(value)


def section(name, values):
    return f"[{name}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in values.items())


def profiled(folder, case):
    export = folder / "export.dat"
    export.write_bytes(case.plain if isinstance(case.plain, bytes) else case.plain.encode())
    config = folder / "settings.toml"
    config.write_text(
        LOOPBACK.format(url="http://127.0.0.1:9")
        + section("rules", case.rules | {"as_of": "2026-11-27"})
        + section("export", {"allow_plaintext": True} | case.export)
        + section("export.columns", case.columns)
    )
    settings, credentials = load_settings(config, {})
    return profile(CheckRequest([export]), settings, credentials, SystemClock(), Listeners())


def test_there_are_a_hundred_cases():
    """No name stands twice."""
    assert len({case.name for case in CASES}) == len(CASES) >= 100


@pytest.mark.parametrize("case", sampled(CASES, 3), ids=[case.name for case in CASES])
def test_a_case_gets_what_is_right_for_it(tmp_path, case):
    """The figures of `check` are right, or the refusal names what was found."""
    if case.says is not None:
        with pytest.raises(ExportRefused) as caught:
            profiled(tmp_path, case)
        assert re.search(case.says, caught.value.message), caught.value.message
        assert VISA not in caught.value.message
        return
    figures = profiled(tmp_path, case)

    assert case.right == {name: figures[name] for name in case.right}, figures


VALUES = {"MM/YY": "12/30", "MMYY": "1230", "YYMM": "3012", "MMYYYY": "122030", "YYYYMM": "203012"}
ONE_RUN = "adyen"
"""The preset that is run by default: its expirations are the oddest."""


def one_card(columns):
    """Give one card under the columns of a preset."""
    row = {columns.legacy_id: "card-1", columns.number: VISA}
    row |= dict.fromkeys([columns.name] if isinstance(columns.name, str) else columns.name, "Ann")
    if columns.customer:
        row.setdefault(columns.customer, "customer-1")
    if columns.expiration_month:
        row |= {columns.expiration_month: "12", columns.expiration_year: "2030"}
    if columns.expiration:
        row |= {key: VALUES[layouts[0]] for key, layouts in columns.expiration.readings()}
    return row


def exact_export(name, settings):
    """Write one card in a preset's exact format."""
    preset, row = read_preset(name), one_card(settings.export.columns)
    if not preset.header:
        card = {key: value for key, value in row.items() if not key.startswith("..")}
        return json.dumps({"customers": [{"id": "cus_1", "cards": [card]}]}, indent=2).encode()
    header = (*dict.fromkeys((*preset.header, *row)),) if "hyperswitch" in name else preset.header
    text = io.StringIO()
    csv.writer(text, delimiter=settings.export.delimiter).writerows(
        [header, [row.get(key, "") for key in header]]
    )
    return text.getvalue().encode()


def sealed_preset(folder, name, url):
    """Write settings that name a preset and nothing else of the format, and an export of it."""
    config, export = folder / "settings.toml", folder / "cards.pgp"
    config.write_text(
        LOOPBACK.format(url=url)
        + section("export", {"preset": name, "key": {"file": str(keyring().secret("cv25519"))}})
    )
    settings, credentials = load_settings(config, {})
    export.write_bytes(by_gpg(exact_export(name, settings)))
    return config, export, (settings, credentials)


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_in_its_exact_format_is_checked(tmp_path, name):
    """Sealed by gpg, read by nothing but the preset's name: one card to send."""
    _, export, loaded = sealed_preset(tmp_path, name, "http://127.0.0.1:9")
    figures = profile(CheckRequest([export]), *loaded, SystemClock(), Listeners())

    assert (figures["rows"], figures["to_send"]) == (1, 1), figures


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    with running(journal=tmp_path_factory.mktemp("vault") / "journal") as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n == ONE_RUN else pytest.mark.slow) for n in preset_names()],
)
def test_a_preset_in_its_exact_format_is_run(tmp_path, vault, name):
    """One token for its one card, and one row of the mapping."""
    config, export, _ = sealed_preset(tmp_path, name, vault.base_url)
    before = len(vault.entries())
    run = command(tmp_path / "out", "run", export, "-c", config, "-o", tmp_path / "out", "--json")

    assert run.code == 0, run.err
    assert len(vault.entries()) == before + 1
    assert [row["legacy_id"] for row in run.rows("mapping")] == ["card-1"]
