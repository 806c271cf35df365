"""Settings: layers, bounds, secrets, and every problem at once."""

import os
import stat
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.loading import load_settings, meaning_digest, reading_digest
from pipeline.config.models import MAPPING_NAMES
from pipeline.errors import SettingsRefused
from pipeline.outputs.columns import MAPPING

LOOPBACK = ('vault.url="http://127.0.0.1:9"', "vault.public_key=pkey_test_x")


def _problems(*overrides, environ=None, path=None):
    with pytest.raises(SettingsRefused) as refused:
        load_settings(path, environ or {}, overrides)
    return refused.value.problems


def _file(tmp_path, text):
    file = tmp_path / "settings.toml"
    file.write_text(text, "utf-8")
    return file


def test_later_layers_win_over_earlier_ones(tmp_path):
    """Defaults, file, environment and command line override one another in this order."""
    file = _file(tmp_path, "[flow]\nrate_per_s = 1\nin_flight_max = 1\nattempts_max = 1\n")
    environ = {"CARDFERRY_FLOW_IN_FLIGHT_MAX": "2", "CARDFERRY_FLOW_ATTEMPTS_MAX": "2"}

    settings, _ = load_settings(file, environ, [*LOOPBACK, "flow.attempts_max=3"])

    assert (
        settings.flow.rate_per_s,
        settings.flow.in_flight_max,
        settings.flow.attempts_max,
        settings.flow.drain_s,
    ) == (1, 2, 3, 30)


def test_every_problem_is_reported_at_once(tmp_path):
    """One look at a refusal shows every problem of every section, secrets included."""
    file = _file(
        tmp_path,
        '[vault]\nmode = "live"\npublic_key = { env = "KEY" }\n'
        '[export]\nkey = { file = "missing.key" }\ntypo = 1\n'
        '[flow]\nrate_per_s = "fast"\nin_flight_max = 0\n[other]\nx = 1\n',
    )

    problems = _problems(path=file, environ={"KEY": "pkey_test_abc"})

    places = {problem.partition(":")[0] for problem in problems}
    assert {
        "vault.public_key",
        "export.key",
        "export.typo",
        "flow.rate_per_s",
        "flow.in_flight_max",
        "other",
    } == places


@pytest.mark.parametrize(
    ("override", "place"),
    [
        ('vault.url="http://vault.example.com"', "vault"),
        ('vault.url="ftp://127.0.0.1"', "vault.url"),
        ('vault.url="https://user:secret@vault.example.com"', "vault.url"),
        ('vault.mode="prod"', "vault.mode"),
        ('export.encoding="utf-7"', "export.encoding"),
        ('export.encoding="no-such-code"', "export.encoding"),
        ('export.delimiter=";;"', "export.delimiter"),
        ("export.key={file='a', gpg='b'}", "export.key"),
        ('export.key.gpg="ABC"', "export.key.gpg"),
        ("export.columns.expiration={column='x', format='YY/MM'}", "export.columns.expiration"),
        ("export.carry=['customer_id']", "export.carry"),
        ("export.carry=['a', 'a']", "export.carry"),
        (
            "export.columns.expiration={column=['a', 'b', 'c'], format=['MMYY', 'YYMM']}",
            "export.columns.expiration",
        ),
        ("rules.max_failure_rate=1.5", "rules.max_failure_rate"),
        ('rules.as_of="soon"', "rules.as_of"),
        ("flow.rate_per_s=0", "flow.rate_per_s"),
        ("flow.rate_per_s=nan", "flow.rate_per_s"),
        ("flow.attempts_max=2.5", "flow.attempts_max"),
        ('ledger.url="mysql://x"', "ledger.url"),
        ("audit.signing_key={}", "audit.signing_key"),
        ("export.signers=[/a.asc, /b.asc]", "export.signers: --set has texts without quotes"),
        ("export.key={file=/a.key}", "export.key: --set has texts without quotes"),
        ("export.columns.name=[first, last]", "export.columns.name: --set has texts"),
        ("nonsense", "--set"),
    ],
)
def test_a_wrong_setting_is_named_by_its_place(override, place):
    """A refused value is named by section and key."""
    problems = _problems(*LOOPBACK, override)

    assert any(problem.startswith(place) for problem in problems), problems


