"""Certificates: whose are trusted, and that each consumer's own is looked at."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import worker.webhook
from worker.contract import Addressee, EventType, build_event
from worker.failures import ErrorCode, JobFailure
from worker.settings import Settings
from worker.transport import default_ssl_context
from worker.webhook import WebhookSender

EVENT = build_event(
    EventType.COMPLETED, Addressee("take-42"), attempt=1, progress=100, message="Done."
)
OpenSender = Callable[..., Awaitable[WebhookSender]]


class Authority:
    """A certificate authority of the tests' own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server_context(self, *names: str, valid_days: float = 1) -> ssl.SSLContext:
        """A server's TLS context with a certificate for these names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        until = datetime.now(UTC) + timedelta(days=valid_days)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(until - timedelta(days=2))
            .not_valid_after(until)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        path = self._folder / f"{certificate.serial_number}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        return context

    def client_context(self) -> ssl.SSLContext:
        """A client's TLS context that trusts this authority alone."""
        return ssl.create_default_context(cadata=self.pem)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "The tests' authority")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.webhook, "ATTEMPT_TIMES_S", (0.0, 0.01))


async def everyone_on_loopback(host: str, port: int) -> tuple[str, ...]:
    return ("127.0.0.1",)


@pytest_asyncio.fixture
async def open_sender(attempt_metrics: Any) -> AsyncIterator[OpenSender]:
    async with AsyncExitStack() as stack:

        async def start(context: ssl.SSLContext | None, **options: Any) -> WebhookSender:
            settings = Settings(
                queue_url="https://sqs.test/q",
                webhook_allowed_networks="127.0.0.0/8",
                webhook_timeout_s=options.pop("webhook_timeout_s", 5),
                _env_file=None,
                **options,
            )
            return await stack.enter_async_context(
                WebhookSender(
                    settings,
                    None,
                    attempt_metrics,
                    ssl_context=context,
                    resolver=everyone_on_loopback,
                )
            )

        yield start


async def test_a_consumer_with_a_good_certificate_is_served(
    open_consumer: Any, open_sender: OpenSender, authority: Authority
) -> None:
    consumer = await open_consumer(ssl_context=authority.server_context("one.example.com"))
    sender = await open_sender(authority.client_context())
    url = f"https://one.example.com:{consumer.port}/hook"
    await sender.deliver(url, EVENT)
    await sender.deliver(url, EVENT)
    assert [got.headers["Host"] for got in consumer.received] == [
        f"one.example.com:{consumer.port}"
    ] * 2
    assert len({got.peer_port for got in consumer.received}) == 1, "one connection served both"


async def test_two_hosts_on_one_address_are_each_known_by_their_own_certificate(
    open_consumer: Any, open_sender: OpenSender, authority: Authority
) -> None:
    asked: list[str] = []
    contexts = {
        name: authority.server_context(name) for name in ("one.example.com", "two.example.com")
    }
    front = authority.server_context("one.example.com")

    def choose(connection: ssl.SSLObject, name: str, _: ssl.SSLContext) -> None:
        asked.append(name)
        connection.context = contexts[name]

    front.sni_callback = choose
    consumer = await open_consumer(ssl_context=front)
    sender = await open_sender(authority.client_context())
    for name in contexts:
        await sender.deliver(f"https://{name}:{consumer.port}/hook", EVENT)
    assert asked == list(contexts)
    assert len({got.peer_port for got in consumer.received}) == 2, "a connection for each name"


async def test_an_open_connection_to_one_host_serves_no_other_on_the_same_address(
    open_consumer: Any, open_sender: OpenSender, authority: Authority
) -> None:
    """Pooled by address, the second host would be sent its event unseen."""
    consumer = await open_consumer(ssl_context=authority.server_context("one.example.com"))
    sender = await open_sender(authority.client_context())
    await sender.deliver(f"https://one.example.com:{consumer.port}/hook", EVENT)
    with pytest.raises(JobFailure, match="certificate was refused") as raised:
        await sender.deliver(f"https://two.example.com:{consumer.port}/hook", EVENT)
    assert raised.value.code is ErrorCode.WEBHOOK_UNAVAILABLE
    assert "two.example.com" in raised.value.message
    assert len(consumer.received) == 1


async def test_an_unknown_authority_is_not_trusted(
    open_consumer: Any, open_sender: OpenSender, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "Somebody else's authority")
    consumer = await open_consumer(ssl_context=stranger.server_context("one.example.com"))
    for context in (authority.client_context(), None):
        sender = await open_sender(context)
        with pytest.raises(JobFailure, match="certificate was refused"):
            await sender.deliver(f"https://one.example.com:{consumer.port}/hook", EVENT)
    assert not consumer.received


async def test_an_expired_certificate_is_refused(
    open_consumer: Any, open_sender: OpenSender, authority: Authority
) -> None:
    context = authority.server_context("one.example.com", valid_days=-0.5)
    consumer = await open_consumer(ssl_context=context)
    sender = await open_sender(authority.client_context())
    with pytest.raises(JobFailure, match="expired"):
        await sender.deliver(f"https://one.example.com:{consumer.port}/hook", EVENT)
    assert not consumer.received


async def test_an_address_in_the_url_is_checked_against_the_certificate_too(
    open_consumer: Any, open_sender: OpenSender, authority: Authority
) -> None:
    sender = await open_sender(authority.client_context())
    good = await open_consumer(ssl_context=authority.server_context("127.0.0.1"))
    await sender.deliver(good.url, EVENT)
    named = await open_consumer(ssl_context=authority.server_context("one.example.com"))
    with pytest.raises(JobFailure, match="certificate was refused"):
        await sender.deliver(named.url, EVENT)


async def test_plain_http_behind_an_https_url_is_a_failure(
    open_consumer: Any, open_sender: OpenSender, authority: Authority
) -> None:
    consumer = await open_consumer()
    sender = await open_sender(authority.client_context())
    with pytest.raises(JobFailure, match="TLS failed"):
        await sender.deliver(f"https://one.example.com:{consumer.port}/hook", EVENT)
    assert not consumer.received


async def test_a_handshake_that_never_ends_is_cut_off_by_the_timeout(
    open_raw_consumer: Any, open_sender: OpenSender, authority: Authority
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    url = (await open_raw_consumer(silent)).replace("http://127.0.0.1", "https://one.example.com")
    sender = await open_sender(authority.client_context(), webhook_timeout_s=0.2)
    with pytest.raises(JobFailure, match=r"within 0\.2 s"):
        await sender.deliver(url, EVENT)


def test_by_default_the_worlds_authorities_are_trusted_and_nothing_old_is_spoken() -> None:
    context = default_ssl_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.cert_store_stats()["x509_ca"] > 50
