"""Checks of what lies in AWS: credentials, clock, queues, buckets. Nothing is left behind.

A permission is tried where that can be done without touching a job: with a receipt handle that is
none, with a number of messages that is refused, with a key that nobody has. AWS asks IAM first.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError

from worker.aws import config, endpoint_url, region
from worker.findings import NO_CREDENTIALS, Finding, code_of, failed, is_denied
from worker.locations import LocationError, S3Location
from worker.metrics import queue_name
from worker.redrive_policy import RedrivePolicy

if TYPE_CHECKING:
    from worker.settings import Settings

TIMEOUT_S: Final = 5.0
MAX_CLOCK_WARN_S: Final = 30.0
MAX_CLOCK_S: Final = 300.0
"""AWS refuses signatures five minutes off (some services fifteen)."""

MIN_RECEIVES: Final = 3
"""Below this one lost worker and one hiccup of a webhook already bury a job."""

REFUSED: Final = (ClientError, BotoCoreError, OSError, TimeoutError)

_QUEUE_REGION: Final = re.compile(r"https?://(?:sqs\.)?([a-z0-9-]+)\.(?:queue\.)?amazonaws\.com")
_PROVIDERS: Final[Mapping[str, str]] = {
    "env": "the environment's AWS_ACCESS_KEY_ID",
    "shared-credentials-file": "the shared credentials file",
    "config-file": "the AWS config file",
    "container-role": "the container's role (ECS, EKS)",
    "iam-role": "the instance's role",
    "assume-role": "an assumed role",
    "assume-role-with-web-identity": "a web identity (EKS)",
    "sso": "single sign-on",
    "custom-process": "a credential process",
}


class AwsChecks:
    """Checks that share one session and one pair of clients.

    Parameters
    ----------
    clock
        This machine's time, Unix seconds.
    """

    def __init__(
        self, session: AioSession, sqs: Any, s3: Any, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._session = session
        self._sqs = sqs
        self._s3 = s3
        self._clock = clock

    @classmethod
    @asynccontextmanager
    async def open(
        cls, session: AioSession, *, clock: Callable[[], float] = time.time
    ) -> AsyncIterator[AwsChecks]:
        """Make clients that give up soon: who waits for a check is a person."""
        options = config(read_timeout_s=TIMEOUT_S, max_connections=4, attempts=2)
        async with AsyncExitStack() as stack:
            sqs, s3 = [
                await stack.enter_async_context(
                    session.create_client(name, region_name=region(), config=options)
                )
                for name in ("sqs", "s3")
            ]
            yield cls(session, sqs, s3, clock=clock)

    # --- who and when

    async def credentials(self) -> Finding:
        """Which provider the credentials come from, and whether they are there at all."""
        try:
            found = await self._session.get_credentials()
            if found is None:
                return Finding("credentials", "fail", "none found", NO_CREDENTIALS)
            frozen = await found.get_frozen_credentials()
        except REFUSED as error:
            return failed("credentials", error)
        provider = _PROVIDERS.get(found.method, found.method)
        return Finding(
            "credentials", "ok", f"from {provider}, key …{(frozen.access_key or '')[-4:]}"
        )

    async def identity(self) -> list[Finding]:
        """Whom AWS takes us for, and how far this machine's clock is off."""
        options = config(read_timeout_s=TIMEOUT_S, max_connections=1, attempts=1)
        reply: Mapping[str, Any]
        try:
            async with self._session.create_client(
                "sts", region_name=region(), config=options
            ) as sts:
                client: Any = sts
                reply = await client.get_caller_identity()
            who = Finding("identity", "ok", str(reply["Arn"]))
        except ClientError as error:
            reply = error.response
            who = failed("identity", error, permission="sts:GetCallerIdentity")
        except REFUSED as error:
            # A subnet without a way to STS is fine as long as SQS and S3 can be reached.
            return [
                failed("identity", error, state="warn"),
                Finding("clock", "skip", "not compared: STS was not reached"),
            ]
        return [who, self._clock_finding(reply)]

    def _clock_finding(self, reply: Mapping[str, Any]) -> Finding:
        date = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if not date:
            return Finding("clock", "skip", "AWS's answer has no date")
        off_s = self._clock() - parsedate_to_datetime(date).timestamp()
        detail = f"{abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} AWS"
        fix = "Set this machine's clock: run chrony or systemd-timesyncd."
        if abs(off_s) >= MAX_CLOCK_S:
            return Finding("clock", "fail", f"{detail}; AWS refuses signatures", fix)
        if abs(off_s) >= MAX_CLOCK_WARN_S:
            return Finding("clock", "warn", detail, fix)
        return Finding("clock", "ok", detail if abs(off_s) >= 2 else "agrees with AWS")

    # --- queues

    async def queue(self, url: str) -> list[Finding]:
        """The queue, the permissions on it, its RedrivePolicy and its dead-letter queue."""
        name = f"queue {queue_name(url)}"
        try:
            reply = await self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        except REFUSED as error:
            return [
                failed(
                    name,
                    error,
                    permission=f"sqs:GetQueueAttributes on {queue_name(url)}",
                    missing=self._missing_queue(url),
                )
            ]
        attributes = reply["Attributes"]
        waiting = attributes.get("ApproximateNumberOfMessages", "?")
        found = [Finding(name, "ok", f"reached, about {waiting} messages waiting")]
        found.append(await self._permissions(url))
        policy = RedrivePolicy.of(attributes)
        if policy is None:
            fix = "Give the queue a RedrivePolicy, or start with `run --allow-no-dlq`."
            return [*found, Finding(f"{name} redrive", "fail", "no RedrivePolicy", fix)]
        receives = policy.max_receive_count
        if receives < MIN_RECEIVES:
            fix = f"Set maxReceiveCount to {MIN_RECEIVES} or more."
            found.append(Finding(f"{name} redrive", "warn", f"only {receives} tries", fix))
        else:
            found.append(Finding(f"{name} redrive", "ok", f"{receives} tries"))
        found.append(await self._dead_letter_queue(policy, url, attributes))
        return found

    def _missing_queue(self, url: str) -> str:
        in_url = _QUEUE_REGION.match(url)
        if in_url and in_url[1] != region():
            return f"The queue is in {in_url[1]} and AWS_REGION says {region()}: set it."
        return f"Check the name in WORKER_QUEUE_URL and the account; the region is {region()}."

    async def _permissions(self, url: str) -> Finding:
        """Try what the worker does all day, in ways that SQS refuses after it has asked IAM."""
        name = f"queue {queue_name(url)} permissions"
        tries: dict[str, Callable[[], Any]] = {
            "sqs:ReceiveMessage": lambda: self._sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=0, WaitTimeSeconds=0, VisibilityTimeout=0
            ),
            "sqs:DeleteMessage": lambda: self._sqs.delete_message(
                QueueUrl=url, ReceiptHandle="check"
            ),
            "sqs:ChangeMessageVisibility": lambda: self._sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle="check", VisibilityTimeout=0
            ),
        }
        denied = []
        for permission, attempt in tries.items():
            try:
                await attempt()
            except REFUSED as error:
                if is_denied(error):
                    denied.append(permission)
        if denied:
            wanted = ", ".join(denied)
            fix = f"Give the worker's role {wanted} on {queue_name(url)}."
            return Finding(name, "fail", f"denied: {wanted}", fix)
        return Finding(name, "ok", "receive, delete and change visibility are allowed")

    async def _dead_letter_queue(
        self, policy: RedrivePolicy, source_url: str, source: Mapping[str, str]
    ) -> Finding:
        dlq = policy.dead_letter_queue
        name = f"dead-letter queue {dlq}"
        try:
            reply = await self._sqs.get_queue_attributes(
                QueueUrl=await policy.dead_letter_url(self._sqs), AttributeNames=["All"]
            )
        except REFUSED as error:
            return failed(
                name,
                error,
                permission=f"sqs:GetQueueUrl, sqs:GetQueueAttributes and sqs:SendMessage on {dlq}",
                missing="The RedrivePolicy names a queue that is not there: create it.",
            )
        if dlq.endswith(".fifo") != queue_name(source_url).endswith(".fifo"):
            return Finding(name, "fail", "one of the two is FIFO", "Make both FIFO, or neither.")
        attributes = reply["Attributes"]
        retention_s = int(attributes.get("MessageRetentionPeriod", 0))
        if retention_s <= int(source.get("MessageRetentionPeriod", 0)):
            return Finding(
                name,
                "warn",
                f"keeps messages {retention_s // 86400} days, no longer than its source, and a "
                "message that SQS moves keeps its age",
                "Set MessageRetentionPeriod to 1209600 (14 days).",
            )
        buried = int(attributes.get("ApproximateNumberOfMessages", 0))
        if buried:
            return Finding(name, "warn", f"holds {buried}", "`analysis-worker dlq list` says why.")
        return Finding(name, "ok", "reached, and empty")

    async def result_queue(self, url: str) -> Finding:
        """The queue that results go to."""
        name = f"results queue {queue_name(url)}"
        try:
            await self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        except REFUSED as error:
            return failed(
                name,
                error,
                permission=f"sqs:GetQueueAttributes and sqs:SendMessage on {queue_name(url)}",
                missing="Check WORKER_RESULT_QUEUE_URL.",
            )
        return Finding(name, "ok", "reached")

    # --- buckets

    async def buckets(self, settings: Settings) -> list[Finding]:
        """Every bucket that the settings name."""
        found = []
        folders: dict[tuple[str, str], str] = {}
        for bucket in (settings.default_bucket, *settings.allowed_buckets):
            if bucket:
                folders[bucket, ""] = f"bucket {bucket}"
        if settings.reference_prefix:
            try:
                place = reference_folder(settings)
            except LocationError as error:
                fix = "Write s3://bucket/prefix/, or set WORKER_DEFAULT_BUCKET too."
                found.append(Finding("reference prefix", "fail", str(error), fix))
            else:
                folders[place] = f"reference prefix s3://{place[0]}/{place[1]}"
        found += [await self._readable(name, *place) for place, name in folders.items()]
        if settings.results_bucket:
            found.append(await self._writable(settings.results_bucket, settings.results_prefix))
        return found

    async def _readable(self, name: str, bucket: str, prefix: str) -> Finding:
        """Look for a key that nobody has: 404 shows that reading and listing are allowed."""
        key = f"{prefix}.check-{uuid.uuid4().hex}"
        permission = f"s3:GetObject on {bucket}/{prefix}* and s3:ListBucket on {bucket}"
        missing = "Check the name; the bucket is not there, or of another account."
        try:
            await self._s3.head_bucket(Bucket=bucket)
            await self._s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.operation_name != "HeadObject" or code_of(error) != "404":
                return failed(name, error, permission=permission, missing=missing)
        except REFUSED as error:
            return failed(name, error)
        if prefix:
            try:
                reply = await self._s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
            except REFUSED as error:
                return failed(name, error, permission=permission)
            if not reply.get("KeyCount"):
                fix = "Check WORKER_REFERENCE_PREFIX: it is a folder of {video_id} folders."
                return Finding(name, "warn", "nothing lies there", fix)
        return Finding(name, "ok", "may be read")

    async def _writable(self, bucket: str, prefix: str) -> Finding:
        """Write, write again on condition, and remove: the way that results are kept."""
        name = f"results s3://{bucket}/{prefix}"
        key = f"{prefix}check/{uuid.uuid4().hex}.json"
        permission = f"s3:PutObject, s3:GetObject and s3:DeleteObject on {bucket}/{prefix}*"
        try:
            await self._s3.put_object(Bucket=bucket, Key=key, Body=b"{}", IfNoneMatch="*")
        except REFUSED as error:
            return failed(name, error, permission=permission, missing="Create the bucket.")
        try:
            await self._s3.put_object(Bucket=bucket, Key=key, Body=b"{}", IfNoneMatch="*")
        except ClientError as error:
            conditional = error.response["ResponseMetadata"]["HTTPStatusCode"] == 412
        else:
            conditional = False
        try:
            await self._s3.delete_object(Bucket=bucket, Key=key)
        except REFUSED as error:
            return failed(name, error, permission=permission)
        if not conditional:
            fix = "Use a store with If-None-Match; else one job may be delivered with two results."
            return Finding(name, "fail", "conditional writes are ignored", fix)
        return Finding(name, "ok", "may be written, on condition too, and removed")


def reference_folder(settings: Settings) -> tuple[str, str]:
    """Bucket and prefix of WORKER_REFERENCE_PREFIX; raises LocationError."""
    text = settings.reference_prefix or ""
    place = S3Location.parse(
        text.rstrip("/") + "/x", default_bucket=settings.default_bucket, endpoint_url=endpoint_url()
    )
    return place.bucket, place.key.removesuffix("x")
