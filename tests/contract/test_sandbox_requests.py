"""Request shapes that real clients send, on raw sockets and kept-alive connections."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.sandbox import basic, card, running

JSON = "Content-Type: application/json"
BODY = json.dumps({"card": card()}).encode()
UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")


@pytest.fixture(scope="module")
def sandbox():
    with running() as started:
        yield started


def raw(method="POST", path="/tokens", headers=(JSON,), body=BODY, version="1.1"):
    """Give a request's bytes."""
    lines = [f"{method} {path} HTTP/{version}", "Host: vault", *headers]
    lines += ["Authorization: " + basic("pkey_test_x")]
    if not any(line.startswith(("Transfer", "Content-Length")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Talk:
    """One connection, read answer by answer."""

    def __init__(self, sandbox):
        self.socket = socket.create_connection(sandbox.address, timeout=5)
        self.stream = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.stream.close()
        self.socket.close()

    def send(self, request):
        self.socket.sendall(request)

    def answer(self, *, has_body=True):
        """Read one answer; gives status, headers and body."""
        status = int(self.stream.readline().split()[1])
        headers = {}
        while line := self.stream.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        length = int(headers.get("content-length", 0)) if has_body else 0
        return status, headers, self.stream.read(length)

    def ask(self, request, **reading):
        self.send(request)
        return self.answer(**reading)


def chunked(body):
    parts = [body[start : start + 50] for start in range(0, len(body), 50)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        raw(),
        raw(path="/tokens/"),
        raw(path="http://vault.omise.co/tokens"),
        raw(path="/tokens?lang=en"),
        raw(headers=(JSON, *UPGRADE)),
        raw(headers=(JSON, "Transfer-Encoding: chunked"), body=chunked(BODY)),
        raw(headers=("content-TYPE: application/json;utf-8", "Idempotency-Key: 1")),
    ],
    ids=["plain", "slash", "absolute", "query", "h2c", "chunked", "headers"],
)
def test_every_way_to_post_makes_a_token_and_keeps_the_connection(sandbox, request_):
    """Two in a row on one connection, so that a body read wrongly would show."""
    with Talk(sandbox) as talk:
        answers = [talk.ask(request_), talk.ask(request_)]

    assert [status for status, _, _ in answers] == [200, 200]
    assert len({json.loads(body)["id"] for _, _, body in answers}) == 2


def test_requests_sent_ahead_are_answered_in_order(sandbox):
    """Pipelined requests get one answer each."""
    with Talk(sandbox) as talk:
        talk.send(raw() + raw("GET", "/tokens/x", body=b"{}") + raw())
        statuses = [talk.answer()[0] for _ in range(3)]

    assert statuses == [200, 404, 200]


def test_a_token_that_many_ask_for_at_once_is_used_once(sandbox):
    """By charges and customers together; all but one are told so."""
    token = sandbox.token()["id"]
    asks = [
        ("/charges", {"card": token, "amount": 10_000, "currency": "thb"}),
        ("/customers", {"card": token}),
    ]

    def use(ask):
        path, params = ask
        answer = sandbox.request("POST", path, json=params)
        return answer.status_code, answer.json().get("code")

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(use, asks * 8))

    assert answers == [(200, None), *[(400, "used_token")] * 15]


def test_a_get_with_a_body_does_not_spoil_the_next_request(sandbox):
    """Python, Go and Elixir clients send `{}` with every GET."""
    with Talk(sandbox) as talk:
        ident = json.loads(talk.ask(raw())[2])["id"]
        shown = [talk.ask(raw("GET", f"/tokens/{ident}", body=b"{}")) for _ in range(2)]

    assert [status for status, _, _ in shown] == [200, 200]


def test_a_head_is_a_get_without_the_body(sandbox):
    """It tells the length and sends nothing, and the connection goes on."""
    with Talk(sandbox) as talk:
        head = talk.ask(raw("HEAD", "/tokens/x", body=b""), has_body=False)
        get = talk.ask(raw("GET", "/tokens/x", body=b""))

    assert (head[0], head[1]["content-length"]) == (404, str(len(get[2])))


def test_a_client_that_waits_for_100_continue_gets_it(sandbox):
    """Curl waits before a long body."""
    length = f"Content-Length: {len(BODY)}"
    with Talk(sandbox) as talk:
        interim = talk.ask(raw(headers=(JSON, length, "Expect: 100-continue"), body=b""))[0]
        final = talk.ask(BODY)[0]

    assert (interim, final) == (100, 200)


