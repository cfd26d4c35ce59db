from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import boto3
import pytest
import pytest_asyncio
from aiobotocore.session import AioSession, get_session
from aiohttp import web
from typer.testing import CliRunner

from tests.worker.queues import Queues, make_queues
from tests.worker.refusing_aws import RefusingAws, refusing_aws
from worker import checks
from worker.cli import app
from worker.findings import Finding

SECRET = "whsec_" + "A" * 32


@pytest.fixture(scope="module")
def shared() -> AioSession:
    """One for all tests here: to read botocore's models anew takes longer than most of them."""
    return get_session()


@pytest.fixture
def queues(moto_endpoint: str, clean_environment: pytest.MonkeyPatch) -> Queues:
    made = make_queues(boto3.client("sqs"))
    made.sqs.set_queue_attributes(
        QueueUrl=made.dead, Attributes={"MessageRetentionPeriod": "1209600"}
    )
    clean_environment.setenv("WORKER_QUEUE_URL", made.main)
    clean_environment.setenv("WORKER_WEBHOOK_SECRET", SECRET)
    return made


Look = Callable[..., Any]


@pytest.fixture
def look(shared: AioSession) -> Look:
    """Run all checks but the model's; the findings by name."""

    async def run(*, session: AioSession | None = None, clock: Any = time.time) -> Any:
        found = checks.run_checks(clock=clock, with_model=False, session=session or shared)
        return {finding.name: finding async for finding in found}

    return run


def states(found: dict[str, Finding]) -> dict[str, str]:
    return {name: finding.state for name, finding in found.items()}


@pytest_asyncio.fixture
async def fake_aws(clean_environment: pytest.MonkeyPatch) -> AsyncIterator[RefusingAws]:
    async with refusing_aws() as made:
        for name, value in {
            "AWS_ENDPOINT_URL": made.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
            "WORKER_QUEUE_URL": f"{made.url}/1/jobs",
        }.items():
            clean_environment.setenv(name, value)
        yield made


# --- all is well


async def test_a_right_setup_is_found_right(
    queues: Queues, look: Look, clean_environment: pytest.MonkeyPatch
) -> None:
    s3 = boto3.client("s3")
    for bucket in ("uploads", "results"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket="uploads", Key="films/D7/textgrid.TextGrid", Body=b"x")
    results_queue = queues.sqs.create_queue(QueueName="results")["QueueUrl"]
    for name, value in {
        "WORKER_DEFAULT_BUCKET": "uploads",
        "WORKER_REFERENCE_PREFIX": "films/",
        "WORKER_RESULTS_BUCKET": "results",
        "WORKER_RESULT_QUEUE_URL": results_queue,
    }.items():
        clean_environment.setenv(name, value)
    found = await look()
    assert states(found) == {
        "settings": "ok",
        "region": "ok",
        "credentials": "ok",
        "identity": "ok",
        "clock": "ok",
        "queue jobs": "ok",
        "queue jobs permissions": "ok",
        "queue jobs redrive": "ok",
        "dead-letter queue jobs-dlq": "ok",
        "results queue results": "ok",
        "bucket uploads": "ok",
        "reference prefix s3://uploads/films/": "ok",
        "results s3://results/results/": "ok",
        "webhook secret": "ok",
        "webhook addresses": "ok",
        "ECS agent": "skip",
    }
    assert "AWS_ACCESS_KEY_ID" in found["credentials"].detail
    assert s3.list_objects_v2(Bucket="results").get("Contents") is None, "nothing is left behind"


async def test_no_message_is_taken_or_counted_by_a_check(queues: Queues, look: Look) -> None:
    queues.sqs.send_message(QueueUrl=queues.main, MessageBody="{}")
    await look()
    (message,) = queues.sqs.receive_message(
        QueueUrl=queues.main, MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"


@pytest.mark.timeout(240)
def test_the_model_scores_the_recording_of_the_package(queues: Queues) -> None:
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stdout.splitlines() if " analysis: " in line]
    assert line.startswith("ok ")
    assert "scored" in line
    assert line.endswith(" ms")


# --- every likely mistake


