"""The API host's client against the sandbox: what it can do, and that it can do nothing else."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from pipeline.clock import SystemClock
from pipeline.model import OutcomeKind
from pipeline.vault.interface import RefusalCause
from pipeline.vault.omise.customers import CustomerClient
from pipeline.vault.transport.answer_reader import Answer
from pipeline.vault.transport.transport import VaultTransport
from tests.support.sandbox import running
from tests.support.virtual_time import VirtualClock, run_virtually

CUSTOMER, CARD, TOKEN = "cust_test_5fzbq1jz9a4c", "card_test_5fzbq1jz9a4c", "tokn_test_5fzbq1jz9a4c"
JSON = {b"content-type": b"application/json"}
SINCE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def vault():
    with running() as sandbox:
        yield sandbox


def asked(sandbox, ask, **options):
    """Give what a conversation over one line comes to."""

    async def main():
        async with VaultTransport(sandbox.base_url) as line:
            options.setdefault("secret_key", sandbox.secret_key)
            client = CustomerClient(
                line,
                url=sandbox.base_url,
                api_version="2019-05-29",
                livemode=False,
                clock=SystemClock(),
                **options,
            )
            return await ask(client)

    return asyncio.run(main())


def test_a_customer_is_made_of_a_token_and_gets_more_cards(vault):
    """The card keeps the id that the token's card had; the first is the default until it is moved."""
    first, second = vault.token(), vault.token(number="5555555555554444")
    fields = {"metadata": {"cardferry": "1"}, "description": "c"}

    async def ask(client):
        made = await client.make_customer(first["id"], fields)
        ident = made.customer.customer_id
        added = await client.add_card(ident, second["id"])
        moved = await client.set_default_card(ident, second["card"]["id"])
        shown = await client.card(ident, first["card"]["id"])
        deleted = await client.delete_card(ident, first["card"]["id"])
        return made, added, moved, shown, deleted, await client.customer(ident)

    made, added, moved, shown, deleted, last = asked(vault, ask)

    assert [OutcomeKind.OK] * 6 == [
        answer.outcome.kind for answer in (made, added, moved, shown, deleted, last)
    ]
    assert [first["card"]["id"]] == [card.card_id for card in made.customer.cards]
    assert {"cardferry": "1"} == made.customer.metadata
    assert first["card"]["id"] == added.customer.default_card
    assert second["card"]["id"] == moved.customer.default_card
    assert ("4242", 12, 2031) == shown.card[2:5]
    assert deleted.card.is_deleted
    assert (1, second["card"]["id"]) == (last.customer.cards_total, last.customer.default_card)


def test_a_used_token_and_what_is_not_there_are_findings(vault):
    """Neither is a trouble of the vault's; what they mean the ledger's protocol decides."""
    token = vault.token()

    async def ask(client):
        made = await client.make_customer(token["id"], {})
        again = await client.make_customer(token["id"], {})
        unknown = await client.make_customer(TOKEN, {})
        gone = await client.customer(CUSTOMER)
        no_card = await client.card(made.customer.customer_id, CARD)
        return again, unknown, gone, no_card

    answers = asked(vault, ask)

    assert [RefusalCause.USED, *[RefusalCause.NOT_FOUND] * 3] == [
        answer.cause for answer in answers
    ]
    assert {OutcomeKind.REJECTED} == {answer.outcome.kind for answer in answers}


def test_customers_are_listed_from_a_moment_on(vault):
    """Pages are cut by offset and limit, and tell how many there are."""
    since = datetime.now(UTC) - timedelta(hours=1)
    tokens = [vault.token()["id"] for _ in range(5)]

    async def ask(client):
        made = [(await client.make_customer(t, {})).customer.customer_id for t in tokens]
        newest = await client.customers(since, limit=3, newest_first=True)
        rest = await client.customers(since, offset=newest.total - 2)
        none = await client.customers(since + timedelta(days=2))
        return made, newest, rest, none

    made, newest, rest, none = asked(vault, ask)

    assert made[:1:-1] == [customer.customer_id for customer in newest.customers]
    assert made[3:] == [customer.customer_id for customer in rest.customers]
    assert (0, ()) == (none.total, none.customers)


def test_the_wrong_key_is_fatal(vault):
    """A public key where the secret one is due stops a run, and the setting is named."""
    wrong = asked(vault, lambda client: client.customers(SINCE), secret_key=vault.public_key)

    assert OutcomeKind.FATAL is wrong.outcome.kind
    assert "attach.secret_key" in wrong.outcome.setting


class Line:
    """A line that remembers what it was given and answers as it is told."""

    def __init__(self, answer):
        self.answer, self.seen = answer, []

    async def exchange(self, message):
        self.seen.append(bytes(message))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def over(line):
    return CustomerClient(
        line,
        url="https://api.example/base",
        secret_key="skey_test_x",
        api_version="2019-05-29",
        livemode=False,
        clock=VirtualClock(),
    )


CALLS = {
    "account": lambda c, _: c.account(),
    "make_customer": lambda c, i: c.make_customer(i or TOKEN, {}),
    "add_card": lambda c, i: c.add_card(i or CUSTOMER, TOKEN),
    "add_card's token": lambda c, i: c.add_card(CUSTOMER, i or TOKEN),
    "set_default_card": lambda c, i: c.set_default_card(i or CUSTOMER, CARD),
    "set_default_card's card": lambda c, i: c.set_default_card(CUSTOMER, i or CARD),
    "delete_card": lambda c, i: c.delete_card(i or CUSTOMER, CARD),
    "delete_card's card": lambda c, i: c.delete_card(CUSTOMER, i or CARD),
    "customer": lambda c, i: c.customer(i or CUSTOMER),
    "card": lambda c, i: c.card(i or CUSTOMER, CARD),
    "card's card": lambda c, i: c.card(CUSTOMER, i or CARD),
    "customers": lambda c, _: c.customers(SINCE, offset=-5, limit=10**9),
}
ALLOWED = re.compile(
    rb"(GET|POST|PATCH|DELETE) /base/(account|customers(/cust_\w+(/cards/card_\w+)?)?(\?[\w=&%.:-]+)?)"
    rb" HTTP/1\.1"
)