def test_nothing_is_done_for_a_request_that_never_came_whole(tmp_path):
    """Its client died while it was sending; what had come would have made a token."""
    with running(journal=tmp_path / "journal") as sandbox:
        with Talk(sandbox) as talk:
            talk.send(raw(headers=(JSON, f"Content-Length: {len(BODY) + 1}")))
        sandbox.token(number="5555555555554444")

        assert [entry["last_digits"] for entry in sandbox.entries()] == ["4444"]


def test_a_body_over_the_limit_is_read_and_refused(sandbox):
    """413 with an error object, then the connection is closed."""
    with Talk(sandbox) as talk:
        status, headers, body = talk.ask(raw(body=b"x" * 3_000_000))
        rest = talk.stream.read()

    assert (status, headers["connection"], rest) == (413, "close", b"")
    assert json.loads(body)["object"] == "error"


def test_a_body_over_the_limit_is_not_asked_for(sandbox):
    """Who waits for 100 Continue never has to send it."""
    headers = (JSON, "Content-Length: 3000000", "Expect: 100-continue")
    with Talk(sandbox) as talk:
        assert talk.ask(raw(headers=headers, body=b""))[0] == 413


def test_an_old_http_version_is_answered_and_closed(sandbox):
    """HTTP/1.0 keeps no connection."""
    with Talk(sandbox) as talk:
        status, headers, _ = talk.ask(raw(version="1.0"))
        rest = talk.stream.read()

    assert (status, headers["connection"], rest) == (200, "close", b"")


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET\r\n\r\n", raw("CONNECT", "v:1")]
)
def test_what_is_no_http_gets_an_error_object(sandbox, junk):
    """Even a TLS handshake gets an answer that a client can parse."""
    with Talk(sandbox) as talk:
        status, _, body = talk.ask(junk)

    assert (status, json.loads(body)["code"]) == (400, "bad_request")


def test_answers_carry_the_recorded_headers(sandbox):
    """The vault's and the API's differ, errors echo no version."""
    ok = sandbox.request("POST", "/tokens", json={"card": card()}, version="2017-11-02")
    api = sandbox.request("GET", "/customers")
    error = sandbox.request("GET", "/tokens/x")

    recorded = {
        "cache-control": "no-cache, no-store",
        "content-type": "application/json",
        "omise-version": "2017-11-02",
        "status": "200 OK",
        "strict-transport-security": "max-age=31536000; includeSubdomains; preload",
        "vary": "Accept-Encoding",
        "x-content-type-options": "nosniff",
        "x-frame-options": "SAMEORIGIN",
        "x-xss-protection": "1; mode=block",
    }
    assert recorded.items() <= dict(ok.headers).items()
    assert api.headers["content-type"] == "application/json; charset=utf-8"
    assert (error.headers["status"], "omise-version" in error.headers) == ("404 Not Found", False)
    assert len({answer.headers["x-request-id"] for answer in (ok, api, error)}) == 3
    assert float(ok.headers["x-runtime"]) < 1


def test_form_and_json_make_the_same_card(sandbox):
    """What differs is the encoding only."""
    form = {f"card[{name}]": str(value) for name, value in card().items()}
    by_form = sandbox.request("POST", "/tokens", data=form).json()["card"]
    by_json = sandbox.token()["card"]

    random = ("id", "created_at")
    assert {n: by_form[n] for n in by_form if n not in random} == {
        n: by_json[n] for n in by_json if n not in random
    }


def test_a_429_of_the_limit_says_how_long_to_wait_or_not():
    """In whole seconds; an option leaves the header out."""
    waits = []
    for tells_wait in (True, False):
        with running(rate_per_s=0.25, burst=1, tells_wait=tells_wait) as sandbox:
            answers = [sandbox.request("GET", "/tokens/x") for _ in range(2)]
        waits.append([(a.status_code, a.headers.get("retry-after")) for a in answers])

    assert waits == [[(404, None), (429, "4")], [(404, None), (429, None)]]


def test_an_answer_takes_at_least_the_latency():
    """Measured by the client."""
    with running(latency_s=0.2) as sandbox:
        started = time.perf_counter()
        sandbox.token()
        took = time.perf_counter() - started

    assert took >= 0.2
