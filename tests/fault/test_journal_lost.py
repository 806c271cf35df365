"""A run that was killed, and then only part of its ledger survives: right, or told as 8."""

import random

import pytest

from tests.fault.test_images import Story
from tests.support.crash import need_strace
from tests.support.sandbox import running

POINTS, PARTS = 200, 10
JOURNAL = "ledger.sqlite-journal"
LEFT = {
    "with its journal": lambda journal: journal,
    "without it": lambda _journal: None,
    "with half of it": lambda journal: journal[: len(journal) // 2],
}


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    need_strace()
    with running(journal=tmp_path_factory.mktemp("vault") / "journal") as sandbox:
        yield sandbox


def in_part(part):
    """Twenty crash points of the two hundred, so that a sweep can go on where it was broken off."""
    slow = [pytest.mark.slow, pytest.mark.timeout(3600)]
    return pytest.param(120, POINTS // PARTS, part, marks=slow, id=f"part-{part}")


@pytest.mark.parametrize(("rows", "points", "part"), [(8, 1, 0), *map(in_part, range(PARTS))])
def test_no_row_is_lost_in_silence_when_the_journal_is(tmp_path, vault, rows, points, part):
    """Kills inside commits, each resumed with the journal, without it, and with a part of it."""
    story, seeded = Story(tmp_path, vault, rows), random.Random(f"{rows} {part}")
    images, changes = [], -1
    for call in story.instants():
        # Pages are written inside a commit; there the journal is needed.
        if call == "pwrite64" and story.disk.changes != changes:
            files = story.disk.after_a_kill()
            if files.get(JOURNAL):
                images.append((files, set(story.disk.sent)))
        changes = story.disk.changes
    chosen = seeded.sample(images, min(points, len(images)))
    told = dict.fromkeys(LEFT, 0)
    for files, sent in chosen:
        for name, left in LEFT.items():
            told[name] += is_refused(story, files, sent, left(files[JOURNAL]))
    print(f"{len(chosen)} of {len(images)} crash points, refused with 8: {told}")

    assert len(chosen) == points
    assert told["with its journal"] == 0


def is_refused(story, files, sent, journal):
    """Go on from what is left; every row ends with its token, or the run says 8 and sends none."""
    image = {name: content for name, content in files.items() if name != JOURNAL}
    if journal is not None:
        image[JOURNAL] = journal
    story.left.put(image, sent)
    before = len(story.left.journal)
    resumed = story.left.run_on()
    if resumed.code == 8:
        assert len(story.left.journal) == before
        return True
    assert resumed.code == 0, resumed.said
    facts = story.left.check(scanned=False)
    rows = sum(len(export) for export in story.left.exports)
    assert {"tokenized": rows} == dict(facts.states), "a row was lost in silence"
    return False
