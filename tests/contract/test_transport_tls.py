"""TLS to the vault: who is believed, and that nothing leaves for anybody else."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline.vault.transport.failures import CertificateRefused
from pipeline.vault.transport.pool import Timeouts
from pipeline.vault.transport.tls import verifying_context
from pipeline.vault.transport.transport import VaultTransport
from tests.support.loops import RUNNERS, name_of
from tests.support.raw_server import Conversation, RawServer, answer_all

if TYPE_CHECKING:
    from pathlib import Path

BRISK = Timeouts(connect=2, read=2, write=2, pool=2, total=4)
SECRET = b"4242424242424242"
MESSAGE = b"POST /tokens HTTP/1.1\r\nhost: localhost\r\ncontent-length: 16\r\n\r\n" + SECRET
HUGE = b"POST /tokens HTTP/1.1\r\nhost: localhost\r\ncontent-length: 33554432\r\n\r\n"
HUGE += bytes(32 * 1024 * 1024)
CA = trustme.CA()


@pytest.fixture(params=RUNNERS, ids=name_of)
def run(request):
    return request.param


@pytest.fixture
def ca_file(tmp_path) -> Path:
    path = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(path)
    return path


def self_signed(host: str) -> trustme.LeafCert:
    """Give a certificate for a host that nobody but its own key vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return trustme.LeafCert(private, certificate.public_bytes(Encoding.PEM), [])


