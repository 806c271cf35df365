"""A commit torn in two without its journal: told as exit 8, or nothing of it is to be seen.

SQLite writes the pages of a commit in their order. A process that is killed among them leaves the
first ones new and the others old; the journal puts the old ones back. Without it the file is a
mixture, which is accepted only where it says just what it said before the commit, or after it.
"""

import io
import random
import shutil
import sqlite3
from contextlib import closing, contextmanager

import pytest

from pipeline.errors import VerificationFailed
from pipeline.ledger.key_values import ATTACH_KEY
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import LEDGER_NAME, ledger_url
from pipeline.ledger.plan_records import PlannedCard
from pipeline.ledger.records import (
    AttachSettlement,
    AttachState,
    CustomerFound,
    CustomerState,
    Retirement,
)
from pipeline.ledger.schema import metadata
from pipeline.ledger.settling import Settling
from pipeline.migration.export_mapping import export_mapping
from pipeline.migration.status import status_of
from pipeline.model import OutcomeKind
from pipeline.outputs.mapping_formats import MappingFormat
from pipeline.outputs.publisher import publish
from pipeline.outputs.verify import verify
from tests.support.folders import past_the_rules
from tests.support.ledgers import StepClock, card, new_builder, settled_builder
from tests.support.sampled import sampled, slow

PAGE = 4096
ROWS = 120


class Commits:
    """The file before and after each commit of a story."""

    def __init__(self, folder):
        self.path = folder / LEDGER_NAME
        self.pairs = []
        self._last = None

    def take(self, name):
        """Remember what the last commit made of the file."""
        content = self.path.read_bytes()
        if self._last is not None and content != self._last:
            self.pairs.append((name, self._last, content))
        self._last = content

    def follow(self, ledger):
        """Take every commit of a ledger's transactions, also those within one step of the story."""
        transaction = ledger.transaction

        @contextmanager
        def followed(**how):
            with transaction(**how) as connection:
                yield connection
            self.take("part of a step")

        ledger.transaction = followed


def told(folder):
    """Give what every table says that a run would go by.

    Rows of an export that is being proved are thrown away at its next planning, customers without
    a row are nobody's, and what other exports tell of a row is asked anew when it is claimed.
    """
    with closing(sqlite3.connect(folder / LEDGER_NAME)) as database:
        database.execute(
            "CREATE TEMP VIEW rows AS SELECT rows.* FROM main.rows JOIN main.exports ON "
            "exports.id = rows.id / 10000000000 WHERE exports.state = 'planned'"
        )
        database.execute(
            "CREATE TEMP VIEW customers AS SELECT * FROM main.customers WHERE state <> 'wanted' "
            "OR id IN (SELECT customer FROM temp.rows)"
        )
        found = {
            table.name: database.execute(f"SELECT * FROM {table.name} ORDER BY 1").fetchall()  # noqa: S608
            for table in metadata.sorted_tables
        }
        asked_anew = (
            "SELECT id FROM rows WHERE attempts = 0 "
            "AND state IN ('planned', 'already_tokenized', 'held')"
        )
        claimed = {number for (number,) in database.execute(asked_anew)}
    found["rows"] = [row[:2] if row[0] in claimed else row for row in found["rows"]]
    return found


def pages_of(before, after):
    """Give the numbers of the pages that a commit changed, in order."""
    count = max(len(before), len(after)) // PAGE
    cut = [slice(n * PAGE, (n + 1) * PAGE) for n in range(count)]
    return [n for n, here in enumerate(cut) if before[here] != after[here]]


def mixed(before, after, new):
    """Give the file with some pages of the commit written."""
    content = bytearray(before)
    for number in new:
        end = (number + 1) * PAGE
        content.extend(bytes(max(0, end - len(content))))
        content[end - PAGE : end] = after[end - PAGE : end]
    return bytes(content)


def accepted(folder, content):
    """Put a file in place without a journal and open it as a run does."""
    for path in folder.iterdir():
        path.unlink()
    (folder / LEDGER_NAME).write_bytes(content)
    try:
        with closing(Ledger(ledger_url(folder), StepClock())) as ledger:
            ledger.verify()
    except VerificationFailed:
        return False
    return True


def story(folder):
    """Plan, send, settle, supersede, attach and retire, one commit after another."""
    builder = new_builder(folder)
    commits = Commits(folder)
    commits.follow(builder.ledger)
    commits.take("made")
    builder.begin("run-1")
    commits.take("run begun")
    export = builder.plan("cards.csv", ROWS, reject_every=11)
    commits.take("planned")
    settling = Settling(builder.ledger, 64)
    claims = settling.claimable(export.first_id, export.last_id)
    previous = []
    for start in range(0, len(claims), 32):
        block = claims[start : start + 32]
        intents = [settling.intent(claim.id, claim.attempts + 1) for claim in block]
        settling.apply([*previous, *intents])
        commits.take("intents and outcomes")
        previous = [
            builder._settlement(claim, intent, 13, 17, 19)
            for claim, intent in zip(block, intents, strict=True)
        ]
    settling.apply(previous)
    commits.take("outcomes")
    later = builder.plan("later.csv", 24, changed_every=2)
    commits.take("top-up planned")
    settling = Settling(builder.ledger, 64)
    claims = settling.claimable(later.first_id, later.last_id)
    commits.take("resolved")
    intents = [settling.intent(claim.id, 1) for claim in claims]
    settling.apply(intents)
    commits.take("intents of changed cards")
    settling.apply(
        [builder._settlement(c, i, 0, 0, 0) for c, i in zip(claims, intents, strict=True)]
    )
    commits.take("superseded")
    attach(builder, settling, commits)
    builder.end(3)
    commits.take("run ended")
    builder.ledger.close()
    return commits


