"""Odd and bad exports through the whole program: verdict, exit code, totals, and no number anywhere.

Some go through `check` and fewer are carried; in the slow tests all of them do both. Single rows are
in `test_bad_rows`, containers in `test_bad_containers`, settings and paths in `test_bad_settings`.
"""

from collections import Counter

import pytest

from pipeline.errors import ExportRefused
from pipeline.exports.columns import ReaderOptions
from pipeline.exports.reader import read
from tests.support.bad_files import (
    CSV_FILES,
    HARMLESS_HEADERS,
    PLAIN,
    ROWS,
    SECURITY_HEADERS,
    numbers_of,
    with_columns,
)
from tests.support.commands import settings
from tests.support.exports import by_pyrage
from tests.support.judged import carry, command, require_balance, require_clean
from tests.support.sampled import sampled
from tests.support.sandbox import running


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    """One vault for all; each test looks at the lines that it added to the journal."""
    with running(journal=tmp_path_factory.mktemp("vault") / "journal") as sandbox:
        yield sandbox


def carried(work, vault, plain, *options, name="cards.export"):
    """Carry a plain export and give the run and the tokens that were made for it."""
    export = work / name
    export.write_bytes(plain)
    before = len(vault.entries())
    run = carry(work, vault.base_url, export, key=None, options=(PLAIN, *options))
    require_clean(run, numbers_of())
    return run, len(vault.entries()) - before


def of_name(case):
    return case.name


@pytest.mark.parametrize("case", sampled(CSV_FILES, 3), ids=of_name)
def test_an_odd_file_gets_its_verdict(tmp_path, case):
    """It is read, spoiled as often as expected, or refused for the reason that it has."""
    export, config = tmp_path / "cards.export", settings(tmp_path, "http://127.0.0.1:9", key=None)
    export.write_bytes(case.plain())
    options = [word for option in (PLAIN, *case.options) for word in ("--set", option)]
    checked = command(tmp_path, "check", export, "-c", config, "--json", *options)

    assert case.code == checked.code, checked.err
    if case.code == 6:
        assert case.says in checked.answer["error"]
        return
    assert Counter(case.failures.values()) == checked.answer["failures"]
    assert case.rows == checked.answer["rows"]


@pytest.mark.parametrize("case", sampled(CSV_FILES, 8, 1), ids=of_name)
def test_an_odd_file_is_carried_or_nothing_of_it_is_sent(tmp_path, vault, case):
    """The rows that are told are the spoiled ones, and every other one has its token."""
    run, made = carried(tmp_path, vault, case.plain(), *case.options)

    assert case.code == run.code, run.err
    if case.code == 6:
        assert made == 0
        assert case.says in run.answer["error"]
        return
    assert case.failures == {row: code for row, (code, _) in run.failures().items()}
    assert made == run.balance["tokenized"]
    require_balance(run, case.rows)


def test_no_column_of_security_codes_passes_the_reader():
    """However it is spelled, reading ends at the header."""
    wanted = ("legacy_id", "name", "number", "expiration_month", "expiration_year")
    options = ReaderOptions({name: name for name in wanted})
    for header in SECURITY_HEADERS:
        with pytest.raises(ExportRefused, match="security codes"):
            list(read([with_columns(header)], options))


@pytest.mark.parametrize("header", sampled(SECURITY_HEADERS, 8))
def test_a_column_of_security_codes_refuses_the_export(tmp_path, vault, header):
    """However it is spelled, nothing is sent; the column is named and no code repeated."""
    run, made = carried(tmp_path, vault, with_columns(header))

    assert (6, 0) == (run.code, made)
    assert "security codes" in run.answer["error"]
    assert "column 8" in run.answer["error"]
    assert "exit code 6" in run.said
    assert "987" not in run.said


def test_columns_of_security_codes_can_be_dropped(tmp_path, vault):
    """With `drop` the cards are carried and no code of any such column is in any output."""
    plain = with_columns(*SECURITY_HEADERS)
    run, made = carried(tmp_path, vault, plain, 'export.security_code_column="drop"')

    assert (0, ROWS) == (run.code, made)
    written = [path.read_bytes() for path in run.folder.glob("*.csv")]
    assert not any(b",987" in content for content in written)


def test_columns_that_only_sound_like_one_are_no_trouble(tmp_path, vault):
    """The result of a check, or a word with `pin` in it, refuses nothing."""
    run, made = carried(tmp_path, vault, with_columns(*HARMLESS_HEADERS))

    assert (0, ROWS) == (run.code, made), run.err


@pytest.mark.parametrize("form", ["flat", "nested", "list"])
def test_a_security_code_in_json_refuses_the_export(tmp_path, vault, form):
    """A key anywhere in any object is found, in the last line too."""
    inner = {
        "flat": '"cvv":"987"',
        "nested": '"card":{"security_code":"987"}',
        "list": '"x":[{"cvc2":123}]',
    }
    plain = b'{"legacy_id":"a"}\n' * 3 + b"{%s}\n" % inner[form].encode()

    run, made = carried(tmp_path, vault, plain, 'export.format="jsonl"')

    assert (6, 0) == (run.code, made)


def test_a_sealed_export_with_security_codes_is_refused_as_well(tmp_path, vault):
    """The container changes nothing about it."""
    export = tmp_path / "cards.age"
    export.write_bytes(by_pyrage(with_columns("cvv")))
    before = len(vault.entries())

    run = carry(tmp_path, vault.base_url, export, key="age")

    assert run.code == 6
    assert before == len(vault.entries())
    require_clean(run, numbers_of())