def test_a_word_without_quotes_is_what_it_can_only_mean(tmp_path):
    r"""A path alone is the key's file, `\t` is a tab, and a column may be called `[id]`."""
    key = tmp_path / "my.key"
    key.write_text("x")
    given = [f"export.key={key}", r"export.delimiter=\t", "export.columns.legacy_id=[id]"]
    settings, _ = load_settings(None, {}, [*LOOPBACK, *given])

    assert [one.file for one in settings.export.keys] == [key]
    assert settings.export.delimiter == "\t"
    assert settings.export.columns.legacy_id == "[id]"


@given(st.text(alphabet="abcdefghij0123456789", min_size=12, max_size=30))
def test_a_refusal_never_shows_a_value(value):
    """Whatever stands in a setting, the refusal names the place and not the value."""
    problems = _problems(
        f'vault.url="{value}"',
        f'vault.mode="{value}"',
        f'flow.rate_per_s="{value}"',
        f'export.key.gpg="{value}"',
        f'rules.brands=["{value}"]',
    )

    assert not any(value in problem for problem in problems)


def test_a_test_key_in_live_mode_is_refused_and_not_shown():
    """The key's kind must agree with the mode."""
    problems = _problems(
        'vault.mode="live"',
        "vault.public_key={env='KEY'}",
        environ={"KEY": "pkey_test_secretsecret"},
    )

    assert problems == ("vault.public_key: is a test key, but vault.mode is live",)


def test_an_inline_key_is_refused_towards_a_real_vault():
    """Only a loopback vault's key may stand in the settings."""
    problems = _problems("vault.public_key=pkey_test_x")

    assert any("inline" in problem for problem in problems)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_secret_file_that_others_may_read_is_refused(tmp_path, mode):
    """A secret's file must belong to its owner alone."""
    file = tmp_path / "key"
    file.write_text("pkey_test_x")
    file.chmod(mode)

    problems = _problems(f"vault.public_key={{file='{file}'}}")

    assert problems == ("vault.public_key: the file may be read by others; run chmod 600 on it",)


def test_a_secret_is_read_from_a_descriptor():
    """A descriptor gives a secret without a file or an environment variable."""
    reader, writer = os.pipe()
    os.write(writer, b"pkey_test_piped\n")
    os.close(writer)

    _, credentials = load_settings(None, {}, [f"vault.public_key={{fd={reader}}}"])

    assert credentials.public_key.get_secret_value() == "pkey_test_piped"
    assert "piped" not in repr(credentials)


def test_a_settings_file_that_is_not_toml_is_refused_by_place_only(tmp_path):
    """A syntax error tells line and column and repeats nothing of the line."""
    file = _file(tmp_path, "[vault]\npublic_key = pkey_secret\n")

    problems = _problems(path=file)

    assert any("at line 2" in problem for problem in problems)
    assert not any("secret" in problem for problem in problems)


def test_paths_are_looked_for_beside_the_settings_file(tmp_path, monkeypatch):
    """A relative path in the file does not depend on the working folder."""
    key = tmp_path / "sample.key"
    key.write_text("stands for a key")
    key.chmod(stat.S_IRUSR)
    file = _file(tmp_path, '[export]\nkey = { file = "sample.key" }\n')
    monkeypatch.chdir("/")

    settings, _ = load_settings(file, {}, LOOPBACK)

    assert settings.export.key is not None
    assert key == settings.export.key.file