async def test_wrong_settings_are_all_named_and_the_rest_is_still_checked(
    queues: Queues, look: Look, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("WORKER_WAIT_TIME_S", "21")
    clean_environment.setenv("WORKER_CONCURRENCY", "many")
    found = await look()
    assert found["settings WORKER_WAIT_TIME_S"].state == "fail"
    assert found["settings WORKER_CONCURRENCY"].state == "fail"
    assert found["queue jobs"].state == "ok"
    assert found["webhook secret"].state == "ok"


async def test_no_queue_url_is_named_and_the_rest_is_still_checked(
    moto_endpoint: str, look: Look
) -> None:
    found = await look()
    assert found["settings WORKER_QUEUE_URL"].detail.startswith("is required")
    assert found["credentials"].state == "ok"
    assert found["queues and buckets"].state == "skip"


async def test_no_credentials(
    queues: Queues, clean_environment: pytest.MonkeyPatch, look: Look
) -> None:
    clean_environment.delenv("AWS_ACCESS_KEY_ID")
    clean_environment.delenv("AWS_SECRET_ACCESS_KEY")
    found = await look(session=get_session())
    assert found["credentials"].state == "fail"
    assert "ECS task role" in str(found["credentials"].fix)
    assert found["queue jobs"].state == "fail"


async def test_a_queue_that_is_not_there(
    queues: Queues, look: Look, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("WORKER_QUEUE_URL", queues.main + "x")
    found = await look()
    assert found["queue jobsx"].state == "fail"
    assert "Check the name in WORKER_QUEUE_URL" in str(found["queue jobsx"].fix)
    assert found["webhook secret"].state == "ok", "the checks after it are done"


async def test_a_queue_of_another_region(
    moto_endpoint: str, look: Look, clean_environment: pytest.MonkeyPatch
) -> None:
    url = "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs"
    clean_environment.setenv("WORKER_QUEUE_URL", url)
    found = await look()
    assert "The queue is in eu-west-1 and AWS_REGION says us-east-1" in str(found["queue jobs"].fix)


async def test_no_redrive_policy(
    moto_endpoint: str, look: Look, clean_environment: pytest.MonkeyPatch
) -> None:
    url = boto3.client("sqs").create_queue(QueueName="bare")["QueueUrl"]
    clean_environment.setenv("WORKER_QUEUE_URL", url)
    found = await look()
    assert found["queue bare redrive"].state == "fail"
    assert "--allow-no-dlq" in str(found["queue bare redrive"].fix)


async def test_a_dead_letter_queue_that_is_not_there(queues: Queues, look: Look) -> None:
    queues.sqs.delete_queue(QueueUrl=queues.dead)
    found = await look()
    assert found["dead-letter queue jobs-dlq"].state == "fail"
    assert "create it" in str(found["dead-letter queue jobs-dlq"].fix)


async def test_a_dead_letter_queue_that_forgets_too_soon(queues: Queues, look: Look) -> None:
    queues.sqs.set_queue_attributes(
        QueueUrl=queues.dead, Attributes={"MessageRetentionPeriod": "345600"}
    )
    found = await look()
    assert found["dead-letter queue jobs-dlq"].state == "warn"
    assert "14 days" in str(found["dead-letter queue jobs-dlq"].fix)


async def test_dead_letters_are_mentioned(queues: Queues, look: Look) -> None:
    queues.bury("take-1")
    found = await look()
    assert "dlq list" in str(found["dead-letter queue jobs-dlq"].fix)


async def test_a_bucket_that_is_not_there(
    queues: Queues, look: Look, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("WORKER_DEFAULT_BUCKET", "absent")
    clean_environment.setenv("WORKER_RESULTS_BUCKET", "absent-too")
    found = await look()
    assert found["bucket absent"].state == "fail"
    assert "not there" in str(found["bucket absent"].fix)
    assert found["results s3://absent-too/results/"].state == "fail"


async def test_a_reference_prefix_with_nothing_in_it(
    queues: Queues, look: Look, clean_environment: pytest.MonkeyPatch
) -> None:
    boto3.client("s3").create_bucket(Bucket="uploads")
    clean_environment.setenv("WORKER_REFERENCE_PREFIX", "s3://uploads/fims/")
    found = await look()
    assert found["reference prefix s3://uploads/fims/"].state == "warn"
    clean_environment.setenv("WORKER_REFERENCE_PREFIX", "films/")
    assert (await look())["reference prefix"].state == "fail", "and no default bucket"


@pytest.mark.parametrize(
    "secret", ["hunter2", "whsec_short", "whsec_!!!!", "arn:aws:iam::1:role/x"]
)
async def test_a_malformed_secret_is_named_and_not_shown(
    queues: Queues, look: Look, clean_environment: pytest.MonkeyPatch, secret: str
) -> None:
    clean_environment.setenv("WORKER_WEBHOOK_SECRET", secret)
    finding = (await look())["webhook secret"]
    assert finding.state == "fail"
    assert "openssl rand -base64 32" in str(finding.fix)
    if not secret.startswith("arn:"):
        assert secret not in finding.line()


async def test_no_secret_is_a_warning(
    queues: Queues, look: Look, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.delenv("WORKER_WEBHOOK_SECRET")
    assert (await look())["webhook secret"].state == "warn"


@pytest.mark.parametrize(("off_s", "state"), [(3600, "fail"), (-3600, "fail"), (60, "warn")])
async def test_a_clock_that_is_off(queues: Queues, look: Look, off_s: int, state: str) -> None:
    finding = (await look(clock=lambda: time.time() + off_s))["clock"]
    assert finding.state == state
    assert ("ahead of" if off_s > 0 else "behind") in finding.detail
    assert "chrony" in str(finding.fix)


async def test_nothing_listens_at_the_endpoint(
    queues: Queues, look: Look, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    found = await look()
    assert found["queue jobs"].state == "fail"
    assert "AWS_ENDPOINT_URL" in str(found["queue jobs"].fix)
    assert found["clock"].state == "skip"


async def test_a_stop_longer_than_ecs_allows(
    queues: Queues, look: Look, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("WORKER_SHUTDOWN_GRACE_S", "110")
    assert (await look())["drain"].state == "warn"


# --- what only AWS itself refuses


@pytest.mark.parametrize(
    ("operation", "permission"),
    [
        ("ReceiveMessage", "sqs:ReceiveMessage"),
        ("DeleteMessage", "sqs:DeleteMessage"),
        ("ChangeMessageVisibility", "sqs:ChangeMessageVisibility"),
    ],
)
async def test_a_missing_permission_is_named(
    fake_aws: RefusingAws, look: Look, operation: str, permission: str
) -> None:
    fake_aws.refusals[operation] = (403, "AccessDeniedException")
    finding = (await look())["queue jobs permissions"]
    assert finding.state == "fail"
    assert f"Give the worker's role {permission} on jobs" in str(finding.fix)


async def test_no_permission_to_look_at_the_queue(fake_aws: RefusingAws, look: Look) -> None:
    fake_aws.refusals["GetQueueAttributes"] = (403, "AccessDeniedException")
    assert "sqs:GetQueueAttributes on jobs" in str((await look())["queue jobs"].fix)


async def test_403_on_head_object_names_both_permissions(
    fake_aws: RefusingAws, look: Look, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("WORKER_DEFAULT_BUCKET", "uploads")
    fake_aws.refusals["HEAD"] = (403, "AccessDenied")
    fix = str((await look())["bucket uploads"].fix)
    assert "s3:GetObject" in fix
    assert "s3:ListBucket" in fix


async def test_a_store_that_ignores_conditions(
    fake_aws: RefusingAws, look: Look, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("WORKER_RESULTS_BUCKET", "results")
    finding = (await look())["results s3://results/results/"]
    assert finding.state == "fail"
    assert "conditional writes are ignored" in finding.detail


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("ExpiredToken", "expired"),
        ("InvalidClientTokenId", "unknown to AWS"),
        ("SignatureDoesNotMatch", "secret access key"),
        ("RequestExpired", "clock"),
    ],
)
async def test_credentials_that_aws_refuses(
    fake_aws: RefusingAws, look: Look, code: str, word: str
) -> None:
    fake_aws.refusals["GetCallerIdentity"] = (403, code)
    finding = (await look())["identity"]
    assert finding.state == "fail"
    assert word in str(finding.fix)


async def test_a_clock_is_compared_even_when_aws_refuses(fake_aws: RefusingAws, look: Look) -> None:
    fake_aws.refusals["GetCallerIdentity"] = (403, "RequestExpired")
    fake_aws.date_off_s = -3600
    assert (await look())["clock"].state == "fail"


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        ({"protection": {"ProtectionEnabled": False}}, "ok"),
        ({"failure": {"Reason": "TASK_NOT_VALID"}}, "warn"),
        ({"error": {"Code": "AccessDeniedException", "Message": "no"}}, "warn"),
    ],
)
async def test_the_ecs_agent_is_asked_where_there_is_one(
    clean_environment: pytest.MonkeyPatch, reply: object, state: str
) -> None:
    async def get(_: web.Request) -> web.Response:
        return web.json_response(reply)

    application = web.Application()
    application.router.add_get("/api/task-protection/v1/state", get)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    clean_environment.setenv("ECS_AGENT_URI", f"http://127.0.0.1:{runner.addresses[0][1]}/api")
    finding = await checks._ecs_agent()
    await runner.cleanup()
    assert finding.state == state


# --- the command


def test_the_command_prints_a_line_for_each_check_and_exits_1_on_a_failure(
    queues: Queues, clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("WORKER_QUEUE_URL", queues.main + "x")
    result = CliRunner().invoke(app, ["check", "--skip-model"])
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert all(line.startswith(("ok  ", "WARN", "FAIL", "-   ")) for line in lines)
    (failure,) = [line for line in lines if line.startswith("FAIL")]
    assert "queue jobsx" in failure
    assert " — Check the name in WORKER_QUEUE_URL" in failure


def test_the_command_speaks_json(queues: Queues) -> None:
    result = CliRunner().invoke(app, ["check", "--skip-model", "--json"])
    assert result.exit_code == 0
    findings = [json.loads(line) for line in result.stdout.splitlines()]
    assert {"name", "state", "detail", "fix"} == set(findings[0])
