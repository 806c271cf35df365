"""What a command loads before it works: nobody waits for what only another command needs."""

import subprocess
import sys

import pytest

from pipeline.cli.commands import COMMANDS
from tests.support.commands import rows_csv, sealed, settings
from tests.support.sandbox import spawned

HEAVY = ("numpy", "pandas", "pyarrow", "sqlalchemy", "pydantic", "httpx", "rich", "jinja2")
LOADED = """
import sys
from contextlib import suppress
from pipeline.__main__ import main
with suppress(SystemExit):
    main()
loaded = (name for name, module in sys.modules.items() if module is not None)
print("loaded:", *loaded)
"""


def loaded_by(*words):
    """Give the packages that a command loads."""
    return {name.partition(".")[0] for name in modules_loaded_by(*words)}


def modules_loaded_by(*words):
    command = [sys.executable, "-c", LOADED, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("loaded:")[2].split())


@pytest.mark.parametrize(
    "words", [["--version"], ["--help"], *([name, "-h"] for name in COMMANDS)], ids=" ".join
)
def test_help_loads_nothing_that_takes_long(words):
    """Neither a database, nor a data frame, nor settings, nor a client: half a second and more."""
    loaded = loaded_by(*words)

    assert ("click" in loaded) == (words != ["--version"])
    assert loaded.isdisjoint(HEAVY)


def test_a_ledger_in_a_file_loads_no_driver_of_another_database():
    """Which rows an index is for is told to another database when that one is used."""
    names = "[name for name in sys.modules if 'postgresql' in name]"
    program = f"import sys, pipeline.ledger.sqlite.store; print({names})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout == b"[]\n"


def test_a_run_that_nobody_watches_loads_nothing_that_it_does_not_use():
    """No lexers of its HTTP client's own command line, no live line, nothing that only the end needs."""
    program = (
        "import sys; from pipeline.startup import prepare; prepare(); "
        "import pipeline.cli.running, pipeline.migration.send; "
        "print(*(name for name, module in sys.modules.items() if module is not None))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = set(done.stdout.decode().split())

    assert {"httpx", "pydantic", "sqlalchemy"} <= loaded
    assert loaded.isdisjoint({"httpx._main", "pygments", "rich.live", "pandas"})
    assert loaded.isdisjoint({"pyarrow", "jinja2", "cryptography"})


def test_what_a_run_sends_with_is_loaded_only_where_an_export_is_new():
    """While the process starts that decrypts it; a night with nothing new has no HTTP client."""
    program = (
        "import sys; from pipeline.startup import prepare; prepare(); "
        "import pipeline.cli.running; from pipeline.migration.loading_ahead import load_what_sends; "
        "names = 'httpx', 'pipeline.migration.send', 'pipeline.migration.vault_reachability'; "
        "before = [name in sys.modules for name in names]; load_what_sends(); "
        "print(any(before), all(name in sys.modules for name in names))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout == b"False True\n"


ONLY_FOR_OTHERS = {
    "pandas",
    "ijson",
    "rich",
    "pipeline.exports.json_records",
    "pipeline.migration.attacher",
    "pipeline.migration.messages",
    "pipeline.migration.replaced_cards",
    "pipeline.vault.omise.customers",
}


def test_a_whole_run_loads_nothing_that_only_other_runs_use(tmp_path):
    """No data frames, no reader of JSON, nothing that attaches cards, tells monitors or draws tables."""
    export = sealed(tmp_path, rows_csv(3))
    with spawned() as vault:
        config = settings(tmp_path, vault.base_url)
        words = [export, "-c", config, "-o", tmp_path / "out", "-q"]
        loaded = modules_loaded_by("run", *map(str, words))

    assert (tmp_path / "out" / "mapping.parquet").exists()
    assert {"pyarrow", "sqlalchemy"} <= loaded
    assert loaded.isdisjoint(ONLY_FOR_OTHERS)


def test_nothing_that_is_loaded_at_the_start_is_searched_for_cycles():
    """One search, once there is more than that; what is left is searched no more, the rest as usual."""
    program = (
        "import gc; from pipeline.startup import SEARCHES_FOR_CYCLES, prepare; prepare(); "
        "loaded = [[] for _ in range(200_000)]; none = gc.get_freeze_count(); "
        "more = [[] for _ in range(100_000)]; "
        "print(none, gc.get_freeze_count() >= 250_000, gc.get_threshold() == SEARCHES_FOR_CYCLES)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout == b"0 True True\n"
