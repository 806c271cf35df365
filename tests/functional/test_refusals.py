"""Bad input on the command line: its exit code, a next step, no traceback, nothing half-written."""

import json
import re
import shlex
import socket
import subprocess
import sys
import time

import click
import pytest

from pipeline.cli.commands import COMMANDS
from pipeline.cli.commands import cardferry as program
from pipeline.cli.examples import EPILOGS
from pipeline.errors import EXIT_CODES
from pipeline.vault.flow.circuit_breaker import OPEN_S
from tests.support.commands import HEADER, ROOT, cardferry, rows_csv, sealed, settings
from tests.support.crowd import crowd
from tests.support.exports import PASSPHRASE, by_gpg, keyring
from tests.support.sandbox import running, spawned

OUTPUTS = {"mapping.parquet", "failures.parquet", "failures.csv", "report.json"}


@pytest.fixture
def vault(tmp_path):
    """A vault whose journal must stay empty."""
    with running(journal=tmp_path / "journal") as sandbox:
        yield sandbox


def _refused(tmp_path, vault, export, *lines, code, key="cv25519", **options):
    """Run and assert the code, a second line with the next step, no output and no request."""
    config = settings(tmp_path, vault.base_url, *lines, key=key)
    out = tmp_path / "out"
    done = cardferry("run", export, "-c", config, "-o", out, code=code, **options)

    said = done.err.splitlines()
    place = next(n for n, line in enumerate(said) if line.startswith("cardferry: "))
    assert any(line.startswith("  ") and line.strip() for line in said[place + 1 :])
    assert not OUTPUTS & {path.name for path in out.glob("*")}
    assert vault.entries() == []
    return done.err


def test_no_key_is_refused(tmp_path, vault):
    """An encrypted export without a key set ends with 6."""
    _refused(tmp_path, vault, sealed(tmp_path, rows_csv(2)), code=6, key=None)


def test_a_wrong_key_is_refused(tmp_path, vault):
    """An export that was sealed to somebody else ends with 6."""
    _refused(tmp_path, vault, sealed(tmp_path, rows_csv(2), to="rsa"), code=6)


def test_a_wrong_passphrase_is_refused_and_not_repeated(tmp_path, vault):
    """A passphrase that does not open the key ends with 6."""
    export = tmp_path / "cards.gpg"
    export.write_bytes(by_gpg(rows_csv(2), "locked"))

    said = _refused(
        tmp_path,
        vault,
        export,
        "[export.passphrase]",
        'env = "THE_PASSPHRASE"',
        code=6,
        key="locked",
        environment={"THE_PASSPHRASE": "not-this-one"},
    )

    assert "not-this-one" not in said


def test_the_right_passphrase_opens_the_key(tmp_path, vault):
    """The same export is carried with the right passphrase."""
    export = tmp_path / "cards.gpg"
    export.write_bytes(by_gpg(rows_csv(2), "locked"))
    lines = ("[export.passphrase]", 'env = "THE_PASSPHRASE"')
    config = settings(tmp_path, vault.base_url, *lines, key="locked")

    cardferry(
        "run",
        export,
        "-c",
        config,
        "-o",
        tmp_path / "out",
        environment={"THE_PASSPHRASE": PASSPHRASE},
    )

    assert len(vault.entries()) == 2


