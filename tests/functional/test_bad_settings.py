"""Bad settings, paths and names through the whole program: refused by name, never by value."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.config.loading import load_settings
from pipeline.config.models import Settings
from pipeline.errors import SettingsRefused
from tests.support.bad_files import PLAIN, good, numbers_of
from tests.support.exports import by_sequoia, keyring
from tests.support.judged import carry, command, require_balance, require_clean
from tests.support.sampled import sampled
from tests.support.sandbox import running

VALUE = "hunter2-4242"
"""Stands for what a setting should not have held; no message may repeat it."""


@dataclass(frozen=True)
class BadSettings:
    """Lines of a settings file, what the message must name, and how the run ends."""

    name: str
    text: str | bytes
    says: str
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


_LOOPBACK = '[vault]\nurl = "http://127.0.0.1:9"\npublic_key = "pkey_test_x"\n'
_REMOTE = '[vault]\nurl = "https://vault.omise.co"\npublic_key = { env = "THE_KEY" }\n'
_KEYED = {"THE_KEY": "pkey_test_x"}

SETTINGS = [
    BadSettings("no TOML", f"[vault\nurl = {VALUE}", "is not TOML"),
    BadSettings("YAML", f"vault: !!python/object:{VALUE}\n  url: x\n", "is not TOML"),
    BadSettings("JSON", '{"vault": {}}', "is not TOML"),
    BadSettings("not UTF-8", b"[vault]\nurl = '\xff'\n", "not UTF-8"),
    BadSettings("a NUL", b"[vault]\0\n", "is not TOML"),
    BadSettings("UTF-16", _LOOPBACK.encode("utf-16"), "not UTF-8"),
    BadSettings("a table twice", "[vault]\n[vault]\n", "is not TOML"),
    BadSettings("nested without end", "x = " + "[" * 50_000, "is not TOML"),
    BadSettings("an unknown section", f"{_LOOPBACK}[valut]\nx = '{VALUE}'\n", "valut"),
    BadSettings("an unknown key", f"{_LOOPBACK}secret = '{VALUE}'\n", "vault.secret"),
    BadSettings("a section in capitals", f"{_LOOPBACK}[Vault]\nurl = '{VALUE}'\n", "Vault"),
    BadSettings("a section with a dash", f"{_LOOPBACK}[my-vault]\nurl = '{VALUE}'\n", "my-vault"),
    BadSettings("a key with a dash", f"{_LOOPBACK}[flow]\nrate-per-s = '{VALUE}'\n", "flow.rate-per-s"),
    BadSettings("a key in capitals", f"{_LOOPBACK}URL = '{VALUE}'\n", "vault.URL"),
    BadSettings("an empty key", f"{_LOOPBACK}'' = '{VALUE}'\n", "vault."),
    BadSettings("an include", f"include = ['{VALUE}']\n{_LOOPBACK}", "include"),
    BadSettings("a section that is a text", f"vault = '{VALUE}'\n", "vault"),
    BadSettings("a section that is a list", f"[[vault]]\nurl = '{VALUE}'\n", "vault"),
    BadSettings("plain http to a host", _REMOTE.replace("https", "http"), "vault: url is plain http", environment=_KEYED),
    BadSettings("another protocol", _LOOPBACK.replace("http:", "ftp:"), "vault.url"),
    BadSettings("a file as the vault", _LOOPBACK.replace("http://127.0.0.1:9", "file:///etc/passwd"), "vault.url"),
    BadSettings("a user in the vault's URL", _LOOPBACK.replace("//", f"//{VALUE}@"), "vault.url"),
    BadSettings("a query in the vault's URL", _LOOPBACK.replace(':9"', f':9/?{VALUE}"'), "vault.url"),
    BadSettings("a port that is none", _LOOPBACK.replace(":9", ":99999"), "vault.url"),
    BadSettings("a port of letters", _LOOPBACK.replace(":9", ":x"), "vault.url"),
    BadSettings("a port of zero", _LOOPBACK.replace(":9", ":0"), "vault.url"),
    BadSettings("a host of blanks", _LOOPBACK.replace("127.0.0.1:9", " "), "url"),
    BadSettings("a line break in the host", _LOOPBACK.replace("127.0.0.1", r"127.0.0.1\r\nX: y"), "url"),
    BadSettings("a bracket in the host", _LOOPBACK.replace("127.0.0.1", "[::1"), "vault.url"),
    BadSettings("a host that starts like loopback", _LOOPBACK.replace("127.0.0.1:9", "127.0.0.1.example.org"), "plain http"),
    BadSettings("a host that is called localhost", _LOOPBACK.replace("127.0.0.1:9", "localhost.example.org"), "plain http"),
    BadSettings("an inline key for a host", _REMOTE.replace('{ env = "THE_KEY" }', f'"pkey_test_{VALUE}"'), "public_key stands inline"),
    BadSettings("a secret key", _LOOPBACK.replace("pkey_test_x", f"skey_test_{VALUE}"), "vault.public_key"),
    BadSettings("a live key in test mode", _LOOPBACK.replace("pkey_test_x", f"pkey_{VALUE}"), "is a live key"),
    BadSettings("a test key in live mode", _LOOPBACK + "mode = 'live'\n", "is a test key"),
    BadSettings("an unknown mode", f"{_LOOPBACK}mode = '{VALUE}'\n", "vault.mode"),
    BadSettings("a key that is not set", _REMOTE, "THE_KEY"),
    BadSettings("a key in two places", _LOOPBACK.replace('"pkey_test_x"', '{ env = "A", file = "b" }'), "exactly one"),
    BadSettings("a version that is no date", _LOOPBACK + f"api_version = '{VALUE}'\n", "vault.api_version"),
    BadSettings("a version with a line break", _LOOPBACK + 'api_version = "2019-05-29\\r\\nX: y"\n', "vault.api_version"),
    BadSettings("a version with a line feed at its end", _LOOPBACK + 'api_version = "2019-05-29\\n"\n', "vault.api_version"),
    BadSettings("a timeout of nothing", _LOOPBACK + "read_timeout_s = 0\n", "vault.read_timeout_s"),
    BadSettings("a timeout of ever", _LOOPBACK + "read_timeout_s = inf\n", "vault.read_timeout_s"),
    BadSettings("a timeout that is no number", _LOOPBACK + "read_timeout_s = nan\n", "vault.read_timeout_s"),
    BadSettings("a rate below zero", _LOOPBACK + "[flow]\nrate_per_s = -1\n", "flow.rate_per_s"),
    BadSettings("a rate in words", _LOOPBACK + f"[flow]\nrate_per_s = '{VALUE}'\n", "flow.rate_per_s"),
    BadSettings("an outage without end", _LOOPBACK, "flow.outage_max_s", ("flow.outage_max_s=inf",)),
    BadSettings("no slots", _LOOPBACK + "[flow]\nin_flight_max = 0\n", "flow.in_flight_max"),
    BadSettings("a chunk of no rows", _LOOPBACK + "[flow]\nchunk_rows = 0\n", "flow.chunk_rows"),
    BadSettings("an encoding that is none", _LOOPBACK + f"[export]\nencoding = '{VALUE}'\n", "export.encoding"),
    BadSettings("an encoding that is no ASCII", _LOOPBACK + "[export]\nencoding = 'cp037'\n", "export.encoding"),
    BadSettings("an encoding that is no text", _LOOPBACK + "[export]\nencoding = 'base64'\n", "export.encoding"),
    BadSettings("an encoding with a NUL", _LOOPBACK + '[export]\nencoding = "utf-8\\u0000"\n', "export.encoding"),
    BadSettings("a delimiter of two", _LOOPBACK + "[export]\ndelimiter = ';;'\n", "export.delimiter"),
    BadSettings("a delimiter of none", _LOOPBACK + "[export]\ndelimiter = ''\n", "export.delimiter"),
    BadSettings("a quote as delimiter", _LOOPBACK + "[export]\ndelimiter = '\"'\n", "export.delimiter"),
    BadSettings("a line feed as delimiter", _LOOPBACK + '[export]\ndelimiter = "\\n"\n', "export.delimiter"),
    BadSettings("a Ctrl-Z as delimiter", _LOOPBACK + '[export]\ndelimiter = "\\u001a"\n', "export.delimiter"),
    BadSettings("a carriage return as delimiter", _LOOPBACK + '[export]\ndelimiter = "\\r"\n', "export.delimiter"),
    BadSettings("a brand that is none", _LOOPBACK + f"[rules]\nbrands = ['{VALUE}']\n", "rules.brands"),
    BadSettings("a failure rate above one", _LOOPBACK + "[rules]\nmax_failure_rate = 7\n", "rules.max_failure_rate"),
    BadSettings("half an expiration", _LOOPBACK + "[export.columns]\nexpiration = { column = 'x' }\nexpiration_month = 'y'\n", "expiration"),
    BadSettings("a fingerprint that is none", _LOOPBACK + f"[export]\nkey = {{ gpg = '{VALUE}' }}\n", "fingerprint"),
    BadSettings("a key file that is missing", _LOOPBACK + f"[export]\nkey = {{ file = '{VALUE}' }}\n", "export.key"),
    BadSettings("a key file that is a folder", _LOOPBACK + "[export]\nkey = { file = '/' }\n", "export.key"),
    BadSettings("a key file that is a device", _LOOPBACK + "[export]\nkey = { file = '/dev/zero' }\n", "export.key"),
    BadSettings("a key file with a NUL", _LOOPBACK + '[export]\nkey = { file = "a\\u0000b" }\n', "export.key"),
    BadSettings("signers that are missing", _LOOPBACK + f"[export]\nsigners = ['{VALUE}']\n", "export.signers"),
    BadSettings("a ledger elsewhere", _LOOPBACK + f"[ledger]\nurl = 'postgresql://u:{VALUE}@h/d'\n", "ledger.url"),
    BadSettings("a ledger of another kind", _LOOPBACK + f"[ledger]\nurl = '{VALUE}'\n", "ledger.url"),
    BadSettings("an override without a key", _LOOPBACK, "section.key=value", (VALUE,)),
    BadSettings("an override of nothing", _LOOPBACK, "section.key=value", ("",)),
    BadSettings("an override into a text", _LOOPBACK, "section.key=value", ("vault.url.x=1",)),
    BadSettings("a variable of a wrong kind", _LOOPBACK, "flow.rate_per_s", environment={"CARDFERRY_FLOW_RATE_PER_S": VALUE}),
    BadSettings("a security code as a column", _LOOPBACK + "[export]\ncarry = ['cvv']\n", "security codes"),
]  # fmt: skip


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    """One vault for all; each test looks at the lines that it added to the journal."""
    with running(journal=tmp_path_factory.mktemp("vault") / "journal") as sandbox:
        yield sandbox


def test_settings_in_a_pipe_are_refused_without_waiting(tmp_path):
    """Nobody may ever write to it."""
    os.mkfifo(tmp_path / "settings.toml")

    with pytest.raises(SettingsRefused) as caught:
        load_settings(tmp_path / "settings.toml", {})

    assert "not a regular file" in caught.value.problems[0]


def test_settings_that_anyone_may_write_are_refused_towards_a_real_vault(tmp_path):
    """Another user could send the cards elsewhere; a rehearsal on this machine may go on."""
    config, environ = tmp_path / "settings.toml", {"THE_KEY": "pkey_test_x"}
    config.write_text(_REMOTE)
    config.chmod(0o666)
    with pytest.raises(SettingsRefused) as caught:
        load_settings(config, environ)
    config.write_text(_LOOPBACK)
    load_settings(config, environ)

    assert "the settings file may be written by anyone" in caught.value.problems[0]


@pytest.mark.parametrize("case", SETTINGS, ids=lambda case: case.name)
def test_bad_settings_are_refused_by_name(tmp_path, monkeypatch, case):
    """Exit code 7, the setting named, its value not repeated, and no migration folder made."""
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)
    config = tmp_path / "settings.toml"
    text = case.text if isinstance(case.text, bytes) else case.text.encode()
    config.write_bytes(text)
    export, out = tmp_path / "cards.csv", tmp_path / "out"
    export.write_text(good())
    # Settings that were accepted would be tried on a vault that nobody runs.
    given = (PLAIN, "flow.outage_max_s=0.3", *case.options)
    options = [word for option in given for word in ("--set", option)]

    run = command(out, "run", export, "-c", config, "-o", out, "--json", *options)

    expected = 6 if "security" in case.name else 7
    assert expected == run.code, run.err
    assert case.says in run.err
    assert VALUE not in run.err + run.out or "postgresql" in case.name
    require_clean(run, numbers_of())


def test_every_problem_is_told_at_once(tmp_path):
    """Five wrong settings take one look, not five."""
    config = tmp_path / "settings.toml"
    config.write_text(
        '[vault]\nurl = "ftp://x"\nmode = "no"\n[flow]\nrate_per_s = 0\nx = 1\n'
        '[export]\nencoding = "none"\n'
    )

    run = command(tmp_path, "run", config, "-c", config, "-o", tmp_path / "out", "--json")

    named = {problem.partition(":")[0] for problem in run.answer["problems"]}
    assert {"vault.url", "vault.mode", "flow.rate_per_s", "flow.x", "export.encoding"} <= named


# Paths: what is no file of the operator's own is refused before it is read.


def _folder(path):
    path.mkdir()


def _link(path):
    target = path.with_name("real.pgp")
    target.write_bytes(by_sequoia(good().encode()))
    path.symlink_to(target)


def _dangling(path):
    path.symlink_to(path.with_name("nothing"))


def _loop(path):
    path.symlink_to(path)


def _socket(path):
    os.mknod(path, 0o600 | 0o140000)


KINDS = {
    "missing": lambda path: None,
    "folder": _folder,
    "link": _link,
    "dangling link": _dangling,
    "link to itself": _loop,
    "FIFO": os.mkfifo,
    "socket": _socket,
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_that_is_no_file_is_refused(tmp_path, vault, kind):
    """Nothing hangs, nothing is followed, exit code 6."""
    before = len(vault.entries())
    path = tmp_path / "cards.pgp"
    KINDS[kind](path)

    run = carry(tmp_path, vault.base_url, path)

    assert (6, before) == (run.code, len(vault.entries())), run.err
    require_clean(run, numbers_of())


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/proc/self/environ", "/dev/fd/0"])
def test_a_device_as_export_is_refused(tmp_path, vault, device):
    """A device or a file of the kernel is no export, with plain files allowed as well."""
    run = carry(tmp_path, vault.base_url, Path(device), key=None, options=[PLAIN])

    assert run.code in {5, 6}, run.err
    require_clean(run)


NAMES = {
    "newline": b"cards\n2026.pgp",
    "escape": b"cards\x1b[31m.pgp",
    "leading dash": b"-rf.pgp",
    "quotes": b"ca'rd\"s.pgp",
    "markup": b"<img src=x>.pgp",
    "formula": b"=cmd().pgp",
    "not UTF-8": b"cards\xff\xfe.pgp",
    "Thai": "บัตร.pgp".encode(),
    "override": "cards\u202egnp.pgp".encode(),
    "255 bytes": b"x" * 251 + b".pgp",
    "blanks": b"  .pgp",
    "percent": b"%s%n{0}.pgp",
    "shell": b"$(id);`id`.pgp",
}


@pytest.mark.parametrize("name", sampled(NAMES, 6))
def test_an_export_of_any_name_is_carried_or_refused(tmp_path, vault, name):
    """A strange name is no crash, and no line of it stands by itself in what we say."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + NAMES[name]))
    path.write_bytes(by_sequoia(good().encode()))

    run = carry(tmp_path, vault.base_url, path)

    assert run.code in {0, 6}, run.err
    assert "\x1b" not in run.err
    assert "\u202e" not in run.err
    if run.code == 0:
        require_balance(run, 4)
    require_clean(run, numbers_of())


