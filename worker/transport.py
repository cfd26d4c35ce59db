"""One HTTP exchange with a consumer, bounded in time and size; what came of it, in words."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self

import aiohttp
import certifi

from worker import __version__
from worker.connections import Connections, Dialling
from worker.netguard import NetGuard, Target

MAX_ANSWER_BYTES: Final = 64 * 1024
"""No more of an answer is read; the status is what counts."""

MAX_RETRY_AFTER_S: Final = 3600.0
"""The longest wait that a consumer may ask for; a longer one is read as this."""

USER_AGENT: Final = f"analysis-worker/{__version__}"

_HEADERS: Final = {
    "User-Agent": USER_AGENT,
    "Content-Type": "application/json",
    "Accept": "*/*",
    # An answer is never unpacked either, so a small one cannot become a large one.
    "Accept-Encoding": "identity",
}


_NO_ANSWER: Final = (
    aiohttp.ServerDisconnectedError,
    aiohttp.ClientResponseError,
    aiohttp.ClientPayloadError,
)


class ExchangeError(Exception):
    """No answer came; the text says why, in words that may be shown to the job's owner."""


@dataclass(frozen=True)
class Answer:
    """What a consumer answered."""

    status: int
    retry_after_s: float | None
    """The wait that it asked for; None with an event that it took."""


class Exchanger:
    """Posts bodies to consumers; one for the process, with its connections.

    Parameters
    ----------
    guard
        Checks every address before it is dialled.
    timeout_s
        One exchange: name look-up, connection, TLS, request and answer to the last byte.
    max_idle
        Idle connections kept, over all consumers.
    ssl_context
        Whose certificates are trusted; by default the system's authorities and certifi's.
    """

    def __init__(
        self,
        guard: NetGuard,
        *,
        timeout_s: float,
        max_idle: int,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self.connections = Connections(
            guard, ssl_context or default_ssl_context(), max_idle=max_idle
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.connections.aclose()

    async def post(
        self,
        target: Target,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout_s: float | None = None,
    ) -> Answer:
        """Post a body and read the answer.

        Parameters
        ----------
        timeout_s
            A shorter time than the usual one.

        Raises
        ------
        ExchangeError
            No whole answer came in time.
        JobFailure
            The guard refused the addresses (`url_refused`), or there are none.
        """
        limit_s = self._timeout_s if timeout_s is None else min(timeout_s, self._timeout_s)
        try:
            async with (
                self.connections.to(target.origin) as session,
                asyncio.timeout(limit_s) as limit,
            ):
                return await self._exchange(session, target, body, {**_HEADERS, **headers})
        except TimeoutError as error:
            if limit.expired():
                raise ExchangeError(f"it did not answer within {limit_s:g} s") from None
            raise ExchangeError(_reason(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise ExchangeError(_reason(error)) from None

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        target: Target,
        body: bytes,
        headers: Mapping[str, str],
    ) -> Answer:
        with Dialling() as dialling:
            try:
                return await _post(session, target, body, headers)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if dialling.is_new:
                    raise
        # A kept connection may be closed over there at the moment of sending. That says nothing
        # of the consumer, and a repeat does no harm, for it has the same id.
        async with self.connections.afresh() as new:
            return await _post(new, target, body, headers)


async def _post(
    session: aiohttp.ClientSession,
    target: Target,
    body: bytes,
    headers: Mapping[str, str],
) -> Answer:
    async with session.post(
        target.url, data=body, headers=headers, allow_redirects=False
    ) as answer:
        await _read(answer)
        # Nothing in the headers of a taken event may take it back.
        is_taken = 200 <= answer.status < 300
        wait_s = None if is_taken else retry_after_s(answer.headers.get("Retry-After"))
        return Answer(answer.status, wait_s)


async def _read(answer: aiohttp.ClientResponse) -> None:
    """Read an answer to its end, but no more of it than may be.

    One that is cut off or never ends is no answer: the consumer may have failed after its status
    line.
    """
    size = 0
    while part := await answer.content.readany():
        size += len(part)
        if size >= MAX_ANSWER_BYTES:
            if answer.connection and (transport := answer.connection.transport):
                transport.abort()  # whoever floods would not answer the end of TLS either
            answer.close()
            return


@functools.cache  # reading some hundred certificates takes a tenth of a second
def default_ssl_context() -> ssl.SSLContext:
    """Trust the system's authorities, where an operator adds a private one, and certifi's."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def retry_after_s(header: str | None, now: datetime | None = None) -> float | None:
    """Read a Retry-After header: seconds or an HTTP date (RFC 9110, section 10.2.3).

    Returns
    -------
    float or None
        Seconds from now, 0 to `MAX_RETRY_AFTER_S`; None without a readable header.
    """
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        # Digits without end are no number that float() should be asked to hold.
        wait_s = float(text) if len(text) <= 10 else MAX_RETRY_AFTER_S
    else:
        try:
            when = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        wait_s = (when - (now or datetime.now(UTC))).total_seconds()
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


def _reason(error: BaseException) -> str:
    """A transport error in words, without addresses: the message may reach the job's owner."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate was refused ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or 'no reason given'})"
        if isinstance(cause, ConnectionRefusedError):
            return "it refused the connection"
        if isinstance(cause, ConnectionResetError):
            return "it reset the connection"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "it did not take the connection in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "it could not be connected to"
    if isinstance(error, _NO_ANSWER):
        return "it closed the connection or answered with something that is no HTTP"
    return f"the connection failed ({type(error).__name__})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What lies behind an error, without aiohttp's own, which only look like those of TLS."""
    cause: BaseException | None = error
    while cause is not None:
        if not isinstance(cause, aiohttp.ClientError):
            yield cause
        cause = cause.__cause__ or cause.__context__
