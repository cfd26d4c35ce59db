"""Where the keys come from, and how they change while the worker runs."""

from __future__ import annotations

import asyncio
import base64
import logging
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from aiobotocore.client import AioBaseClient
from aiobotocore.session import get_session
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

import worker.secrets
from tests.worker.waiting import until
from worker.secrets import SecretReference, WebhookKeys
from worker.settings import Settings, SettingsError
from worker.webhook import WebhookSender


def key(letter: str) -> str:
    return "whsec_" + base64.b64encode(letter.encode() * 32).decode()


def settings(secret: str | None) -> Settings:
    return Settings(queue_url="https://sqs.test/q", webhook_secret=secret, _env_file=None)


async def load(secret: str | None) -> WebhookKeys:
    keys = await WebhookKeys.load(settings(secret), get_session())
    assert keys is not None
    return keys


def signs_with(keys: WebhookKeys, letter: str) -> bool:
    headers = dict(keys.sign("evt_1", datetime.now(UTC), b"{}"))
    try:
        Webhook(key(letter)).verify(b"{}", headers)
    except WebhookVerificationError:
        return False
    return True


@pytest.fixture
def secrets_manager(moto_endpoint: str) -> Any:
    return boto3.client("secretsmanager")


async def test_without_a_secret_there_are_no_keys() -> None:
    assert await WebhookKeys.load(settings(None), get_session()) is None


async def test_keys_stand_in_the_setting_itself() -> None:
    keys = await load(f"{key('a')} {key('b')}")
    assert keys.count == 2
    assert signs_with(keys, "a")
    assert signs_with(keys, "b")
    assert not signs_with(keys, "c")
    assert not keys.is_refreshed
    await asyncio.wait_for(keys.refresh_regularly(), 1)


async def test_a_bad_setting_is_a_settings_error_that_does_not_show_it() -> None:
    with pytest.raises(SettingsError, match="WORKER_WEBHOOK_SECRET: key 1") as raised:
        await load("hunter2")
    assert "hunter2" not in str(raised.value)


async def test_a_secret_in_secrets_manager_is_read_by_its_arn(secrets_manager: Any) -> None:
    arn = secrets_manager.create_secret(Name="webhook", SecretString=key("a"))["ARN"]
    keys = await load(arn)
    assert keys.count == 1
    assert signs_with(keys, "a")
    assert keys.is_refreshed


async def test_a_secret_that_does_not_answer_is_not_waited_for(
    moto_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    monkeypatch.setattr(worker.secrets, "READ_TIMEOUT_S", 0.05)
    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:webhook"
        with pytest.raises(SettingsError, match="TimeoutError"):
            await asyncio.wait_for(load(arn), 10)


async def test_a_parameter_in_the_parameter_store_is_read_by_its_arn(moto_endpoint: str) -> None:
    ssm = boto3.client("ssm")
    ssm.put_parameter(Name="/worker/webhook", Value=key("p"), Type="SecureString")
    arn = ssm.get_parameter(Name="/worker/webhook")["Parameter"]["ARN"]
    assert signs_with(await load(arn), "p")


async def test_a_parameter_is_asked_for_by_its_arn_with_a_slash_or_without(
    moto_endpoint: str,
) -> None:
    for name in ("webhook", "/worker/webhook"):
        boto3.client("ssm").put_parameter(Name=name, Value=key("p"), Type="SecureString")
        arn = boto3.client("ssm").get_parameter(Name=name)["Parameter"]["ARN"]
        reference = SecretReference.parse(arn)
        assert reference is not None
        assert reference.name == arn
        assert signs_with(await load(arn), "p")


@pytest.mark.parametrize("body", ["<html>a proxy</html>", "{}", '{"Parameter": {}}', "[]"])
@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:ssm:us-east-1:123456789012:parameter/worker/webhook",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:webhook",
    ],
)
async def test_an_answer_that_is_none_is_a_settings_error(
    moto_endpoint: str, monkeypatch: pytest.MonkeyPatch, open_consumer: Any, body: str, arn: str
) -> None:
    async def garbled(_: web.Request) -> web.Response:
        return web.Response(text=body)

    proxy = await open_consumer(handler=garbled)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url.removesuffix("/hook"))
    with pytest.raises(SettingsError, match="cannot be used"):
        await load(arn)