def attach(builder, settling, commits):
    """Give every fourth of some cards a customer, and lose a token."""
    from pipeline.ledger.plan_records import ProvedFacts, SealedFacts  # noqa: PLC0415
    from pipeline.ledger.planning import Planning  # noqa: PLC0415

    planning = Planning(builder.ledger)
    facts = SealedFacts("owned.csv", 10, "cd" * 32, bytes(32), "plain")
    export = planning.begin(facts, builder.clock.now().date())
    cards = [
        PlannedCard(*card(n, f"own-{n}", n, False, None)[:7], f"customer-{n // 2}")  # noqa: FBT003
        for n in range(1, 33)
    ]
    planning.add(export, cards, [])
    planning.finish(export, ProvedFacts("sequoia", None, None, 32, "00" * 32))
    commits.take("owned planned")
    claims = settling.claimable(export.first_id, export.last_id)
    intents = [settling.intent(claim.id, 1) for claim in claims]
    settling.apply(intents)
    tokens = [builder._settlement(c, i, 0, 0, 0) for c, i in zip(claims, intents, strict=True)]
    with builder.ledger.look() as look:
        owners = {c.row_id: c.customer for c in look.attachable(export.first_id, export.last_id)}
    requests = [
        settling.attach_intent(c.id, owners[c.id], 1, makes_customer=c.id % 2 == 0) for c in claims
    ]
    commits.take("owned sent")
    # A customer has one owner at a time: its second card waits until the first is settled.
    firsts = [request for request in requests if request.makes_customer]
    others = [request for request in requests if not request.makes_customer]
    settling.apply([*tokens, *firsts])
    commits.take("tokens and requests")
    cards = {token.row_id: token.token.card_id for token in tokens}
    settling.apply([attached(request, cards) for request in firsts])
    commits.take("first cards attached")
    settling.apply(others)
    commits.take("requests of the others")
    settling.apply([attached(request, cards) for request in others])
    commits.take("attached")
    with builder.ledger.look() as look:
        left = look.attachable(export.first_id, export.last_id)
    settling.apply([Retirement(c.row_id, "gone") for c in left])
    commits.take("retired")


def attached(request, cards):
    gone = request.row_id % 8 == 1
    found = CustomerFound(request.customer, CustomerState.MADE, f"cust_test_{request.customer}")
    return AttachSettlement(
        attempt_id=request.attempt_id,
        row_id=request.row_id,
        customer=request.customer,
        kind=OutcomeKind.DECLINED if gone else OutcomeKind.OK,
        evidence="status 404" if gone else "card on customer",
        state=AttachState.UNATTACHED if gone else AttachState.ATTACHED,
        code=None,
        unknowns=0,
        vault_code=None,
        request_id=None,
        latency_us=1,
        card_id=None if gone else cards[request.row_id],
        found=found if request.makes_customer else None,
    )


@pytest.fixture(scope="module")
def commits(tmp_path_factory):
    return story(tmp_path_factory.mktemp("story"))


def test_a_whole_ledger_contradicts_itself_at_no_commit(tmp_path, commits):
    """Neither before nor after any of them, and also with its journal gone between two."""
    for name, before, after in commits.pairs:
        assert accepted(tmp_path, before), name
        assert accepted(tmp_path, after), name


