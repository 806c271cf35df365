"""What an inbox tells of a look: what happened to which file, and the command that mends it."""

from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from pipeline.cli.advice import Given, command
from pipeline.cli.inbox_refusals import SENTENCE_END, command_below, move_back
from pipeline.cli.inbox_stops import without_run_again
from pipeline.cli.inbox_words import next_of, tell_look, tell_unfinished
from pipeline.cli.terminal import Terminal
from pipeline.errors import ExportRefused, TooManyFailures
from pipeline.exports.security_code_values import CodeColumns
from pipeline.migration.expectations import refuse_too_many_failures
from pipeline.migration.inbox import Entry, Pass
from pipeline.migration.troubles import once_cards_were_taken
from pipeline.migration.troubles import refused as refused_by
from pipeline.model import RowState

MV = "mv inbox/refused/a.csv.pgp inbox/ && rm -f inbox/refused/a.csv.pgp.reason.txt"
RM = "rm -f inbox/refused/a.csv.pgp inbox/refused/a.csv.pgp.reason.txt"
GIVEN = Given(Path("out"), (), Path("my.toml"), (), Path("inbox"))


def _entry(outcome, code, path, *, reason=None, rows=None, **answer):
    run = {"this_run": {"rows": rows or {}, **answer.pop("run", {})}, **answer}
    return Entry("a.csv.pgp", outcome, code, reason, path, run, "ab12")


def _told(capsys, *entries, untried=()):
    tell_look(Terminal(), Pass(entries, (), untried), GIVEN)
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (Path("inbox/a.csv.pgp"), "out inbox/a.csv.pgp -c"),
        (Path("inbox/done/a.csv.pgp"), "out inbox/done/a.csv.pgp -c"),
        (None, "out -c"),
    ],
)
def test_a_retry_names_the_export_where_it_lies_after_the_night(path, named, capsys):
    """A file that was moved once it was carried is named by its new place, one removed not at all."""
    run = {"failures": {"outcome_unknown": 1}, "troubles": {"status 503": 8}}
    run["held_rows"] = [{"export": "a.csv.pgp", "row": 7}]
    entry = _entry("carried", 3, path, rows={"tokenized": 8, "held": 1}, run=run)

    told = _told(capsys, entry)
    held, step = next_of(Pass((entry,), (), ()), GIVEN)

    assert "a.csv.pgp: carried, with new failures (8 tokenized, 1 held)\n" in told
    assert "  trouble with the vault: requests met status 503 (8 times)\n" in told
    assert "  1 outcome_unknown: the card was sent" in told
    assert (
        "1 row is held back (row 7 of a.csv.pgp): no run and no night sends it by itself."
        == held.why
    )
    assert f"  {held.why}\n" in told
    assert f"retry {named} my.toml --wait-lock 15m --held\n" in told
    assert step.command in told


def test_rows_held_of_several_exports_take_one_command(capsys):
    """It names the files that hold some, how many tokens may exist unseen, and how to ask the vault."""
    unseen = {"unseen_tokens_max": 2}
    paths = [Path(f"inbox/{name}.csv.pgp") for name in "abc"]
    held = [
        _entry("carried", 3, path, rows={"held": 1}, given_exports=unseen) for path in paths[:2]
    ]

    told = _told(capsys, *held, _entry("carried", 0, paths[2], rows={"tokenized": 3}))

    assert "  2 rows are held back: no run and no night sends them by itself.\n" in told
    assert "  Up to 4 tokens may exist unseen, one for each sending without a sure answer: " in told
    assert (
        "doctor -o out -c my.toml` tells) and one more token a row does no harm, send the rows again:\n"
    ) in told
    assert "retry out inbox/a.csv.pgp inbox/b.csv.pgp -c my.toml --wait-lock 15m --held\n" in told
    assert 1 == told.count("retry out")


