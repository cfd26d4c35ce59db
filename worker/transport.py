"""One HTTP exchange with a consumer: dialled at a checked address, bounded in time and size.

httpx pools connections by the host of the URL. A URL rewritten to the checked IP address would
therefore share one TLS connection among all names on that address, and only the first name's
certificate would ever be looked at. So the URL keeps its host name, and the checked address is
dialled underneath, in the network backend.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Final, Self

import certifi
import httpcore
import httpx

from worker import __version__
from worker.netguard import NetGuard, Target

MAX_ANSWER_BYTES: Final = 64 * 1024
"""No more of an answer is read; the status is what counts."""

MAX_RETRY_AFTER_S: Final = 3600.0
"""The longest wait that a consumer may ask for; a longer one is read as this."""

CONNECT_TIMEOUT_S: Final = 4.0
"""One address of a host; within the time of the whole exchange."""

MAX_ADDRESSES: Final = 3
"""Addresses of a host that are tried, so that a dead one of two zones costs no delivery."""

KEEPALIVE_S: Final = 30.0
"""Idle connections are closed after this: below the 60 s and more of load balancers, which would
otherwise close them under a request."""

USER_AGENT: Final = f"analysis-worker/{__version__}"


class ExchangeError(Exception):
    """No answer came; the text says why, in words that may be shown to the job's owner."""


@dataclass(frozen=True)
class Answer:
    """What a consumer answered."""

    status: int
    retry_after_s: float | None


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Dials a host at the addresses that the guard resolved and checked, and at no other."""

    def __init__(self, guard: NetGuard) -> None:
        self._guard = guard
        self._dialler = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check and connect; the guard's refusal passes through."""
        addresses = await self._guard.addresses(host, port)
        limit_s = CONNECT_TIMEOUT_S if timeout is None else min(timeout, CONNECT_TIMEOUT_S)
        failure: Exception | None = None
        for address in addresses[:MAX_ADDRESSES]:
            try:
                return await self._dialler.connect_tcp(
                    str(address),
                    port,
                    timeout=limit_s,
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("no address")

    async def sleep(self, seconds: float) -> None:
        """Wait; part of httpcore's interface."""
        await asyncio.sleep(seconds)


class PinnedTransport(httpx.AsyncBaseTransport):
    """An httpx transport over `PinnedBackend`: HTTP/1.1, no proxy, no retries of its own."""

    def __init__(self, guard: NetGuard, ssl_context: ssl.SSLContext, *, max_idle: int) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=None,  # the bulkhead bounds them, with a share for each consumer
            max_keepalive_connections=max_idle,
            keepalive_expiry=KEEPALIVE_S,
            http1=True,
            http2=False,  # one stalled HTTP/2 connection would stall all events to its host
            retries=0,
            network_backend=PinnedBackend(guard),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the answer's body is streamed."""
        try:
            answer = await self._pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        except _HTTPCORE_ERRORS as error:
            raise httpx.TransportError(_reason(error)) from error
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_AnswerStream(answer),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class _AnswerStream(httpx.AsyncByteStream):
    """The body of an answer as it comes, with httpcore's errors in httpx's words."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self):  # type: ignore[no-untyped-def]
        try:
            async for part in self._answer.aiter_stream():
                yield part
        except _HTTPCORE_ERRORS as error:
            raise httpx.TransportError(_reason(error)) from error

    async def aclose(self) -> None:
        await self._answer.aclose()


class Exchanger:
    """Posts bodies to consumers; one for the process, with its pool of connections.

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
        self._client = httpx.AsyncClient(
            transport=PinnedTransport(
                guard, ssl_context or default_ssl_context(), max_idle=max_idle
            ),
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113  one clock for the whole exchange, in `post`
            # A cookie that one consumer sets has no business in the next request.
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),
            headers={
                "user-agent": USER_AGENT,
                "content-type": "application/json",
                "accept": "*/*",
                # An answer is never unpacked, so a small one cannot become a large one.
                "accept-encoding": "identity",
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

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
                asyncio.timeout(limit_s),
                self._client.stream(
                    "POST", target.url, content=body, headers=dict(headers)
                ) as answer,
            ):
                size = 0
                # An answer that is cut off or never ends is no answer: the consumer may have
                # failed after its status line. A repeat does no harm, for it has the same id.
                async for part in answer.aiter_raw():
                    size += len(part)
                    if size >= MAX_ANSWER_BYTES:
                        break
                return Answer(answer.status_code, retry_after_s(answer.headers.get("retry-after")))
        except TimeoutError:
            raise ExchangeError(f"it did not answer within {limit_s:g} s") from None
        except httpx.HTTPError as error:
            raise ExchangeError(str(error) or type(error).__name__) from None


def default_ssl_context() -> ssl.SSLContext:
    """Trust the system's authorities, where an operator adds a private one, and certifi's."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(certifi.where())
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
        wait_s = float(text[:10]) if len(text) <= 10 else MAX_RETRY_AFTER_S
    else:
        try:
            when = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError):
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        wait_s = (when - (now or datetime.now(UTC))).total_seconds()
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


_HTTPCORE_ERRORS: Final = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


def _reason(error: BaseException) -> str:
    """A transport error in words, without addresses: the message may reach the job's owner."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate was refused ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or 'no reason given'})"
        if isinstance(cause, ConnectionRefusedError):
            return "it refused the connection"
        if isinstance(cause, ConnectionResetError):
            return "it reset the connection"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpcore.ConnectTimeout):
        return "it did not take the connection in time"
    if isinstance(error, httpcore.ConnectError):
        return "it could not be connected to"
    if isinstance(error, httpcore.RemoteProtocolError):
        return "it closed the connection or answered with something that is no HTTP"
    return f"the connection failed ({type(error).__name__})"