def test_the_meaning_digest_ignores_pace_and_sees_rules():
    """Pace may change between runs; what a result means may not."""

    def digest(*overrides):
        return meaning_digest(load_settings(None, {}, [*LOOPBACK, *overrides])[0])

    plain = digest()
    assert plain == digest("flow.rate_per_s=99", "flow.on_ambiguous=hold")
    # No code is ever read, so that no row is another because of them: one more file may be let in.
    assert plain == digest('export.security_code_column="drop"', "rules.max_failure_rate=0.5")
    assert plain != digest('rules.expired="tokenize"')
    assert plain != digest('export.columns.number="pan"')
    assert plain != digest("rules.as_of=2026-01-01")


def test_the_reading_digest_sees_all_but_addresses():
    """Rows are planned alike wherever their cards go; but not by mode, rules, or off this machine."""

    def digest(*overrides):
        settings, _ = load_settings(None, {"KEY": "pkey_test_x"}, [*LOOPBACK, *overrides])
        return reading_digest(settings)

    plain = digest()
    assert plain == digest('vault.url="http://127.0.0.1:10"')
    assert plain != digest('rules.expired="tokenize"')
    assert plain != digest("vault.mode=live", "vault.public_key=pkey_x")
    away = ('vault.url="https://vault.invalid"', 'vault.public_key={env="KEY"}')
    assert plain != digest(*away)
    assert digest(*away) == digest('vault.url="https://vault.omise.co"', away[1])


def test_a_date_is_read_as_a_date():
    """`rules.as_of` takes a TOML date."""
    settings, _ = load_settings(None, {}, [*LOOPBACK, "rules.as_of=2026-02-03"])

    assert date(2026, 2, 3) == settings.rules.as_of


def test_no_carried_column_can_take_the_name_of_one_of_the_mappings_own():
    """The names that are refused are those of the mapping that is published."""
    assert frozenset(MAPPING.carrying(()).schema.names) == MAPPING_NAMES


ATTACH = (
    *LOOPBACK,
    'attach.url="http://127.0.0.1:9"',
    "attach.secret_key=skey_test_x",
    'export.columns.customer="owner"',
)


def test_attaching_has_a_host_a_key_and_a_column_of_its_own():
    """The table alone turns it on, and the secret key is read as the public one is."""
    settings, credentials = load_settings(None, {}, ATTACH)

    assert settings.attach.rate_per_s == 10
    assert credentials.secret_key.get_secret_value() == "skey_test_x"
    assert load_settings(None, {}, LOOPBACK)[0].attach is None


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("attach.secret_key={env='NONE'}", "attach.secret_key: the environment variable"),
        ("attach.secret_key=skey_x", "attach.secret_key: is a live key"),
        ("attach.secret_key=pkey_test_x", "attach.secret_key: is a public key"),
        ("attach.secret_key=x", "attach.secret_key: is not a secret key"),
        ("attach.url='https://api.omise.co'", "attach: secret_key stands inline"),
        ("attach.url='http://api.omise.co'", "attach: url is plain http"),
        ("attach.metadata={cardferry='x'}", "attach.metadata: the key cardferry is ours"),
        ("attach.metadata={x='{nobody}'}", "attach.metadata or attach.description: names"),
        ("attach.description='{carried}'", "attach.metadata or attach.description: names"),
        ("attach.on_changed=drop", "attach.on_changed"),
    ],
)
def test_settings_of_attaching_that_cannot_be_are_refused(override, says):
    """Before a token is spent, and by the setting's name."""
    assert any(problem.startswith(says) for problem in _problems(*ATTACH, override))


def test_every_problem_of_attaching_is_told_at_once():
    """No secret key, one host elsewhere, no customer column, a template that names nothing."""
    problems = _problems(*LOOPBACK, "attach.description='{x}'")

    assert [problem.partition(":")[0] for problem in problems] == [
        "vault.url",
        "export.columns.customer",
        "attach.metadata or attach.description",
        "attach.secret_key",
    ]