@pytest.mark.parametrize(
    ("secret", "suffix"),
    [
        ('{{"key": "{0}"}}', ""),
        ('{{"key": "{0}"}}', ":key::"),
        ('{{"key": "{0}", "db": "hunter2"}}', ":key::"),
    ],
)
async def test_a_field_of_a_json_secret_is_read(
    secret: str, suffix: str, secrets_manager: Any
) -> None:
    arn = secrets_manager.create_secret(Name="s", SecretString=secret.format(key("a")))["ARN"]
    assert signs_with(await load(arn + suffix), "a")


@pytest.mark.parametrize(
    ("secret", "suffix", "complaint"),
    [
        ('{"a": "hunter2", "b": "hunter2"}', "", "2 fields"),
        ('{"a": "hunter2"}', ":b::", "no text in its field b"),
        ('{"a": {"hunter2": 1}}', "", "no text in its field a"),
        ("hunter2", ":b::", "no JSON object"),
        ('{"hunter2', "", "is none"),
        ("hunter2", "", "does not begin with whsec_"),
    ],
)
async def test_a_secret_of_the_wrong_form_is_named_and_not_shown(
    secret: str, suffix: str, complaint: str, secrets_manager: Any
) -> None:
    arn = secrets_manager.create_secret(Name="s", SecretString=secret)["ARN"]
    with pytest.raises(SettingsError, match=complaint) as raised:
        await load(arn + suffix)
    assert "hunter2" not in str(raised.value)


async def test_a_binary_secret_is_refused(secrets_manager: Any) -> None:
    arn = secrets_manager.create_secret(Name="s", SecretBinary=b"\0\1")["ARN"]
    with pytest.raises(SettingsError, match="binary"):
        await load(arn)


async def test_a_secret_that_is_not_there_is_a_settings_error(moto_endpoint: str) -> None:
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:gone-AbCdEf"
    with pytest.raises(SettingsError, match="ResourceNotFoundException"):
        await load(arn)


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:s3:::bucket/key",
        "arn:aws:secretsmanager:us-east-1:123456789012",
        "arn:aws:ssm:us-east-1:123456789012:document/x",
        "arn:",
    ],
)
def test_an_arn_of_something_else_is_refused(arn: str) -> None:
    with pytest.raises(SettingsError, match="names neither"):
        SecretReference.parse(arn)


def test_a_reference_keeps_the_region_of_its_arn() -> None:
    arn = "arn:aws:ssm:ap-northeast-2:123456789012:parameter/a/b"
    assert SecretReference.parse(arn) == SecretReference("ssm", "ap-northeast-2", arn)


async def test_after_a_rotation_events_are_signed_by_both_versions(secrets_manager: Any) -> None:
    arn = secrets_manager.create_secret(Name="webhook", SecretString=key("a"))["ARN"]
    keys = await load(arn)
    secrets_manager.put_secret_value(SecretId=arn, SecretString=key("b"))
    await keys.refresh()
    assert signs_with(keys, "b")
    assert signs_with(keys, "a")
    secrets_manager.put_secret_value(SecretId=arn, SecretString=key("c"))
    await keys.refresh()
    assert signs_with(keys, "c")
    assert signs_with(keys, "b")
    assert not signs_with(keys, "a")


async def test_a_worker_started_after_a_rotation_signs_by_both_versions(
    secrets_manager: Any,
) -> None:
    arn = secrets_manager.create_secret(Name="webhook", SecretString=key("a"))["ARN"]
    secrets_manager.put_secret_value(SecretId=arn, SecretString=key("b"))
    keys = await load(arn)
    assert signs_with(keys, "a")
    assert signs_with(keys, "b")


async def test_a_secret_that_holds_both_keys_needs_no_earlier_version(
    secrets_manager: Any,
) -> None:
    arn = secrets_manager.create_secret(Name="webhook", SecretString=key("z"))["ARN"]
    secrets_manager.put_secret_value(SecretId=arn, SecretString=f"{key('a')} {key('b')}")
    keys = await load(arn)
    assert keys.count == 2
    assert not signs_with(keys, "z")


async def test_an_earlier_version_of_no_use_is_passed_over(secrets_manager: Any) -> None:
    arn = secrets_manager.create_secret(Name="webhook", SecretString="to be filled in")["ARN"]
    secrets_manager.put_secret_value(SecretId=arn, SecretString=key("a"))
    assert (await load(arn)).count == 1