def test_a_refused_export_is_told_once_with_its_place_and_what_to_do(capsys):
    """The reason does not name the file twice, and the next step stands below it."""
    entry = _entry(
        "refused",
        6,
        Path("inbox/refused/a.csv.pgp"),
        reason="a.csv.pgp: it was cut short",
        next_step="Ask the sender to send it again.",
    )
    told = _told(capsys, entry)
    step, *_ = next_of(Pass((entry,), (), ()), GIVEN)

    assert [
        "a.csv.pgp: refused and put aside: it was cut short",
        "  it lies in inbox/refused now, with its reason beside it (SHA-256 ab12)",
        "  Ask the sender to send it again.",
        "  Only once a setting or a key of ours was changed for it, move this file back:",
        f"    {MV}",
        "  What comes instead of a refused file goes into inbox, under any name ending in .csv.pgp.",
        (
            "  The next look (each call of `cardferry inbox` is one look) takes it once nobody has touched "
            "it for 1 min. An empty file of its name with .done behind (such as ab.csv.pgp.done) spares that "
            "wait. Once it is there, a look now:"
        ),
        f"    {command('inbox', 'inbox')} -c my.toml -o out --wait-lock 15m",
    ] == told.splitlines()
    assert "a.csv.pgp was refused. Ask the sender to send it again." == step.why


def test_a_damaged_file_is_not_put_back_and_its_digest_says_whose_damage_it_is(capsys):
    """The same bytes at the sender's have to be made anew; else they are sent once more."""
    answer = {"kind": "ExportDamaged", "next_step": "Ask for it again; set `export.key`."}
    told = _told(capsys, _entry("refused", 6, Path("inbox/refused/a.csv.pgp"), **answer))

    assert (f"  Do not put this file back; once its cards are in, delete it:\n    {RM}\n") in told
    assert "If it is another than ab12..., this copy was damaged on its way: have them" in told
    assert "If it is the same, theirs is damaged: have it made anew.\n" in told
    assert "mv " not in told


def test_what_our_settings_refused_is_moved_back_once_they_are_right(capsys):
    """A thought a line, with the settings file by its name and the command that moves the file."""
    step = "Ask for another. Or set `export.key` in my.toml."
    told = _told(capsys, _entry("refused", 6, Path("inbox/refused/a b.csv.pgp"), next_step=step))

    assert (
        "  Ask for another.\n  Or set `export.key` in my.toml.\n  Only once a setting or a key of ours was "
        "changed for it, move this file back:\n    mv 'inbox/refused/a b.csv.pgp' inbox/ && rm -f "
    ) in told


def test_each_way_out_for_a_file_with_security_codes_stands_above_the_command_that_takes_it(capsys):
    """One is recommended, and it is told which file is to be deleted once its cards are in."""
    columns = CodeColumns()
    with pytest.raises(ExportRefused) as refused:
        columns.look("cvv", ["123"], 7)
    path = Path("inbox/refused/a.csv.pgp")
    entry = _entry("refused", 6, path, next_step=refused.value.next_step)

    advised, drop, back, keep, again, after, delete, rm, or_there, there, *_ = _told(
        capsys, entry
    ).splitlines()[2:]

    assert "  Recommended: ask the sender for the same export without them." == advised
    assert '`security_code_column = "drop"` under [export]' in drop
    assert '`security_code_columns = ["-cvv"]`' in keep
    assert drop.endswith(", and move this file back:")
    assert keep.endswith(", and move this file back:")
    assert {f"    {MV}"} == {back, again}
    assert "  Such a setting holds for every file: set it back afterwards." == after
    assert delete.endswith("once its cards are in, delete this file:")
    assert f"    {RM}" == rm
    assert "  Or, if it was moved back and carried, where it lies then:" == or_there
    assert "    rm inbox/a.csv.pgp" == there


