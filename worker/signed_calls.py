"""The calls that SQS gets for every message, by one request that the SDK only sends.

Received, renewed and deleted: at one message a receive these calls are most of what a job costs the
I/O process, and a call through the SDK takes seven times the request itself (docs/benchmarks.md).
SQS speaks JSON, so that what the SDK sends is what it was given, and what it gives is what it
received. The first call of each kind to each queue is the SDK's, and shows where it goes and with
which headers; where the body was not the plain parameters, it stays with the SDK. After any answer
but 200, or none, the SDK is asked as if nothing had been before, and what it says counts.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson
from botocore import xform_name
from botocore.exceptions import BotoCoreError

from worker.logs import get_logger
from worker.sdk_ways import Way, Ways
from worker.sdk_wire import REFUSALS, Place, Wire, metadata

if TYPE_CHECKING:
    import aiohttp
    from types_aiobotocore_sqs import SQSClient

OPERATIONS: Final = frozenset(
    {"ReceiveMessage", "ChangeMessageVisibilityBatch", "DeleteMessageBatch"}
)

QUEUES_KEPT: Final = 64
"""Queues of which something is known; a worker has a handful."""

_HEADERS: Final = ("content-type", "x-amz-target", "x-amzn-query-mode")
"""Headers that make a call of a request; those that are the SDK's own affair are not repeated."""

_JSON: Final = "application/x-amz-json-1."

_THROTTLED: Final = b"Throttl"
"""In the type of an error that SQS answers with status 400 or 403 to one call too many."""

log = get_logger()


class SignedCalls:
    """Makes calls as the SDK does, and fails as it does."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._ways: Ways[tuple[str, str]] = Ways()
        for operation in OPERATIONS:
            wire.watch(operation)

    async def ask(self, operation: str, parameters: Mapping[str, Any]) -> Any:
        """Make one call ("ReceiveMessage").

        Raises
        ------
        ClientError, BotoCoreError
            SQS refused or did not answer, after the SDK's own retries.
        """
        if operation not in OPERATIONS:
            return await plain_ask(self._wire.client, operation, parameters)
        key = operation, parameters["QueueUrl"]
        way = self._ways.get(key)
        refusal = ""
        if way and way.is_open:
            try:
                answer = await self._wire.send(
                    "POST", way.place, headers=way.headers, body=orjson.dumps(parameters)
                )
                body = await answer.read()
                answer.release()
                if answer.status == HTTPStatus.OK:
                    return _reply(answer, body)
                if answer.status in REFUSALS and _THROTTLED not in body:
                    refusal = f"status {answer.status}"
            except ValueError:
                refusal = "no JSON"
            except BotoCoreError:
                pass  # mostly a kept connection that was just closed; the SDK's attempt will tell
        self._wire.forget()
        reply = await plain_ask(self._wire.client, operation, parameters)
        self._learn(key, way, refusal, parameters)
        return reply

    def _learn(
        self, key: tuple[str, str], known: Way | None, refusal: str, parameters: Mapping[str, Any]
    ) -> None:
        """Keep what the SDK has just shown: how it asks, and that only it is answered."""
        if self._ways.learn(
            key,
            known,
            lambda: self._shown(parameters),
            is_refused=bool(refusal),
            most=QUEUES_KEPT * len(OPERATIONS),
        ):
            log.info("signed_call_refused", operation=key[0], queue=key[1], reason=refusal)

    def _shown(self, parameters: Mapping[str, Any]) -> Way | None:
        """How the SDK has just asked; None if a request made here would be another."""
        request = self._wire.sent
        if request is None or (region := self._wire.region_of(request)) is None:
            return None
        given = {name.lower(): _text(value) for name, value in request.headers.items()}
        headers = {name: given[name] for name in _HEADERS if name in given}
        place = Place(request.url, region)
        is_plain = (
            headers.get("content-type", "").startswith(_JSON)
            and place.path == "/"
            and "?" not in request.url
            and orjson.loads(request.body) == parameters
        )
        return Way(place, headers) if is_plain else None


async def plain_ask(sqs: SQSClient, operation: str, parameters: Mapping[str, Any]) -> Any:
    """Make a call through the SDK."""
    return await getattr(sqs, xform_name(operation))(**parameters)


def _reply(answer: aiohttp.ClientResponse, body: bytes) -> dict[str, Any]:
    """Read a reply as the SDK does: without members that are null, and blobs as bytes.

    Raises
    ------
    ValueError
        It is no JSON object.
    """
    reply = _object(orjson.loads(body))
    if "Messages" in reply:
        reply["Messages"] = [_message(message) for message in reply["Messages"]]
    reply["ResponseMetadata"] = metadata(answer)
    return reply


def _message(raw: Any) -> dict[str, Any]:
    message = _object(raw)
    if "MessageAttributes" in message:
        attributes = {
            name: _object(value) for name, value in _object(message["MessageAttributes"]).items()
        }
        for attribute in attributes.values():
            if "BinaryValue" in attribute:
                attribute["BinaryValue"] = base64.b64decode(attribute["BinaryValue"])
        message["MessageAttributes"] = attributes
    return message


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return {name: member for name, member in value.items() if member is not None}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