def test_nothing_but_the_account_and_customers_can_be_reached():
    """Every method there is leads to one of these paths of the one host, whatever it is given."""
    methods = {name.partition("'")[0] for name in CALLS} | {"outcome_of"}
    line = Line(Answer(200, JSON, b"{}"))
    for call in CALLS.values():
        run_virtually(call(over(line), None))

    assert methods == {name for name in vars(CustomerClient) if not name.startswith("_")}
    for message in line.seen:
        head, *fields = message.partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert ALLOWED.fullmatch(head), head
        assert b"host: api.example" in fields


@pytest.mark.parametrize("call", [name for name in CALLS if name not in {"account", "customers"}])
@pytest.mark.parametrize(
    "ident",
    [
        "../charges",
        "x",
        "cust_test_1/../../charges",
        "cust_test_12345678\r\nx: y",
        "cust_test_1234567 8",
    ],
)
def test_what_is_no_id_never_becomes_part_of_a_request(call, ident):
    """A path or body is made of ids by their shape only, and the exception does not repeat them."""
    line = Line(Answer(200, JSON, b"{}"))
    with pytest.raises(ValueError, match=r"^not an id of the vault's$"):
        run_virtually(CALLS[call](over(line), ident))

    assert [] == line.seen


def test_a_customer_is_written_with_three_fields_only():
    """A mistake of ours cannot write anything else to a customer."""
    with pytest.raises(ValueError, match="metadata only"):
        run_virtually(over(Line(None)).make_customer(TOKEN, {"default_card": CARD}))


@pytest.mark.parametrize(
    ("total", "offset", "kind"),
    [(5, 0, OutcomeKind.AMBIGUOUS), (5, 5, OutcomeKind.OK), (0, 0, OutcomeKind.OK)],
    ids=["more than it shows", "behind its end", "nobody"],
)
def test_an_empty_page_proves_nothing_where_the_list_has_more(total, offset, kind):
    """Believed, a customer that is there would count as gone, and its card be made anew."""
    body = json.dumps({"object": "list", "data": [], "total": total}).encode()
    client = over(Line(Answer(200, JSON, body)))

    assert run_virtually(client.customers(SINCE, offset=offset)).outcome.kind is kind


@pytest.mark.parametrize("webhook", [None, "https://shop.example/hook"])
def test_the_account_tells_its_mode_and_its_webhook(webhook):
    """The first request of a run shows whose key it is, and whom each attach will call."""
    shown = {"object": "account", "id": "account_4yq6tct0llin5nyyi5l", "livemode": False}
    body = json.dumps(shown | {"webhook_uri": webhook}).encode()
    answer = run_virtually(over(Line(Answer(200, JSON, body))).account())

    assert ("account_4yq6tct0llin5nyyi5l", False, webhook) == answer.account


SHOWN = {
    "object": "customer",
    "id": CUSTOMER,
    "livemode": False,
    "deleted": False,
    "metadata": {},
    "default_card": CARD,
    "cards": {"object": "list", "data": [], "total": 0},
    "created_at": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, SHOWN, OutcomeKind.OK),
        (200, SHOWN | {"livemode": True}, OutcomeKind.FATAL),
        (200, SHOWN | {"livemode": None}, OutcomeKind.AMBIGUOUS),
        (200, SHOWN | {"object": "token"}, OutcomeKind.AMBIGUOUS),
        (200, SHOWN | {"id": "cust_x"}, OutcomeKind.AMBIGUOUS),
        (200, SHOWN | {"default_card": 1}, OutcomeKind.AMBIGUOUS),
        (
            200,
            SHOWN | {"cards": {"object": "list", "data": [{}], "total": 1}},
            OutcomeKind.AMBIGUOUS,
        ),
        (200, SHOWN | {"created_at": "yesterday"}, OutcomeKind.AMBIGUOUS),
        (200, {key: SHOWN[key] for key in SHOWN if key != "cards"}, OutcomeKind.AMBIGUOUS),
        (200, b"{", OutcomeKind.AMBIGUOUS),
        (201, SHOWN, OutcomeKind.AMBIGUOUS),
        (302, b"", OutcomeKind.DENIED),
        (401, b"", OutcomeKind.FATAL),
        (403, b"", OutcomeKind.DENIED),
        (404, b"", OutcomeKind.REJECTED),
        (429, b"", OutcomeKind.THROTTLED),
        (500, b"", OutcomeKind.AMBIGUOUS),
    ],
)
def test_every_answer_has_its_class(status, body, kind):
    """Status, object, mode and the shape of each field decide."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = run_virtually(over(Line(Answer(status, JSON, raw))).customer(CUSTOMER))

    assert kind is answer.outcome.kind
    assert (kind is OutcomeKind.OK) == (answer.customer is not None)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(httpx.ConnectError, OutcomeKind.NOT_SENT), (httpx.ReadTimeout, OutcomeKind.AMBIGUOUS)],
)
def test_a_line_that_fails_is_an_answer_too(failure, kind):
    """Sent or not sent is told as for a token."""
    answer = run_virtually(over(Line(failure("x"))).make_customer(TOKEN, {}))

    assert kind is answer.outcome.kind
