"""Every instant of a run, from a trace: what a kill or a power cut leaves there is whole and goes on."""

import hashlib
import random
from collections import Counter

import pytest

from tests.support.crash import need_strace
from tests.support.images import CALLS, Disk, Left
from tests.support.migrations import Migration, new_rows
from tests.support.sampled import slow
from tests.support.sandbox import running

OUTPUTS = (
    *("mapping.parquet", "failures.parquet", "failures.csv", "report.json", "report.html"),
    *("trail.jsonl", "manifest.json"),
)
KINDS = (
    *("openat", "pwrite64", "write", "ftruncate", "fdatasync", "fsync", "renameat", "unlink"),
    *("send", "end"),
)
WORKLOADS = [
    # Rows; of so many calls one is looked at; of so many images one is resumed.
    (6, 28, 5),
    slow(6, 10, 12),
    slow(1, 1, 100),
    slow(40, 1, 200),
    pytest.param(400, 1, 60, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
]


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    need_strace()
    with running(journal=tmp_path_factory.mktemp("vault") / "journal") as sandbox:
        yield sandbox


class Story:
    """A first export carried and published, then a second one's run, traced from start to end."""

    def __init__(self, folder, vault, rows, hook=None):
        self.migration = Migration(folder, vault)
        first = new_rows(3)
        self.migration.add(first)
        assert self.migration.run().code == 0
        self.old = self._outputs()
        self.disk = Disk(self.migration.out)
        self.disk.sent = {row.name for row in first}
        self.migration.add(new_rows(rows, first=4))
        ended, self._trace = self.migration.traced(calls=CALLS, whole=True, hook=hook)
        assert ended.code == 0, ended.said
        self.migration.check()
        self.new = self._outputs()
        self.left = Left(self.migration, folder / "left")
        self._checked = set()

    def instants(self):
        """Give every call that changes the disk or sends a card, each before it happens."""
        yield from self.disk.instants(self._trace)
        there = {path.name: path.read_bytes() for path in self.migration.out.iterdir()}
        # A trace that was not followed to the byte would prove nothing.
        assert there == self.disk.after_a_kill()

    def check(self, files):
        """Check an image, but for one that was checked with the same cards sent."""
        contents = hashlib.sha256()
        for name, content in sorted(files.items()):
            contents.update(f"{name} {len(content)} ".encode() + content)
        image = (contents.digest(), len(self.disk.sent))
        if image not in self._checked:
            self._check(files)
            self._checked.add(image)

    def _check(self, files):
        """Put an image into a folder and check it as after a death; give U."""
        shown = {name: files[name] for name in OUTPUTS}
        assert all(content in {self.old[name], self.new[name]} for name, content in shown.items())
        assert shown["manifest.json"] == self.old["manifest.json"] or shown == self.new
        self.left.put(files, self.disk.sent)
        return self.left.check_after_death(scanned=False).unseen_max

    def resume(self, files):
        """Go on from an image: every row ends, and U is what it was."""
        unseen = self._check(files)
        resumed = self.left.run_on()
        assert resumed.code == 0, resumed.said
        facts = self.left.check()
        rows = sum(len(export) for export in self.left.exports)
        assert {"tokenized": rows} == dict(facts.states)
        assert unseen == facts.unseen_max

    def _outputs(self):
        return {name: (self.migration.out / name).read_bytes() for name in OUTPUTS}


@pytest.mark.parametrize(("rows", "every", "resumed_every"), WORKLOADS)
def test_a_kill_at_every_call_of_every_thread_leaves_a_folder_that_goes_on(
    tmp_path, vault, rows, every, resumed_every
):
    """Each image keeps I1 to I9, each output is whole, old or new; every so many are resumed."""
    story = Story(tmp_path, vault, rows)
    counted, checked, resumed, changes = Counter(), 0, 0, -1
    for call in story.instants():
        counted[call] += 1
        if story.disk.changes == changes:
            continue
        changes = story.disk.changes
        if changes % every:
            continue
        image = story.disk.after_a_kill()
        story.check(image)
        checked += 1
        if checked % resumed_every == 0:
            story.resume(image)
            resumed += 1
    print(f"{rows} rows: {dict(counted)}, {checked} images, {resumed} resumed")

    assert rows == counted["send"]
    assert set(KINDS) <= set(counted)
    assert resumed > 0


@pytest.mark.parametrize(("rows", "every", "resumed_every"), WORKLOADS)
def test_a_power_cut_at_every_call_loses_nothing_that_was_relied_on(
    tmp_path, vault, rows, every, resumed_every
):
    """Of what was not synced nothing is left, or any part: no card had left without its intent."""
    story, seeded = Story(tmp_path, vault, rows), random.Random(rows)
    checked, resumed = 0, 0
    for place, _ in enumerate(story.instants()):
        if place % every:
            continue
        for chosen in (lambda: False, lambda: seeded.random() < 0.5):
            image = story.disk.after_a_power_cut(chosen)
            story.check(image)
            checked += 1
            if checked % (2 * resumed_every) == 0:
                story.resume(image)
                resumed += 1
    print(f"{rows} rows: {checked} images, {len(story._checked)} unlike, {resumed} resumed")

    assert checked > 2 * rows / every
    assert resumed > 0


def test_a_run_that_does_not_sync_is_caught_by_a_power_cut(tmp_path, vault):
    """The check is checked: without syncs a token is gone whose card had left."""
    story = Story(tmp_path, vault, 8, hook="tests.support.mutants:sync_dropped")

    def follow():
        for _ in story.instants():
            story.check(story.disk.after_a_power_cut(lambda: False))

    with pytest.raises(AssertionError, match="sent without a durable intent"):
        follow()
