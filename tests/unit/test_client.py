"""One attempt: what goes over the line, and every way it can end."""

from __future__ import annotations

import asyncio
import base64
import json

import httpx
import pytest

from pipeline.model import OutcomeKind
from pipeline.vault.interface import ECHOED, SentCard
from pipeline.vault.omise.tokens import VaultClient
from pipeline.vault.transport.answer_reader import Answer
from pipeline.vault.transport.failures import CertificateRefused, mark_unsent
from tests.support.virtual_time import VirtualClock, run_virtually

NUMBER = b"4242424242424242"
TOKEN = {
    "object": "token",
    "id": "tokn_test_63440m1z407jm6hgxtu",
    "livemode": False,
    "card": {
        "object": "card",
        "id": "card_test_63440m1wwjc3ipgm9w4",
        "livemode": False,
        "brand": "Visa",
        "last_digits": "4242",
        "expiration_month": 10,
        "expiration_year": 2030,
    },
    "created_at": "2025-03-20T09:12:01Z",
}


class Line:
    """A line that takes a quarter of a second and ends as it is told."""

    def __init__(self, end: Answer | BaseException) -> None:
        self.end = end
        self.seen: list[bytes] = []
        self.buffers: list[bytes | bytearray] = []

    async def exchange(self, message):
        self.seen.append(bytes(message))
        self.buffers.append(message)
        await asyncio.sleep(0.25)
        if isinstance(self.end, BaseException):
            raise self.end
        return self.end


def client_over(line):
    return VaultClient(
        line,
        url="https://vault.example:8443/base/",
        public_key="pkey_test_x",
        api_version="2019-05-29",
        livemode=False,
        clock=VirtualClock(),
    )


FIELDS = {"name": "A", "expiration_month": 10, "expiration_year": 2030}
SENT = SentCard("4242", 10, 2030)


def create(line):
    async def attempt():
        client = client_over(line)
        return await client.create_token(client.card_request(FIELDS, NUMBER), SENT)

    return run_virtually(attempt())


def made(status=200, token=TOKEN, **fields):
    names = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    return Answer(
        status, {b"content-type": b"application/json"} | names, json.dumps(token).encode()
    )


def test_a_create_is_one_whole_request():
    """Head and body leave in one piece: path, Basic auth with an empty password, versions, JSON."""
    line = Line(made())
    create(line)
    head, _, body = line.seen[0].partition(b"\r\n\r\n")
    start, *fields = head.split(b"\r\n")

    assert b"POST /base/tokens HTTP/1.1" == start
    assert {
        b"host": b"vault.example:8443",
        b"authorization": b"Basic " + base64.b64encode(b"pkey_test_x:"),
        b"user-agent": b"cardferry",
        b"omise-version": b"2019-05-29",
        b"accept": b"application/json",
        b"accept-encoding": b"identity",
        b"content-type": b"application/json",
        b"content-length": b"%d" % len(body),
    } == dict(field.split(b": ", 1) for field in fields)
    assert NUMBER.decode() == json.loads(body)["card"]["number"]


def test_the_outcome_tells_token_and_request():
    """A good answer gives the token and the vault's request id."""
    outcome = create(Line(made(x_request_id=b"abc-1")))

    assert OutcomeKind.OK is outcome.kind
    assert "abc-1" == outcome.request_id
    assert TOKEN["id"] == outcome.token.token_id


DIGITS = NUMBER.decode()