def test_a_file_refused_for_its_failures_says_that_its_sound_rows_were_not_sent(capsys):
    """They wait, and no line says that the bad rows alone would do; the JSON lists them."""
    states = Counter({RowState.REJECTED: 5, RowState.PLANNED: 5})
    with pytest.raises(TooManyFailures) as refused:
        refuse_too_many_failures("a.csv.pgp", states, 0.2)
    run = {"failures": {"number_length": 5}, "waiting": 5, "sent": 0}
    run["rejected_rows"] = [{"export": "a.csv.pgp", "row": 6}]
    entry = _entry(
        "refused",
        6,
        Path("inbox/refused/a.csv.pgp"),
        reason=refused.value.message,
        next_step=refused.value.next_step,
        rows={"rejected": 5},
        run=run,
    )

    told = _told(capsys, entry)

    assert "allows (it would have to be 0.5); nothing was sent\n" in told
    assert "  5 number_length: the card number has a length" in told
    assert (
        "  5 rows rejected (row 6 of a.csv.pgp and 4 more): out/failures.csv lists them\n" in told
    )
    assert "  nothing of this file was sent, its 5 sound rows neither\n" in told
    assert "  Recommended: ask the sender for the whole file with these rows corrected.\n" in told
    assert "  Or set `max_failure_rate = 0.5` (or more) under [rules] in " in told
    assert (
        "move this file back: its sound rows are sent then, and the bad ones stay rejected and are not "
        f"sent:\n    {MV}\n"
    ) in told
    assert "(those rows alone" not in told
    assert "NOT FINISHED" not in told


def test_a_refused_file_that_waits_since_an_earlier_night_is_moved_back_or_given_up(
    tmp_path, capsys
):
    """It is found by its digest where it was put aside; a new file ends the wait by a command."""
    aside = tmp_path / "refused" / "b.csv.pgp"
    aside.parent.mkdir()
    aside.write_bytes(b"sealed")
    waiting = {"name": aside.name, "sha256": sha256(b"sealed").hexdigest(), "rows": 1}
    waiting |= {"refused": "5 of 6 rows fail", "rows_in_file": 6}
    carried = _entry("carried", 0, None, waiting_exports=[waiting])

    tell_look(Terminal(), Pass((carried,), (), ()), replace(GIVEN, inbox=tmp_path))

    fact, act, back, *others = capsys.readouterr().err.splitlines()[1:]
    assert (
        "  NOT FINISHED: 1 of the 6 rows of b.csv.pgp was not moved; it was refused (5 of 6 rows fail), "
        f"and the file lies in {aside.parent}."
    ) == fact
    assert act.startswith("  1. Have what it was refused for corrected in a new file; or change")
    assert f"    mv {aside} {tmp_path}/ && rm -f {aside}.reason.txt" == back
    assert any("give-up out b.csv.pgp" in line for line in others)


def test_where_a_new_file_goes_stands_below_every_advice_to_make_one(capsys):
    """Whoever has to have rows corrected reads that before the command that looks at what came."""
    run = {"rejected_rows": [{"export": "a.csv.pgp", "row": 6}]}
    rejected = _entry("carried", 3, Path("inbox/a.csv.pgp"), rows={"rejected": 1}, run=run)

    for entries in ([rejected], [_entry("refused", 6, Path("inbox/refused/b.csv.pgp")), rejected]):
        told = _told(capsys, *entries)

        advised, taken = (
            told.index("have the sender correct it."),
            told.index("  The next look (each"),
        )
        assert advised < taken < told.index("inbox inbox -c my.toml")


def test_a_stopped_export_says_what_comes_next_and_what_was_not_tried(capsys):
    """Rows that wait are counted, and files behind it are named."""
    entry = _entry("stopped", 4, Path("inbox/a.csv.pgp"), reason="the vault is down", next_step="-")

    told = _told(capsys, entry, untried=("b.csv.pgp",))

    assert "a.csv.pgp: stopped: the vault is down\n" in told
    assert (
        "  The next look (each call of `cardferry inbox` is one look) goes on by itself with "
        in told
    )
    assert "b.csv.pgp: not tried; the next look takes it\n" in told


def test_a_stopped_export_brings_the_command_that_goes_on_at_once(capsys):
    """For people and for programs; the reason's lines are one."""
    reason = "the settings are refused:\n  - vault.public_key: refused with status 401"
    entry = _entry("stopped", 7, Path("inbox/a.csv.pgp"), reason=reason, next_step="Correct it.")
    entry.answer["this_run"]["waiting"] = 9

    told = _told(capsys, entry).replace(" \\\n", " ")
    stopped, correct, at_once = next_of(Pass((entry,), (), ()), GIVEN)

    assert stopped.why == (
        "a.csv.pgp was stopped: the settings are refused: vault.public_key: refused with status 401."
    )
    assert correct.why == "Correct it."
    assert at_once.why == "The next look goes on by itself with 9 rows of a.csv.pgp; or now"
    assert at_once.command.endswith("inbox inbox -c my.toml -o out --wait-lock 15m")
    assert at_once.command in told