def test_a_card_number_in_the_exports_name_goes_nowhere(tmp_path, vault):
    """A file named by a number is refused, or carried without its name being repeated."""
    (number,) = numbers_of(1)
    path = tmp_path / f"card-{number}.pgp"
    path.write_bytes(by_sequoia(good().encode()))

    run = carry(tmp_path, vault.base_url, path)

    require_clean(run, numbers_of())
    assert run.code in {0, 6}


MODES = {"group may read": 0o640, "others may read": 0o604, "all may do all": 0o777}


@pytest.mark.parametrize("mode", MODES)
def test_a_key_that_others_can_read_is_refused(tmp_path, monkeypatch, mode):
    """Towards a vault that is not on this machine, a key file is the owner's alone."""
    monkeypatch.setenv("THE_KEY", "pkey_test_x")
    key = tmp_path / "export.key"
    key.write_bytes(keyring().secret("cv25519").read_bytes())
    key.chmod(MODES[mode])
    config = tmp_path / "settings.toml"
    config.write_text(f'{_REMOTE}[export]\nkey = {{ file = "{key}" }}\n')
    export = tmp_path / "cards.pgp"
    export.write_bytes(by_sequoia(good().encode()))

    run = command(tmp_path / "out", "run", export, "-c", config, "-o", tmp_path / "out", "--json")

    assert run.code == 7
    assert "export.key" in run.err