@pytest.mark.parametrize("harm", ["truncated", "flipped", "empty", "plain"])
def test_a_damaged_export_is_refused(tmp_path, vault, harm):
    """Whatever happened to the container, nothing of it is sent."""
    export = sealed(tmp_path, rows_csv(400))
    content = bytearray(export.read_bytes())
    if harm == "truncated":
        del content[len(content) // 2 :]
    elif harm == "flipped":
        content[len(content) // 2] ^= 1
    elif harm == "empty":
        content.clear()
    else:
        content[:] = rows_csv(2)
    export.write_bytes(content)

    _refused(tmp_path, vault, export, code=6)


def test_a_header_without_the_needed_columns_is_refused(tmp_path, vault):
    """Missing columns are named as the settings name them."""
    export = sealed(tmp_path, rows_csv(2, header=HEADER.replace("number", "pan")))

    said = _refused(tmp_path, vault, export, code=6)

    assert "number" in said


def test_a_column_of_security_codes_is_refused(tmp_path, vault):
    """An export that holds security codes is an incident and not an input."""
    export = sealed(tmp_path, rows_csv(2, header=HEADER.replace("city", "CVV2")))

    _refused(tmp_path, vault, export, code=6)


def test_an_unknown_setting_is_refused(tmp_path, vault):
    """A misspelt key is named."""
    said = _refused(tmp_path, vault, sealed(tmp_path, rows_csv(2)), "rate_per_sec = 5", code=7)

    assert "flow.rate_per_sec" in said


def test_an_export_that_is_not_there_is_refused(tmp_path, vault):
    """A missing file ends with 6 and its path."""
    _refused(tmp_path, vault, tmp_path / "nothing.pgp", code=6)


def test_an_unwritable_folder_is_local_trouble(tmp_path, vault):
    """A folder that cannot be made ends with 5 before anything is sent."""
    (tmp_path / "file").write_text("in the way")
    config = settings(tmp_path, vault.base_url)
    export = sealed(tmp_path, rows_csv(2))

    cardferry("run", export, "-c", config, "-o", tmp_path / "file" / "out", code=5)

    assert vault.entries() == []


@pytest.mark.slow
def test_a_vault_that_cannot_be_reached_stops_the_run_resumably(tmp_path):
    """Nobody listening is an outage: 4, no row blamed, and the next run goes on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    lines = ("outage_max_s = 0.5",)
    config = settings(tmp_path, f"http://127.0.0.1:{port}", *lines)
    export = sealed(tmp_path, rows_csv(3))

    stopped = cardferry("run", export, "-c", config, "-o", tmp_path / "out", "--json", code=4)
    with spawned(port=port):
        done = cardferry("run", export, "-c", config, "-o", tmp_path / "out", "--json")

    assert (3, 0) == (
        stopped.json["all_time"]["balance"]["pending"],
        stopped.json["all_time"]["unseen_tokens_max"],
    )
    assert done.json["all_time"]["balance"]["tokenized"] == 3


@pytest.mark.slow
def test_an_outage_stops_the_run_when_its_limit_is_over_whatever_is_waited_for(tmp_path):
    """The breaker's pause of half a minute does not outlast a limit of two seconds."""
    with running(faults="5") as vault:
        config = settings(tmp_path, vault.base_url, "outage_max_s = 2")
        export = sealed(tmp_path, rows_csv(40))
        started = time.monotonic()

        done = cardferry("run", export, "-c", config, "-o", tmp_path / "out", "--json", code=4)

    assert "outage_max_s" in done.json["error"]
    assert time.monotonic() - started < OPEN_S * crowd()


def test_a_key_that_the_vault_refuses_stops_the_run_and_blames_no_row(tmp_path):
    """401 ends with 7, every row still pending."""
    with running(faults="A") as vault:
        config = settings(tmp_path, vault.base_url)
        export = sealed(tmp_path, rows_csv(3))

        done = cardferry("run", export, "-c", config, "-o", tmp_path / "out", "--json", code=7)

    assert done.json["all_time"]["balance"]["pending"] == 3
    assert "public_key" in done.json["error"]


def test_a_port_that_is_taken_is_told_by_the_sandbox():
    """The sandbox ends with 5 and says which port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = cardferry("sandbox", "--port", listener.getsockname()[1], code=5)

    assert "--port" in done.err


def test_a_settings_file_that_is_missing_is_a_wrong_command_line(tmp_path):
    """The command line itself is checked first."""
    cardferry("run", "x.pgp", "-c", tmp_path / "none.toml", "-o", tmp_path / "out", code=2)


def test_troubles_are_json_on_request(tmp_path, vault):
    """With --json a refusal is one JSON object on standard output."""
    config = settings(tmp_path, vault.base_url, key=None)
    export = sealed(tmp_path, rows_csv(1))

    done = cardferry("run", export, "-c", config, "-o", tmp_path / "out", "--json", code=6)

    answer = json.loads(done.out)
    assert (1, 6) == (answer["version"], answer["exit_code"])
    assert answer["error"]
    assert answer["next_step"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    """`--help` and `-h` of every command say what it does and what it takes."""
    long, short = cardferry(command, "--help").out, cardferry(command, "-h").out

    assert long == short
    assert f"cardferry {command}" in long
    assert len(re.findall(r"^  \S", long, re.MULTILINE)) > 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_commands_help_ends_with_examples_that_it_takes(name):
    """The examples are command lines that the command parses, the exit codes are known ones."""
    command, told = program.get_command(click.Context(program), name), EPILOGS[name]
    said = cardferry(name, "--help").out

    assert told.examples
    assert set(told.exit_codes) <= set(EXIT_CODES)
    for example in told.examples:
        assert f"  cardferry {example}" in said
        called, *arguments = shlex.split(example)
        assert called == name
        # A file that is not there is no fault of the example's.
        command.make_context(name, arguments, resilient_parsing=True)


def test_a_misspelt_command_is_answered_with_the_nearest():
    """A typing error ends with 2 and the command that was meant; nonsense gets no guess."""
    assert "Did you mean 'status'?" in cardferry("statu", code=2).err
    assert "Did you mean" not in cardferry("xyzzy", code=2).err


def test_a_shell_can_complete_commands_and_options():
    """The completion that the README names knows the commands and their options."""
    asked = {"_CARDFERRY_COMPLETE": "bash_complete", "COMP_CWORD": "1"}
    commands = cardferry(environment={**asked, "COMP_WORDS": "cardferry ru"}).out
    options = cardferry(
        environment={**asked, "COMP_WORDS": "cardferry run --li", "COMP_CWORD": "2"}
    ).out

    assert (["plain,run"], ["plain,--limit"]) == (commands.split(), options.split())


def test_the_programs_help_lists_commands_and_exit_codes():
    """The first thing a newcomer types shows every command and every exit code."""
    said = cardferry("--help").out

    assert all(f"  {command} " in said for command in COMMANDS)
    assert all(f"  {code} " in said for code in EXIT_CODES)


def loaded_by(*words):
    """Give the names of all modules that a command has loaded when it ends."""
    code = "import atexit, sys\nsys.argv[1:] = sys.argv[1].split()\n"
    code += "atexit.register(lambda: print('', *sys.modules, sep='\\n', file=sys.stderr))\n"
    code += "from pipeline.__main__ import main\nmain()"
    command = [sys.executable, "-c", code, " ".join(map(str, words))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stderr.split())


NOT_FOR_HELP = {
    *("asyncio", "difflib", "httpx", "jinja2", "numpy", "orjson", "pandas", "pyarrow", "pydantic"),
    *("rich", "sqlalchemy", "pipeline.cli.run", "pipeline.config.models", "pipeline.ledger"),
}


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_load_no_library_but_the_command_line(word):
    """`cardferry --help` answers at once: nothing that a command works with is loaded for it."""
    assert not loaded_by(word) & NOT_FOR_HELP


def test_a_run_with_nothing_to_send_loads_no_client_of_the_vault(tmp_path):
    """Most nights send nothing: then what speaks with the vault is not loaded either."""
    with running() as vault:
        export = sealed(tmp_path, rows_csv(2))
        config = settings(tmp_path, vault.base_url)
        words = ["run", export, "-c", config, "-o", tmp_path / "out", "-q"]
        cardferry(*words)

        assert not loaded_by(*words) & {"httpx", "tenacity", "uvloop", "pipeline.migration.send"}


@pytest.mark.slow
def test_a_second_run_on_the_same_folder_leaves_at_once(tmp_path):
    """While one run holds the folder another ends with 11."""
    with spawned("--latency-ms", "200", journal=tmp_path / "journal") as vault:
        export = sealed(tmp_path, rows_csv(1_000))
        config = settings(tmp_path, vault.base_url, "in_flight_max = 2")
        arguments = ["run", str(export), "-c", str(config), "-o", str(tmp_path / "out")]
        first = subprocess.Popen(
            [sys.executable, "-m", "pipeline", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not vault.entries():
                assert first.poll() is None

            cardferry(*arguments, code=11)
            running_state = cardferry("status", tmp_path / "out", "--json").json
        finally:
            first.terminate()
            code = first.wait()
    assert running_state["running"]
    assert code == 143


def test_the_keyring_is_private():
    """The keys that these tests open exports with would be accepted by a real vault's settings."""
    assert keyring().secret("cv25519").stat().st_mode & 0o077 == 0
