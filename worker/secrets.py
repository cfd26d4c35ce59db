"""The keys that events are signed with: from the setting, Secrets Manager or the Parameter Store.

A key in AWS is read at start and every few minutes after, and at once when a consumer refuses a
signature: a rotation needs no restart. While Secrets Manager keeps the version before the current
one (`AWSPREVIOUS`), events carry a signature by each, so a consumer may change over when it likes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson
from botocore.exceptions import ClientError

from worker.logs import get_logger
from worker.settings import SettingsError
from worker.signing import KeyFormatError, SigningKey, parse_keys, signed_headers

if TYPE_CHECKING:
    from aiobotocore.session import AioSession

    from worker.settings import Settings

REFRESH_INTERVAL_S: Final = 300.0
STALE_AFTER_S: Final = 10.0
"""How old keys must be for a refused signature to have them read again: a consumer that refuses
everything must not turn into a stream of calls to AWS."""

READ_TIMEOUT_S: Final = 5.0
"""For one reading, with the SDK's own retries: a delivery may wait for it."""

SETTING: Final = "WORKER_WEBHOOK_SECRET"

_log = get_logger("worker.secrets")


class GarbledAnswer(KeyFormatError):
    """AWS, or something in its place, answered without the field that holds the secret."""


@dataclass(frozen=True)
class SecretReference:
    """Where a secret lies in AWS.

    `json_key` picks one field of a secret that is a JSON object: the form that ECS task
    definitions use, `arn:…:secret:name-AbCdEf:json-key::`.
    """

    service: Literal["secretsmanager", "ssm"]
    region: str
    name: str
    json_key: str | None = None

    @classmethod
    def parse(cls, text: str) -> SecretReference | None:
        """Read an ARN of Secrets Manager or the Parameter Store; None for any other text.

        Raises
        ------
        SettingsError
            It is an ARN of something else.
        """
        if not text.startswith("arn:"):
            return None
        parts = text.split(":")
        service = parts[2] if len(parts) >= 6 else ""
        if service == "secretsmanager" and parts[5] == "secret" and len(parts) >= 7:
            json_key = parts[7] if len(parts) > 7 and parts[7] else None
            return cls("secretsmanager", parts[3], ":".join(parts[:7]), json_key)
        if service == "ssm" and parts[5].startswith("parameter/"):
            # By its ARN, which says whether the name begins with a slash only to the service.
            return cls("ssm", parts[3], text)
        raise SettingsError(
            f"{SETTING}: the ARN names neither a secret (arn:…:secretsmanager:…:secret:…) nor a "
            "parameter (arn:…:ssm:…:parameter/…)"
        )


class WebhookKeys:
    """The keys in use; made by `load`, kept fresh by `refresh_regularly`."""

    def __init__(
        self,
        keys: tuple[SigningKey, ...],
        *,
        reference: SecretReference | None = None,
        session: AioSession | None = None,
    ) -> None:
        self._keys = keys
        self._reference = reference
        self._session = session
        self._read_at_s = time.monotonic()
        self._reading = asyncio.Lock()

    def __repr__(self) -> str:
        return f"WebhookKeys({len(self._keys)} keys)"

    @property
    def count(self) -> int:
        """How many keys sign each event."""
        return len(self._keys)

    @property
    def is_refreshed(self) -> bool:
        """Whether the keys come from AWS, and so may change."""
        return self._reference is not None

    @classmethod
    async def load(cls, settings: Settings, session: AioSession) -> WebhookKeys | None:
        """Read the keys, or None where none is set.

        Raises
        ------
        SettingsError
            The setting or the secret it names cannot be used; the text never shows a key.
        """
        if settings.webhook_secret is None:
            return None
        text = settings.webhook_secret.get_secret_value()
        reference = SecretReference.parse(text)
        if reference is None:
            try:
                return cls(parse_keys(text))
            except KeyFormatError as error:
                raise SettingsError(f"{SETTING}: {error}") from None
        try:
            keys = await _read(reference, session)
        except Exception as error:  # a garbled answer makes the SDK raise whatever it may
            raise SettingsError(
                f"{SETTING}: {reference.name} cannot be used: {_reason(error)}"
            ) from None
        return cls(keys, reference=reference, session=session)

    def sign(self, event_id: str, when: datetime, body: bytes) -> Mapping[str, str]:
        """The headers of one attempt; a signature by each key."""
        return signed_headers(self._keys, event_id, when, body)

    async def refresh(self) -> None:
        """Read the keys again; when that fails, the old ones stay and a line says so."""
        if self._reference is None or self._session is None:
            return
        self._read_at_s = time.monotonic()
        try:
            keys = await _read(self._reference, self._session)
        except Exception as error:  # whatever it is: an event may wait, and the next reading is due
            _log.warning("webhook_keys_not_refreshed", reason=_reason(error))
            return
        if keys != self._keys:
            _log.info("webhook_keys_changed", keys=len(keys))
        self._keys = keys

    async def refresh_if_stale(self) -> None:
        """Read the keys again unless that has just been done."""
        async with self._reading:
            if time.monotonic() - self._read_at_s >= STALE_AFTER_S:
                await self.refresh()

    async def refresh_regularly(self) -> None:
        """Keep the keys fresh until cancelled; returns at once where they cannot change."""
        while self.is_refreshed:
            await asyncio.sleep(REFRESH_INTERVAL_S)
            async with self._reading:
                await self.refresh()


