"""A trace of a run in, its folder as it was at every call out: what a kill or a power cut leaves.

A process that is killed leaves what its calls have written so far, whoever of its threads made
them. A machine that loses power leaves what was synced and of the rest any part: a file's name
counts as synced when its folder is.
"""

import copy
import re
from dataclasses import dataclass, field

from tests.support.migrations import Migration
from tests.support.sandbox import read_journal

CALLS = (
    *("openat", "write", "writev", "sendto", "pwrite64", "ftruncate"),
    *("rename", "renameat", "unlink", "unlinkat", "fsync", "fdatasync"),
)
"""What has to be in the trace, with whole texts."""

_CALL = re.compile(r"^\d+\s+(\w+)\((.*)$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_PATH = re.compile(r"\d+<((?:\\x[0-9a-f]{2})*)>")
_NUMBERS = re.compile(r", (-?\d+)(?=[,) ])")
_NAME = re.compile(rb'"name":"([^"]*)"')


@dataclass
class File:
    """A file's bytes, those that were synced, and the changes since then."""

    content: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    unsynced: list = field(default_factory=list)

    def change(self, place, data):
        """Write bytes at a place, or cut the file there if there are none."""
        _write(self.content, place, data)
        self.unsynced.append((place, data))

    def sync(self):
        self.synced = bytes(self.content)
        self.unsynced.clear()

    def after_a_power_cut(self, chosen):
        """Give what a disk may hold: the synced bytes and the changes that happened to be chosen."""
        left = bytearray(self.synced)
        for place, data in self.unsynced:
            if chosen():
                _write(left, place, data)
        return bytes(left)


def _write(content, place, data):
    if data is None:
        del content[place:]
        content.extend(bytes(place - len(content)))
        return
    content.extend(bytes(max(0, place - len(content))))
    content[place : place + len(data)] = data


class Disk:
    """A folder that follows the calls of a trace; `sent` are the cardholders whose cards left.

    `changes` counts what a kill would leave differently.

    Args:
        folder: The folder's path; what is in it now was there before the trace.
    """

    def __init__(self, folder):
        self._folder = str(folder)
        self._files = {}
        for path in folder.iterdir() if folder.exists() else ():
            self._files[path.name] = File(bytearray(path.read_bytes()), path.read_bytes())
        self._synced_names = dict(self._files)
        self._places = {}
        self.sent = set()
        self.changes = 0

    def instants(self, trace):
        """Follow a trace; give each call's kind while the folder is as a kill at it leaves it."""
        for line in trace.splitlines():
            found = _CALL.match(line)
            if found is None:
                continue
            call, rest = found.groups()
            act = self._act(call, rest)
            if act is None:
                continue
            kind, change = act
            yield kind
            change()
            self.changes += kind not in {"fsync", "fdatasync"}
        yield "end"

    def after_a_kill(self):
        return {name: bytes(file.content) for name, file in self._files.items()}

    def after_a_power_cut(self, chosen):
        names = self._files if chosen() else self._synced_names
        return {name: file.after_a_power_cut(chosen) for name, file in names.items()}

    def _act(self, call, rest):
        texts = [_bytes(text) for text in _TEXT.findall(rest)]
        paths = [_bytes(path).decode() for path in _PATH.findall(rest.partition(") = ")[0])]
        if call in {"write", "writev", "sendto"} and paths[0].startswith("socket:"):
            names = {name.decode() for text in texts for name in _NAME.findall(text)}
            return ("send", lambda: self.sent.update(names)) if names else None
        if call in {"rename", "renameat", "unlink", "unlinkat", "openat"}:
            change = self._change_of_names(call, rest, [text.decode() for text in texts], paths)
        elif paths[0] == self._folder and call in {"fsync", "fdatasync"}:
            change = self._sync_names
        else:
            change = self._change_of_file(call, self._name(paths[0]), rest, texts)
        return None if change is None else (call, change)

    def _change_of_names(self, call, rest, texts, paths):
        folder = paths[0] if paths else ""
        # Python's own calls give whole paths, ours a folder and a name.
        name = self._name(texts[0] if texts[0].startswith("/") else f"{folder}/{texts[0]}")
        if name is None:
            return None
        if call == "openat":
            if name in self._files or "O_CREAT" not in rest:
                return None
            return lambda: self._files.update({name: File()})
        if call.startswith("unlink"):
            return lambda: self._files.pop(name, None)
        new = texts[1].rpartition("/")[2]
        return lambda: self._files.update({new: self._files.pop(name)})

    def _change_of_file(self, call, name, rest, texts):
        file = self._files.get(name)
        if file is None:
            return None
        if call in {"fsync", "fdatasync"}:
            return file.sync
        numbers = [int(number) for number in _NUMBERS.findall(rest)]
        if call == "ftruncate":
            return lambda: file.change(numbers[0], None)
        if call == "pwrite64":
            return lambda: file.change(numbers[-1], texts[0])
        place = self._places.get(name, 0)
        data = b"".join(texts)
        self._places[name] = place + len(data)
        return lambda: file.change(place, data)

    def _sync_names(self):
        self._synced_names = dict(self._files)

    def _name(self, path):
        folder, _, name = path.rpartition("/")
        return name if folder == self._folder else None


def _bytes(text):
    return bytes.fromhex(text.replace("\\x", ""))


class Left(Migration):
    """A migration's folder as a run left it at some instant, with the vault's journal of then.

    Args:
        migration: The migration whose run was traced to its end.
        out: Where the image of its folder is put.
    """

    def __init__(self, migration, out):
        self.__dict__ = copy.copy(migration.__dict__)
        self.out = out
        self._before = migration.journal
        self._sent = set()
        self._answered_before = None

    def put(self, files, sent):
        """Put an image in place of the last one."""
        if self.out.exists():
            for path in self.out.iterdir():
                path.unlink()
        self.out.mkdir(mode=0o700, exist_ok=True)
        for name, content in files.items():
            (self.out / name).write_bytes(content)
        self._sent = {row.name_sha256 for rows in self.exports for row in rows if row.name in sent}
        self._answered_before = None
        self.facts = None

    def run_on(self):
        """Run on from the image; what the vault makes from now on is this image's."""
        self._answered_before = len(read_journal(self._sandbox.journal))
        return self.run()

    @property
    def journal(self):
        """What the vault had made for the cards that had left, and what it made since."""
        lines = [line for line in self._before if line["name_sha256"] in self._sent]
        if self._answered_before is None:
            return lines
        return lines + read_journal(self._sandbox.journal)[self._answered_before :]
