"""Says how every hour of a rehearsed month must end, and what a reader makes of an hour's log.

The oracle knows what was dropped and done, and never looks at the product.
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

KILLED, TERMINATED, DOWN, UNDISTURBED = "killed", "terminated", "vault down", "undisturbed"
CODES = {KILLED: 5, TERMINATED: 143, DOWN: 4}
TOLD = {
    KILLED: "its process was killed (SIGKILL)",
    TERMINATED: "goes on by itself with",
    DOWN: "it refuses connections",
}
"""What the log of such an hour says of its cause."""

CARRIED, WITH_FAILURES = "carried", "carried, with new failures"
STOPPED, NOT_TRIED = "stopped", "not tried"
_ENDING = re.compile(
    r'text="?(\d{5}\.csv\.pgp): (carried, with new failures|carried|stopped|not tried|refused)'
)
_CODE = re.compile(r"\bexit_code=(\d+)")


@dataclass
class Export:
    """A file that was dropped: the last digits by id, the bad ids, and what hours did with it."""

    path: Path
    sealed: bytes
    cards: dict
    bad: set
    planned: bool = False
    killed: bool = False


@dataclass
class Hour:
    """How an hour must end: exit code, ending of each file, and texts that its log must hold."""

    code: int
    endings: dict
    told: list


@dataclass
class Oracle:
    """What must be.

    Attributes:
        queue: The finished exports that wait, oldest first.
        cards: By id, the last digits of the card that came last.
        brought: By id, how many cards of it came.
        open: The ids of the bad rows that no later row mended.
    """

    queue: list = field(default_factory=list)
    cards: dict = field(default_factory=dict)
    brought: Counter = field(default_factory=Counter)
    open: set = field(default_factory=set)

    def drop(self, export):
        """Take note of what an export brings."""
        self.cards.update(export.cards)
        self.brought.update(export.cards.keys())

    def hour(self, event):
        """Give how an hour ends in which this happens, and take note of what it leaves."""
        if not self.queue:
            return Hour(0, {}, [])
        names = [export.path.name for export in self.queue]
        if event != UNDISTURBED:
            self._plan(self.queue[0])
            self.queue[0].killed |= event == KILLED
            endings = dict.fromkeys(names, NOT_TRIED) | {names[0]: STOPPED}
            return Hour(CODES[event], endings, ["run started", TOLD[event]])
        new = [self._plan(export) for export in self.queue]
        for export in self.queue:
            self.open -= export.cards.keys()
        self.queue.clear()
        endings = [WITH_FAILURES if fails else CARRIED for fails in new]
        told = ["run started", "outputs published"] + ["1 number_length"] * any(new)
        return Hour(3 if any(new) else 0, dict(zip(names, endings, strict=True)), told)

    def _plan(self, export):
        """Plan an export, once; tell whether it brings failures that nobody knew."""
        known, export.planned = export.planned, True
        if not known:
            self.open |= export.bad
        return bool(export.bad) and not known

    def day(self):
        """Give the exit code of `status --check`."""
        if any(export.planned for export in self.queue):
            return 4
        return 3 if self.open else 0

    def troubles(self, mapped, journal, unseen_max):
        """Give what is wrong with a mapping and the vault's journal at the end.

        Args:
            mapped: Legacy id and token id of every row of the mapping.
            journal: What the vault made.
            unseen_max: How many tokens may exist that nobody saw.
        """
        ids = [legacy_id for legacy_id, _ in mapped]
        if sorted(ids) != sorted(self.cards):
            yield f"mapped, not dropped: {set(ids) - self.cards.keys()}; {len(ids)} rows"
        made = {line["token"]: line for line in journal}
        for legacy_id, token in mapped:
            line = made.get(token, {})
            if line.get("last_digits") != self.cards.get(legacy_id):
                yield f"{legacy_id} is mapped to a token of another card"
            if line.get("name_sha256") != _holder(legacy_id):
                yield f"{legacy_id} is mapped to a token of another row"
        created = Counter(line["name_sha256"] for line in journal)
        wanted = Counter({_holder(each): count for each, count in self.brought.items()})
        if lacking := wanted - created:
            yield f"{lacking.total()} cards were not sent"
        if (surplus := (created - wanted).total()) > unseen_max:
            yield f"{surplus} cards were sent twice, and U is {unseen_max}"

    def kept(self):
        """Give what the next part of the month has to know, for JSON."""
        return {"cards": self.cards, "brought": self.brought, "open": sorted(self.open)}

    @classmethod
    def of(cls, kept):
        """Go on where an earlier part ended, at which every export was carried."""
        brought = Counter(kept.get("brought", {}))
        return cls([], kept.get("cards", {}), brought, set(kept.get("open", [])))


def holder(legacy_id):
    """Give the name on the card of an id, by which the vault's journal knows it."""
    return f"Holder {legacy_id}"


def _holder(legacy_id):
    return hashlib.sha256(holder(legacy_id).encode()).hexdigest()


def told_by(log):
    """Give what somebody who has nothing but an hour's log says of it: exit code, ending by file."""
    codes = _CODE.findall(log.splitlines()[-1])
    return int(codes[0]) if codes else None, dict(_ENDING.findall(log))
