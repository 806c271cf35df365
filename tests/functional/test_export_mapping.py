"""`cardferry export-mapping`: the same rows as mapping.parquet, in the forms of other systems."""

import csv
import io
import json

import pyarrow.parquet as pq
import pytest

from pipeline.outputs.mapping_formats import STRIPE_COLUMNS
from tests.support.commands import cardferry
from tests.support.folders import HOSTILE, among_others, migrations, published, small_migration

UNESCAPED = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v"}


def mapped(folder):
    return pq.read_table(folder / "mapping.parquet").to_pylist()


def exported(folder, form, *more):
    return cardferry("export-mapping", folder, "--format", form, *more).out


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def read_copy(text):
    """Read the rows of a COPY in PostgreSQL's text format."""
    lines = text.split("\n")
    start = next(at for at, line in enumerate(lines) if line.startswith("COPY"))
    for line in lines[start + 1 : lines.index("\\.")]:
        yield [None if cell == "\\N" else unescaped(cell) for cell in line.split("\t")]


def unescaped(cell):
    signs = iter(cell)
    return "".join(UNESCAPED[next(signs)] if sign == "\\" else sign for sign in signs)


def test_every_form_has_the_rows_of_the_mapping_in_its_order():
    """CSV, JSON lines, Stripe's CSV and COPY give each legacy id with its token's card, in order."""
    folder = migrations().second
    wanted = [(row["legacy_id"], row["card_id"]) for row in mapped(folder)]
    lines = [json.loads(line) for line in exported(folder, "jsonl").splitlines()]
    stripe = read_csv(exported(folder, "stripe"))

    assert wanted == [
        (row["legacy_id"], row["card_id"]) for row in read_csv(exported(folder, "csv"))
    ]
    assert wanted == [(row["legacy_id"], row["card_id"]) for row in lines]
    assert wanted == [(row["old_card_id"], row["card_id"]) for row in stripe]
    assert wanted == [(row[0], row[2]) for row in read_copy(exported(folder, "sql"))]
    assert list(STRIPE_COLUMNS) == list(stripe[0])


def test_json_lines_keep_every_column_and_its_kind():
    """Numbers are numbers, flags are flags, moments are text in UTC, nothing is left out."""
    folder = migrations().second
    first, wanted = json.loads(exported(folder, "jsonl").splitlines()[0]), mapped(folder)[0]
    wanted["created_at"] = wanted["created_at"].strftime("%Y-%m-%dT%H:%M:%SZ")

    assert wanted == first


def test_stripes_json_groups_cards_by_their_old_customer(tmp_path):
    """A file that ends with .json gets the other form; a card on no customer stands alone."""
    folder, path = migrations().second, tmp_path / "mapping.json"
    cardferry("export-mapping", folder, "--format", "stripe", "-o", path)
    told, first = json.loads(path.read_bytes()), mapped(folder)[0]

    assert first["card_id"] == told[first["legacy_id"]]["cards"][first["legacy_id"]]["id"]
    assert len(mapped(folder)) == len(told)
    assert path.stat().st_mode & 0o777 == 0o600


def test_hostile_ids_come_through_unchanged(tmp_path):
    """Quotes, tabs, line ends and backslashes are the form's affair and change no value."""
    ids = [i for i in among_others([*HOSTILE, "back\\slash", "\\N", "\\."]) if "\0" not in i]
    folder = tmp_path / "migration"
    small_migration(folder, ids)
    wanted = [row["legacy_id"] for row in mapped(folder)]

    assert wanted == [row["legacy_id"] for row in read_csv(exported(folder, "csv"))]
    assert wanted == [
        json.loads(line)["legacy_id"] for line in exported(folder, "jsonl").splitlines()
    ]
    assert wanted == [row[0] for row in read_copy(exported(folder, "sql"))]


def test_since_a_run_gives_only_what_later_runs_changed():
    """Each changed row says whether it is new, took a token's place, or mended a failure."""
    folder = migrations().second
    before = {row["legacy_id"]: row["token_id"] for row in mapped(migrations().first)}
    failed = set(pq.read_table(migrations().first / "failures.parquet")["legacy_id"].to_pylist())
    rows = [json.loads(line) for line in exported(folder, "jsonl", "--since", "run-1").splitlines()]
    now = {row["legacy_id"]: row["token_id"] for row in mapped(folder)}
    wanted = {i for i, token in now.items() if before.get(i) != token}

    assert wanted == {row["legacy_id"] for row in rows}
    assert {"added", "replaced", "resolved"} == {row["change"] for row in rows}
    assert all(
        before.get(row["legacy_id"]) == row["replaced_token_id"]
        for row in rows
        if row["change"] == "replaced"
    )
    assert failed >= {row["legacy_id"] for row in rows if row["change"] == "resolved"}
    assert "" == exported(folder, "jsonl", "--since", "run-2")


def test_a_run_that_was_never_is_refused():
    """An unknown run is a refused setting; the message names the last run and the file with all."""
    folder = migrations().second
    done = cardferry("export-mapping", folder, "--format", "csv", "--since", "x", code=7)
    listed = [run["run_id"] for run in json.loads((folder / "report.json").read_text())["runs"]]

    assert "no run of that name" in done.err
    assert f"The last of its {len(listed)} runs is {listed[-1]};" in done.err
    assert f"{folder / 'report.json'} lists them under `runs`." in done.err
    assert "" == exported(folder, "csv", "--since", listed[-1]).partition("\n")[2]


def test_a_run_that_was_never_is_refused_before_anything_was_published(tmp_path):
    """Where no report was published, none is spoken of: the last run is named alone."""
    folder = published(tmp_path / "migration")
    (folder / "report.json").unlink()
    done = cardferry("export-mapping", folder, "--format", "csv", "--since", "x", code=7)

    assert "The last of its 2 runs is run-2.\n" in done.err
    assert "report.json" not in done.err


@pytest.mark.parametrize("form", ["csv", "jsonl", "stripe", "sql"])
def test_a_folder_without_a_ledger_gives_nothing_and_writes_nothing(tmp_path, form):
    """Nothing is written over where nothing can be read."""
    path = tmp_path / "kept"
    path.write_bytes(b"before")
    cardferry("export-mapping", tmp_path, "--format", form, "-o", path, code=8)

    assert path.read_bytes() == b"before"


def test_a_copy_of_a_folder_gives_the_same_bytes(tmp_path):
    """The same ledger gives the same file, every time."""
    folder = published(tmp_path / "migration")

    assert exported(folder, "csv") == exported(migrations().second, "csv")