@pytest.mark.parametrize("code", [8, 9])
def test_nothing_is_started_again_where_something_does_not_verify(code, capsys):
    """No command goes on, and no later look does before somebody has looked."""
    entry = _entry("stopped", code, Path("inbox/a.csv.pgp"), reason="a file was changed")

    told = _told(capsys, entry)

    assert (
        "  Every look (each call of `cardferry inbox` is one look) stops here until that is" in told
    )
    assert "inbox inbox" not in told
    assert "The next look goes on" not in told


@pytest.mark.parametrize("verbosity", [0, -1])
def test_a_file_that_was_left_alone_is_named_to_whoever_looks(verbosity, capsys):
    """With the empty file that says that it is finished; a quiet night says nothing of it."""
    terminal = Terminal()
    terminal.verbosity = verbosity

    tell_unfinished(terminal, Pass((), ("a.csv.pgp",), ()))

    told = capsys.readouterr().err
    assert (verbosity == 0) == told.startswith(
        "a.csv.pgp: not taken yet, as it was touched a moment"
    )
    assert (verbosity == 0) == ("called a.csv.pgp.done beside it" in told)


@pytest.mark.parametrize(
    ("advice", "left"),
    [
        ("Check `vault.url`, then run the same command again.", "Check `vault.url`."),
        (
            "Free the disk; it is down. Then run the same command again.",
            "Free the disk; it is down.",
        ),
        (
            "Correct it, then run the same command again; no card was sent.",
            "Correct it; no card was sent.",
        ),
        ("Run the same command again when the vault is well.", ""),
        ("Run the same command again to go on.", ""),
        ("Talk to the vault before you run again.", "Talk to the vault before you run again."),
    ],
)
def test_nobody_is_told_to_run_again_what_the_next_look_does(advice, left):
    """What is to be mended stays, and who goes on is said once, with the command that does."""
    assert left == without_run_again(advice)


def test_a_file_that_was_changed_is_restored_by_the_command_that_lets_looks_go_on(capsys):
    """It stands alone, for people and programs; nothing of the export was sent, and `verify` is told once."""
    step = (
        "Keep a copy (`cp -a`), and ask. `cardferry verify out` names every difference. Once that copy is "
        "kept, `cardferry publish out --restore` writes the files again, and the next run goes on."
    )
    entry = Entry("a.csv.pgp", "stopped", 8, "changed", Path("a"), {"next_step": step})

    steps = [step.command for step in next_of(Pass((entry,), (), ()), GIVEN)]

    assert [None, None, "cardferry verify out", "cardferry publish out --restore", None] == steps
    assert "stops here until then; this one sent nothing of a.csv.pgp" in _told(capsys, entry)


def test_what_says_that_a_refused_file_is_finished_is_moved_back_with_it(tmp_path):
    """So that the next look takes it at once, and nothing is left lying."""
    aside = tmp_path / "a.csv.pgp"
    (tmp_path / "a.csv.pgp.done").touch()

    words = move_back(aside, GIVEN)

    assert f"mv {aside} {aside}.done inbox/ && rm -f {aside}.reason.txt" == words


def test_a_key_that_is_refused_in_mid_run_is_told_with_what_it_did_before():
    """Whoever changes a key that the vault took a moment ago would look in the wrong place."""
    refused = once_cards_were_taken(refused_by("vault.public_key: refused with status 401"), 3)
    before = once_cards_were_taken(refused_by("vault.public_key: refused with status 401"), 0)

    [problem] = refused.problems
    assert problem == (
        "vault.public_key: refused with status 401; the vault took 3 cards of this run with this key "
        "before it refused it"
    )
    *_, doctor, _again = [command_below(s) for s in SENTENCE_END.split(refused.next_step)]
    assert ("This tests the key and sends no card", "cardferry doctor -o DIR -c CONFIG") == doctor
    assert "took" not in before.message