def server_context(certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (certificate or CA.issue_cert("localhost")).configure_cert(context)
    return context


def outcome(run, url, tls, message=MESSAGE, timeouts=BRISK):
    async def attempt():
        async with VaultTransport(url, tls=tls, timeouts=timeouts) as transport:
            try:
                return await transport.exchange(message)
            except httpx.TransportError as failure:
                return failure

    return run(attempt())


def test_a_certificate_of_the_private_authority_is_believed(run, ca_file):
    """With the authority from the settings the exchange goes through, over TLS 1.2 or newer."""

    async def attempt(url):
        async with VaultTransport(url, tls=verifying_context(ca_file)) as transport:
            return [await transport.exchange(MESSAGE) for _ in range(3)]

    with RawServer(answer_all, tls=server_context()) as server:
        answers = run(attempt(server.url))

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert len(server.conversations) == 1


STRANGERS = {
    "comes from an authority that is not trusted": lambda: trustme.CA().issue_cert("localhost"),
    "is made out to another name": lambda: CA.issue_cert("vault.example"),
    "has expired": lambda: CA.issue_cert(
        "localhost", not_after=datetime.now(UTC) - timedelta(days=1)
    ),
    "is not valid yet": lambda: CA.issue_cert(
        "localhost",
        not_before=datetime(2999, 1, 1, tzinfo=UTC),
        not_after=datetime(2999, 2, 1, tzinfo=UTC),
    ),
    "comes from an authority": lambda: self_signed("localhost"),
}


@pytest.mark.parametrize(("why", "issue"), STRANGERS.items())
def test_a_certificate_that_proves_nothing_is_refused_before_a_byte_leaves(
    run, ca_file, why, issue
):
    """An unknown authority, another host or an expired certificate gives CertificateRefused, and why."""
    with RawServer(Conversation.wait_until_client_leaves, tls=server_context(issue())) as server:
        failure = outcome(run, server.url, verifying_context(ca_file))

    assert CertificateRefused is type(failure)
    assert str(failure).startswith(f"the vault's certificate {why}")
    assert server.received == b""


def test_the_public_authorities_do_not_cover_a_private_one(run):
    """Without `ca_file` a private authority is a stranger, whatever the environment says."""
    with RawServer(Conversation.wait_until_client_leaves, tls=server_context()) as server:
        failure = outcome(run, server.url, verifying_context())

    assert CertificateRefused is type(failure)


def test_a_certificate_that_changes_under_way_is_judged_again(run, ca_file):
    """Every new connection proves itself: a stranger who takes over gets nothing."""
    context = server_context()

    def behave(talk: Conversation) -> None:
        talk.read_request()
        trustme.CA().issue_cert("localhost").configure_cert(context)
        talk.answer(fields=b"connection: close\r\n")

    async def attempt(url):
        async with VaultTransport(url, tls=verifying_context(ca_file), timeouts=BRISK) as transport:
            first = await transport.exchange(MESSAGE)
            with pytest.raises(CertificateRefused):
                await transport.exchange(MESSAGE)
            return first

    with RawServer(behave, tls=context) as server:
        first = run(attempt(server.url))

    assert first.status == 200
    assert [MESSAGE] == server.requests
    assert MESSAGE == server.received


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_tls_older_than_1_2_is_refused(run, ca_file, newest):
    """A server that knows TLS 1.0 or 1.1 only gives CertificateRefused."""
    context = server_context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = newest
    context.set_ciphers("ALL:@SECLEVEL=0")
    with RawServer(Conversation.wait_until_client_leaves, tls=context) as server:
        failure = outcome(run, server.url, verifying_context(ca_file))

    assert CertificateRefused is type(failure)


HANDSHAKES = {
    "hangs": (Conversation.hang, httpx.ConnectTimeout),
    "hangs up": (lambda talk: talk.read(), httpx.ConnectError),
    "resets": (lambda talk: (talk.read(), talk.reset()), httpx.ConnectError),
    "talks http": (lambda talk: talk.answer(), httpx.ConnectError),
    "talks nonsense": (lambda talk: talk.send(bytes(4096)), httpx.ConnectError),
}


@pytest.mark.parametrize(("behave", "kind"), HANDSHAKES.values(), ids=HANDSHAKES)
def test_a_handshake_that_fails_is_not_sent(run, ca_file, behave, kind):
    """Whatever breaks or delays the handshake is a failure to connect."""
    with RawServer(behave) as server:
        url = server.url.replace("http:", "https:")
        failure = outcome(
            run, url, verifying_context(ca_file), timeouts=BRISK._replace(connect=0.4)
        )
        server.over.set()

    assert kind is type(failure)
    assert SECRET not in server.received


def test_a_hang_up_after_reading_may_have_acted(run, ca_file):
    """Behind TLS too, the end of the connection after the request proves nothing."""
    with RawServer(lambda talk: talk.read_request(), tls=server_context()) as server:
        failure = outcome(run, server.url, verifying_context(ca_file))

    assert type(failure) in {httpx.RemoteProtocolError, httpx.ReadError}
    assert server.requests == [MESSAGE]


@pytest.mark.parametrize("amount", [1, len(HUGE)])
def test_a_request_given_to_the_tls_layer_counts_as_sent(run, ca_file, amount):
    """Whether the peer took all or little, behind TLS nothing proves that the last byte stayed."""

    def behave(talk: Conversation) -> None:
        left = amount
        # On a slow machine the client gives up before all was read: then nothing comes any more.
        while left > 0 and (piece := talk.sock.recv(1 << 20)):
            left -= len(piece)
        talk.hang()

    with RawServer(behave, tls=server_context()) as server:
        failure = outcome(
            run, server.url, verifying_context(ca_file), HUGE, Timeouts(read=0.5, total=8)
        )
        server.over.set()

    assert httpx.ReadTimeout is type(failure)


def test_the_environment_opens_nothing(run, ca_file, tmp_path, monkeypatch):
    """Key logs, foreign authorities and proxies named by the environment are ignored."""
    keys = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with RawServer(answer_all, tls=server_context()) as server:
        refused = outcome(run, server.url, verifying_context())
        answered = outcome(run, server.url, verifying_context(ca_file))

    assert CertificateRefused is type(refused)
    assert answered.status == 200
    assert not keys.exists()


@pytest.mark.parametrize(
    ("url", "tls"),
    [
        ("https://localhost", None),
        ("http://localhost", verifying_context()),
        ("ftp://localhost", None),
    ],
)
def test_an_address_and_its_tls_must_agree(url, tls):
    """Https without a verifying context, or another scheme, is refused before anything opens."""
    with pytest.raises(httpx.UnsupportedProtocol):
        VaultTransport(url, tls=tls)


def test_a_missing_authority_file_is_an_os_error(tmp_path):
    """A `ca_file` that is not there is told by the usual exception."""
    with pytest.raises(OSError, match="No such file"):
        verifying_context(tmp_path / "missing.pem")


def test_unused_transports_close_without_a_loop_of_their_own():
    """Closing a transport that never connected does nothing."""
    asyncio.run(VaultTransport("http://localhost").aclose())