async def _read(reference: SecretReference, session: AioSession) -> tuple[SigningKey, ...]:
    """Read the keys that a reference names, the newest first, within `READ_TIMEOUT_S`."""
    # Typed as Any: stubs for these two services would be two more packages for three calls.
    create_client: Any = session.create_client
    async with (
        asyncio.timeout(READ_TIMEOUT_S),
        create_client(reference.service, region_name=reference.region) as client,
    ):
        if reference.service == "ssm":
            answer = await client.get_parameter(Name=reference.name, WithDecryption=True)
            value = (answer.get("Parameter") or {}).get("Value")
            if not isinstance(value, str):
                raise GarbledAnswer("the answer of AWS holds no parameter")
            return parse_keys(_field(value, reference))
        answer = await client.get_secret_value(SecretId=reference.name)
        keys = parse_keys(_field(_text(answer), reference))
        if len(keys) > 1:
            return keys  # the secret itself holds both keys of a rotation
        return _with_previous(keys, await _previous(client, reference))


async def _previous(client: Any, reference: SecretReference) -> tuple[SigningKey, ...]:
    """The keys before the last rotation; none where there was none, or they are of no use."""
    try:
        answer = await client.get_secret_value(SecretId=reference.name, VersionStage="AWSPREVIOUS")
        return parse_keys(_field(_text(answer), reference))
    except GarbledAnswer:  # it says nothing of the earlier version, which may be half-way replaced
        raise
    except KeyFormatError:
        return ()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
            return ()
        raise


def _with_previous(
    keys: tuple[SigningKey, ...], previous: tuple[SigningKey, ...]
) -> tuple[SigningKey, ...]:
    return keys + tuple(key for key in previous[:1] if key not in keys)


def _text(answer: Any) -> str:
    if answer.get("SecretBinary") is not None:
        raise KeyFormatError("the secret is binary; store it as text")
    if not isinstance(answer.get("SecretString"), str):
        raise GarbledAnswer("the answer of AWS holds no secret")
    return str(answer["SecretString"])


def _field(text: str, reference: SecretReference) -> str:
    """The key's text: the whole secret, or one field of a JSON object."""
    if not text.lstrip().startswith("{"):
        if reference.json_key:
            raise KeyFormatError(f"the secret is no JSON object with a field {reference.json_key}")
        return text
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise KeyFormatError("the secret begins like a JSON object and is none") from None
    name = reference.json_key or (next(iter(fields)) if len(fields) == 1 else None)
    if name is None:
        raise KeyFormatError(
            f"the secret is a JSON object of {len(fields)} fields: name one at the end of the ARN, "
            "as in arn:…:secret:NAME:FIELD::"
        )
    value = fields.get(name)
    if not isinstance(value, str):
        raise KeyFormatError(f"the secret has no text in its field {name}")
    return value


def _reason(error: BaseException) -> str:
    """What went wrong, without a value."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown error"))
    return str(error) if isinstance(error, KeyFormatError) else type(error).__name__