@pytest.mark.parametrize("place", ["file", "link", "dangling link", "FIFO", "under a file"])
def test_a_folder_that_is_none_is_local_trouble(tmp_path, vault, place):
    """Nothing is written through a link, and nothing is sent."""
    export = tmp_path / "cards.pgp"
    export.write_bytes(by_sequoia(good().encode()))
    before = len(vault.entries())
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    if place == "file":
        out.write_text("x")
    elif place == "link":
        elsewhere.mkdir()
        out.symlink_to(elsewhere)
    elif place == "dangling link":
        out.symlink_to(elsewhere)
    elif place == "FIFO":
        os.mkfifo(out)
    else:
        out.write_text("x")
        out /= "deeper"

    run = command(
        tmp_path / "none",
        *("run", export, "-o", out, "--json", "--set", f"vault.url={vault.base_url}"),
        *("--set", "vault.public_key=pkey_test_x"),
        *("--set", f'export.key={{file="{keyring().secret("cv25519")}"}}'),
    )

    assert run.code in {2, 5}, run.err
    assert before == len(vault.entries())
    assert not elsewhere.exists() or list(elsewhere.iterdir()) == []


def test_the_settings_that_the_cases_start_from_are_good(tmp_path):
    """A case fails for its own reason: without it, nothing is wrong."""
    config = tmp_path / "settings.toml"
    config.write_text(_LOOPBACK)

    run = command(tmp_path, "config", "-c", config)

    assert run.code == 0
    # What is absent by default is shown by no word.
    assert set(Settings.model_fields) - {"attach"} <= set(
        run.out.replace("[", " ").replace("]", " ").split()
    )