@pytest.mark.parametrize(
    "change",
    [
        {"id": f"tokn_test_{DIGITS}"},
        {"id": f"tokn_test_x{DIGITS[::-1]}y"},
        {"id": "tokn_test_4242a4242b4242c4242"},
        {"card": {"id": f"card_test_{DIGITS}"}},
        {"card": {"id": f"card_test_0{DIGITS[::-1]}"}},
        {"card": {"fingerprint": f"fingerprint-{DIGITS}"}},
        {"card": {"fingerprint": "4242/4242=4242+4242_and_more"}},
        {"request_id": b"4242-4242-4242-4242"},
        {"request_id": b"req-4a2b4c2d4e2f4a2b4c2d4e2f4a2b4c2d"},
    ],
)
def test_an_answer_that_repeats_the_number_in_anything_that_is_kept_is_a_mismatch(change):
    """Token, card, fingerprint, request: in any form in which such an id can be one."""
    change = dict(change)
    request_id = change.pop("request_id", b"abc-1")
    card = TOKEN["card"] | change.pop("card", {})
    outcome = create(Line(made(x_request_id=request_id, token={**TOKEN, **change, "card": card})))

    assert (OutcomeKind.MISMATCH, ECHOED) == (outcome.kind, outcome.evidence)
    assert outcome.token is outcome.request_id is None


def test_a_refusal_that_repeats_the_number_is_one_as_well():
    """Its request's id would be kept beside the failure."""
    body = {"object": "error", "code": "invalid_card", "message": "no"}
    refusal = made(402, x_request_id=b"4242-4242-4242-4242", token=body)

    assert ECHOED == create(Line(refusal)).evidence


def test_the_request_goes_to_the_line_without_a_copy():
    """Whoever wipes the request has wiped the only buffer that held the number."""
    line = Line(made())
    client = client_over(line)
    request = client.card_request(FIELDS, NUMBER)
    run_virtually(client.create_token(request, SENT))

    assert line.buffers[0] is request
    assert NUMBER == bytes(request.number)
    request.wipe()
    assert bytes(len(line.seen[0])) == bytes(line.buffers[0])


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (httpx.ConnectError, OutcomeKind.NOT_SENT),
        (httpx.ConnectTimeout, OutcomeKind.NOT_SENT),
        (httpx.PoolTimeout, OutcomeKind.NOT_SENT),
        (httpx.WriteError, OutcomeKind.NOT_SENT),
        (httpx.WriteTimeout, OutcomeKind.NOT_SENT),
        (httpx.LocalProtocolError, OutcomeKind.NOT_SENT),
        (httpx.UnsupportedProtocol, OutcomeKind.NOT_SENT),
        (CertificateRefused, OutcomeKind.FATAL),
        (httpx.ReadError, OutcomeKind.AMBIGUOUS),
        (httpx.ReadTimeout, OutcomeKind.AMBIGUOUS),
        (httpx.RemoteProtocolError, OutcomeKind.AMBIGUOUS),
        (httpx.CloseError, OutcomeKind.AMBIGUOUS),
        (httpx.ProxyError, OutcomeKind.AMBIGUOUS),
        (httpx.DecodingError, None),
    ],
)
def test_an_exception_of_the_line_is_an_outcome(failure, kind):
    """What proves that the last byte stayed is NOT_SENT; the rest of the transport's is in doubt."""
    line = Line(failure("4242424242424242"))
    if kind is None:
        with pytest.raises(failure):
            create(line)
        return
    outcome = create(line)

    assert kind is outcome.kind
    assert "4242" not in repr(outcome)


@pytest.mark.parametrize("unsent", [True, False])
def test_a_cancellation_passes_through_with_its_mark(unsent):
    """Whoever cancelled learns whether the last byte had left."""
    cancelled = asyncio.CancelledError()
    if unsent:
        mark_unsent(cancelled)

    client = client_over(Line(cancelled))

    async def attempt():
        try:
            await client.create_token(client.card_request(FIELDS, NUMBER), SENT)
        except asyncio.CancelledError as seen:
            return client.outcome_of(seen).kind

    kind = OutcomeKind.NOT_SENT if unsent else OutcomeKind.AMBIGUOUS

    assert kind is run_virtually(attempt())


def test_the_key_is_not_shown():
    """Neither the client's text nor its fields by name give the key away."""
    client = client_over(Line(made()))

    assert "pkey" not in repr(client) + repr(vars(client))
