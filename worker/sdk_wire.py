"""An SDK client seen from below: the session that it sends through, and what it sends.

What is asked for with every job goes by that session's connections without the rest of the SDK,
which costs several times the request: inputs (worker/objects.py) and the calls that each message
gets (worker/signed_calls.py). Where they go and how is read off what the SDK itself has just sent.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from botocore.exceptions import HTTPClientError, NoCredentialsError
from yarl import URL

from worker import sigv4

if TYPE_CHECKING:
    from aiobotocore.session import AioSession

REFUSALS: Final = (
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
)
"""What AWS answers to a request that is addressed or signed wrongly, and will answer to the next.
Of other statuses the cause is what was asked for, or the moment."""

PLACES_KEPT: Final = 256

_sent: ContextVar[Any] = ContextVar("sent", default=None)
"""The last of the watched requests that the SDK has sent in this task."""

_SIGNED: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^,]+/\d{8}/(?P<region>[^/,]+)/(?P<service>[^/,]+)/aws4_request,"
)
"""The signature that is made here. Others stay with the SDK: those for directory buckets by keys of
a session, for several regions, for other services in AWS's place."""


@dataclass(frozen=True)
class Place:
    """Where requests go, and for which region they are signed."""

    url: str
    """The address, or what all addresses begin with."""
    region: str

    @cached_property
    def host(self) -> str:
        """The Host header: without the scheme's own port."""
        return URL(self.url, encoded=True).host_port_subcomponent or ""

    @cached_property
    def path(self) -> str:
        """The path of `url`."""
        return URL(self.url, encoded=True).raw_path


class WireSession(AIOHTTPSession):
    """The SDK's HTTP session, which can also be asked without its requests and answers.

    With all that the environment and the profile say of proxies, CA bundles, client certificates
    and time-outs; its connections serve both.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._proxies = lru_cache(maxsize=PLACES_KEPT)(self._proxy_for)

    async def ask(
        self,
        method: str,
        place: Place,
        further_path: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        stream: bool,
    ) -> aiohttp.ClientResponse:
        """Send a request once; no redirect is followed.

        Raises
        ------
        BotoCoreError
            No answer came, or not all of it.
        """
        proxy, proxy_headers = self._proxies(place)
        try:
            session = await self._get_session(proxy)  # type: ignore[attr-defined]  # no stub has it
            answer: aiohttp.ClientResponse = await session.request(
                method,
                URL(place.url + further_path, encoded=True),
                headers=headers,
                data=body or None,
                allow_redirects=False,
                proxy=proxy,
                proxy_headers=proxy_headers,
            )
            if not stream:
                await answer.read()
        except Exception as error:  # the SDK wraps whatever it is, too
            raise HTTPClientError(error=error) from error
        return answer

    def _proxy_for(self, place: Place) -> tuple[str | None, dict[str, str]]:
        proxies = self._proxy_config  # type: ignore[attr-defined]  # no stub has it
        return proxies.proxy_url_for(place.url), proxies.proxy_headers_for(place.url)


class Wire:
    """A client and its session.

    Parameters
    ----------
    session
        Has the credentials, and refreshes them.
    http
        The session that `client` sends through, with its proxies, CA bundle and time-outs.
    service
        As it stands in a signature: `s3`, `sqs`.
    user_agent
        What the service's access log shows.
    """

    def __init__(
        self,
        client: Any,
        session: AioSession,
        http: WireSession,
        *,
        service: str,
        user_agent: str,
    ) -> None:
        self.client = client
        self._session = session
        self._http = http
        self._service = service
        # What it answers is read as it is; the SDK asks for the same.
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}

    def watch(self, operation: str) -> None:
        """Note what the SDK sends for an operation, as `sent`."""
        events = self.client.meta.events
        events.register(f"before-send.{self._service}.{operation}", _note_sent)

    @property
    def sent(self) -> Any:
        """The last watched request that the SDK has sent in this task since `forget`, or None."""
        return _sent.get()

    def forget(self) -> None:
        """Forget what was sent."""
        _sent.set(None)

    def region_of(self, request: Any) -> str | None:
        """The region that a request is signed for; None if it is not signed as it would be here."""
        header = request.headers.get("Authorization", b"")
        signed = _SIGNED.match(header.decode() if isinstance(header, bytes) else header)
        return signed["region"] if signed and signed["service"] == self._service else None

    async def send(
        self,
        method: str,
        place: Place,
        *,
        further_path: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        stream: bool = False,
    ) -> aiohttp.ClientResponse:
        """Send one signed request, once.

        Parameters
        ----------
        further_path
            What follows the place's own path, percent-encoded.
        headers
            Their names in lower case.
        stream
            Leave the answer's body to be read; else it is read.

        Raises
        ------
        BotoCoreError
            There are no credentials, or no answer came.
        """
        credentials = await self._session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        signed = sigv4.signed_headers(
            await credentials.get_frozen_credentials(),
            service=self._service,
            region=place.region,
            method=method,
            host=place.host,
            path=place.path + further_path,
            at=datetime.now(UTC),
            headers=headers,
            body=body,
        )
        return await self._http.ask(
            method, place, further_path, headers=signed | self._headers, body=body, stream=stream
        )


def metadata(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """What the SDK tells beside a reply."""
    headers = answer.headers
    return {
        "HTTPStatusCode": answer.status,
        # The first is what services other than S3 call it, and local stacks in S3's place.
        "RequestId": headers.get("x-amzn-requestid") or headers.get("x-amz-request-id", ""),
        "HostId": headers.get("x-amz-id-2", ""),
    }


@asynccontextmanager
async def open_wire(
    session: AioSession, service: str, config: AioConfig, *, region: str, user_agent: str
) -> AsyncIterator[Wire]:
    """Open a client, and keep the HTTP session that it makes."""
    made: list[WireSession] = []

    class Session(WireSession):
        """The client makes it; it is kept."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    keeping = config.merge(AioConfig(http_session_cls=Session))
    name: Any = service
    async with session.create_client(name, region_name=region, config=keeping) as client:
        yield Wire(client, session, made[0], service=service, user_agent=user_agent)


def _note_sent(request: Any, **_: Any) -> None:
    _sent.set(request)