async def test_a_refresh_that_fails_keeps_the_keys_and_says_so_without_showing_them(
    secrets_manager: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = secrets_manager.create_secret(Name="webhook", SecretString=key("a"))["ARN"]
    keys = await load(arn)
    secrets_manager.put_secret_value(SecretId=arn, SecretString="hunter2")
    with caplog.at_level(logging.DEBUG, logger="worker"):
        await keys.refresh()
    assert signs_with(keys, "a")
    said = caplog.text + capsys.readouterr().out
    assert "webhook_keys_not_refreshed" in said
    assert "hunter2" not in said
    secrets_manager.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    await keys.refresh()
    assert signs_with(keys, "a")


@pytest.mark.parametrize("stage", [None, "AWSPREVIOUS"])
async def test_a_garbled_answer_keeps_both_keys_of_a_rotation(
    secrets_manager: Any, monkeypatch: pytest.MonkeyPatch, stage: str | None
) -> None:
    arn = secrets_manager.create_secret(Name="webhook", SecretString=key("a"))["ARN"]
    secrets_manager.put_secret_value(SecretId=arn, SecretString=key("b"))
    keys = await load(arn)
    send: Any = AioBaseClient._make_api_call  # type: ignore[attr-defined]

    async def garbled(client: Any, operation: str, fields: Any) -> Any:
        if fields.get("VersionStage") == stage:
            return {"ResponseMetadata": {"HTTPStatusCode": 200}}
        return await send(client, operation, fields)

    monkeypatch.setattr(AioBaseClient, "_make_api_call", garbled)
    await keys.refresh()
    assert signs_with(keys, "a")
    assert signs_with(keys, "b")


async def test_a_running_sender_goes_on_reading_its_keys_after_an_answer_that_nobody_foresaw(
    secrets_manager: Any, attempt_metrics: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.secrets, "REFRESH_INTERVAL_S", 0.02)
    arn = secrets_manager.create_secret(Name="webhook", SecretString=key("a"))["ARN"]
    keys = await load(arn)
    read, failed = worker.secrets._read, asyncio.Event()

    async def broken_once(*arguments: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise KeyError("Parameter")
        return await read(*arguments)

    monkeypatch.setattr(worker.secrets, "_read", broken_once)
    async with WebhookSender(settings(arn), keys, attempt_metrics):
        secrets_manager.put_secret_value(SecretId=arn, SecretString=key("b"))
        await until(lambda: failed.is_set() and signs_with(keys, "b"))


async def test_a_running_sender_takes_up_a_rotated_key_by_itself(
    secrets_manager: Any,
    open_consumer: Any,
    attempt_metrics: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker.secrets, "REFRESH_INTERVAL_S", 0.05)
    arn = secrets_manager.create_secret(Name="webhook", SecretString=key("a"))["ARN"]
    keys = await load(arn)
    async with WebhookSender(settings(arn), keys, attempt_metrics):
        secrets_manager.put_secret_value(SecretId=arn, SecretString=key("b"))
        async with asyncio.timeout(10):
            while not signs_with(keys, "b"):  # noqa: ASYNC110  AWS's state
                await asyncio.sleep(0.02)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "webhook-keys"]


async def test_refused_signatures_cause_no_stream_of_calls(
    secrets_manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = secrets_manager.create_secret(Name="webhook", SecretString=key("a"))["ARN"]
    keys = await load(arn)
    reads = 0
    real = worker.secrets._read

    async def counted(*arguments: Any) -> Any:
        nonlocal reads
        reads += 1
        return await real(*arguments)

    monkeypatch.setattr(worker.secrets, "_read", counted)
    await keys.refresh_if_stale()
    assert reads == 0, "they have just been read"
    monkeypatch.setattr(worker.secrets, "STALE_AFTER_S", 0.0)
    await keys.refresh_if_stale()
    assert reads == 1
    monkeypatch.setattr(worker.secrets, "STALE_AFTER_S", 60.0)
    await asyncio.gather(*(keys.refresh_if_stale() for _ in range(10)))
    assert reads == 1


async def test_keys_show_themselves_nowhere(moto_endpoint: str) -> None:
    keys = await load(key("a"))
    assert key("a")[6:] not in repr(keys) + str(vars(keys)) + repr(settings(key("a")))
