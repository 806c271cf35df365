"""What the product tells to do next works when it is pasted, whatever folders and files are called."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.cli.commands import COMMANDS
from pipeline.cli.commands import cardferry as group
from tests.support.commands import ROOT, cardferry, rows_csv, sealed, settings
from tests.support.nursery import FORK_RUNS
from tests.support.programs import require
from tests.support.sandbox import running

README = (ROOT / "README.md").read_text("utf-8")
BAD = b"id-9,Ann,4242,12,2031,Bangkok,cus\n"


@pytest.fixture
def shell(tmp_path):
    """A shell in a folder with a blank, where `cardferry` is on the PATH; gives code and words.

    What the shell makes of a line are the words that the program on the PATH is given; they go from
    there to a command that is forked, as most commands of the tests.
    """
    place = tmp_path / "my place"
    place.mkdir()
    program = tmp_path / "bin" / "cardferry"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    program.chmod(0o755)
    path = {"PATH": f"{program.parent}:/usr/bin:/bin"}

    def type_in(line):
        given = subprocess.run(
            [require("bash"), "-c", line],
            env=path,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        words = given.stdout.split("\0")[:-1]
        hook = FORK_RUNS if words[0] == "inbox" else None
        done = cardferry(*words, cwd=place, environment=path, code=None, hook=hook)
        return done.code, done.err

    return place, type_in


def _advised(said):
    """Give the command lines that stand below their reasons."""
    return re.findall(r"^    (cardferry .*)$", said.replace(" \\\n", " "), re.MULTILINE)


def test_every_command_that_a_run_or_a_night_advises_does_what_it_is_for(shell):
    """Held rows, rows that wait and the proof: folders with a blank and with a dash in front."""
    place, type_in = shell
    with running(faults=".55.") as vault:
        settings(place, vault.base_url, "in_flight_max = 1", name="-my settings.toml")
        sealed(place, rows_csv(3) + BAD, "-a b.csv.pgp")
        sealed(place, rows_csv(3, first=11), "left $HOME.csv.pgp")
        (place / "in 'box'").mkdir()
        sealed(place / "in 'box'", rows_csv(2, first=21), "c.csv.pgp")
        given = "-c './-my settings.toml' -o ./-out"

        code, first = type_in(f"cardferry run './-a b.csv.pgp' {given}")
        again, prove = _advised(first)
        assert (3, "--held") == (code, again.split()[-1]), first
        assert 0 == type_in(again)[0]
        assert 0 == type_in(prove)[0]

        code, cut = type_in(f"cardferry run 'left $HOME.csv.pgp' {given} --limit 1")
        assert (4, [prove]) == (code, _advised(cut))
        code, night = type_in(f"cardferry inbox \"in 'box'\" {given} --quiet-for 0s")
        rest, give_up, _ = _advised(night)
        # The first act: the file comes back into the inbox.
        shutil.copy(place / "left $HOME.csv.pgp", place / "in 'box'")
        assert (0, 0) == (code, type_in(rest)[0]), night
        # Nothing of it waits any more.
        assert 2 == type_in(give_up)[0]
        # What is left is the rejected row, for which there is no command.
        assert 3 == type_in("cardferry status ./-out --check")[0]


def _lines_of_the_readme():
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        yield from re.findall(r"^cardferry .*$", block, re.MULTILINE)
    yield from re.findall(r"`(cardferry (?:run|check|readback|scan|seal|config) [^`]*)`", README)


@pytest.mark.parametrize("line", sorted(set(_lines_of_the_readme())))
def test_every_command_line_of_the_readme_is_understood(tmp_path, line, monkeypatch):
    """Its command is one of ours, and its options are the command's."""
    monkeypatch.chdir(tmp_path)
    # A folder of the machine stands for one of the test's.
    words = [
        f"{Path(word).name}/" if word.startswith("/") else word
        for word in shlex.split(line, comments=True)[1:]
    ]
    for word in words[1:]:
        if word.endswith("/"):
            Path(word).mkdir()
        elif not word.startswith("-") and "://" not in word:
            Path(word).touch()
    words = [word for word in words if word != "..."]

    assert words[0] in COMMANDS
    group.get_command(None, words[0]).make_context(words[0], words[1:]).close()