def test_nothing_is_published_from_a_ledger_that_lost_a_token(tmp_path):
    """Also when it went while the ledger was open: mapped is tokenized minus superseded, or 8."""
    builder = settled_builder(tmp_path, 60)
    with builder.ledger.transaction() as connection:
        connection.exec_driver_sql("DROP TRIGGER refuse_delete_on_tokens")
        lose = "DELETE FROM tokens WHERE row_id = (SELECT max(row_id) FROM tokens)"
        connection.exec_driver_sql(lose)
    with pytest.raises(VerificationFailed, match="other tokens"):
        publish(builder.ledger, tmp_path, "0.1.0")
    builder.ledger.close()

    assert not (tmp_path / "manifest.json").exists()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A published migration whose cards are on customers; nobody changes it."""
    folder = tmp_path_factory.mktemp("published")
    story(folder)
    with closing(Ledger(ledger_url(folder), StepClock())) as ledger:
        ledger.attend("somchai", "here:1")
        ledger.remember(ATTACH_KEY, "on")
        publish(ledger, folder, "0.1.0")
    return folder


@pytest.fixture
def attached_migration(published, tmp_path):
    """A copy of it."""
    shutil.copytree(published, tmp_path, dirs_exist_ok=True)


LOST = {
    "token": "DELETE FROM tokens WHERE row_id = (SELECT max(row_id) FROM tokens JOIN rows ON "
    "rows.id = row_id WHERE state = 'tokenized')",
    "attempt's outcome": "DELETE FROM outcomes WHERE attempt_id = (SELECT max(id) FROM attempts)",
    "customer": "UPDATE customers SET customer_id = NULL WHERE id = (SELECT max(customer) FROM "
    "attachments WHERE state = 'attached')",
    "card's attempt": "UPDATE attachments SET state = 'attaching' WHERE row_id = (SELECT "
    "max(row_id) FROM attachments WHERE state = 'attached')",
    "card's request": "UPDATE attachments SET attempts = attempts + 1 WHERE row_id = (SELECT "
    "max(row_id) FROM attachments WHERE state = 'attached')",
    "card's id": "UPDATE attachments SET card_id = 'card_test_x' WHERE row_id = (SELECT max(row_id) "
    "FROM attachments WHERE state = 'attached')",
    "card's doubts": "UPDATE attachments SET unknowns = 2 WHERE row_id = (SELECT max(row_id) FROM "
    "attachments WHERE state = 'attached')",
    "card's end": "UPDATE attachments SET state = 'attach_failed', code = 'attach_rejected' WHERE "
    "row_id = (SELECT max(row_id) FROM attachments WHERE state = 'attached')",
    "card's mismatch": "UPDATE outcomes SET kind = 'mismatch' WHERE attempt_id = (SELECT max(id) FROM "
    "attempts WHERE step = 'attach')",
    "deleted card": "UPDATE attachments SET deleted_ms = 1 WHERE row_id = (SELECT max(row_id) FROM "
    "attachments WHERE state = 'attached')",
    "reason of a retired token": "UPDATE outcomes SET kind = 'ok' WHERE kind <> 'ok' AND attempt_id IN "
    "(SELECT id FROM attempts WHERE step = 'attach')",
}


@pytest.mark.usefixtures("attached_migration")
@pytest.mark.parametrize("what", sampled(LOST, 2))
def test_whoever_looks_is_told_of_a_ledger_that_contradicts_itself(tmp_path, what):
    """Status, verify and export-mapping say 8 as a run does, of tokens, customers and cards."""
    assert "tables" not in [one.place for one in verify(tmp_path, StepClock(), "0.1.0").differences]
    assert status_of(tmp_path, StepClock())["rows"]
    past_the_rules(tmp_path, LOST[what])
    told = [one.place for one in verify(tmp_path, StepClock(), "0.1.0").differences]

    assert "tables" in told
    with pytest.raises(VerificationFailed, match="contradicts itself"):
        status_of(tmp_path, StepClock())
    with pytest.raises(VerificationFailed, match="contradicts itself"):
        export_mapping(tmp_path, StepClock(), io.BytesIO(), MappingFormat.CSV)


@pytest.mark.usefixtures("attached_migration")
def test_nothing_is_published_of_a_card_that_is_on_no_customer_any_more(tmp_path):
    """With customers, mapped is attached plus reused, or 8: the attach balance stands for it."""
    (tmp_path / "manifest.json").unlink()
    with closing(Ledger(ledger_url(tmp_path), StepClock())) as ledger:
        ledger.attend("somchai", "here:1", files=False)
        with ledger.transaction() as connection:
            connection.exec_driver_sql("DROP TRIGGER refuse_delete_on_tokens")
            lose = "DELETE FROM tokens WHERE row_id = (SELECT max(row_id) FROM attachments WHERE "
            connection.exec_driver_sql(f"{lose}state = 'attached')")
        with pytest.raises(VerificationFailed, match="other tokens"):
            publish(ledger, tmp_path, "0.1.0", anew=True)

    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(("every", "at_random"), [(3, 3), slow(1, 6)])
def test_a_torn_commit_is_refused_or_nothing_of_it_is_to_be_seen(
    tmp_path, commits, every, at_random
):
    """Every commit, torn after every page, and at random pages as a disk may write them."""
    seeded, tried, refused, wrong = random.Random(17), 0, 0, []
    for name, before, after in commits.pairs:
        pages = pages_of(before, after)
        tears = [pages[:n] for n in range(1, len(pages), every)]
        tears += [[n for n in pages if seeded.random() < 0.5] for _ in range(at_random)]
        whole = []
        for content in (before, after):
            assert accepted(tmp_path, content)
            whole.append(told(tmp_path))
        for new in tears:
            tried += 1
            if accepted(tmp_path, mixed(before, after, new)):
                now = told(tmp_path)
                if now not in whole:
                    wrong.append((name, *(sorted(t for t in now if now[t] != w[t]) for w in whole)))
            else:
                refused += 1
    print(f"{len(commits.pairs)} commits, {tried} tears, {refused} refused")

    assert [] == wrong
    assert tried > 100
    assert refused > 50
