"""An AWS account in this process that enforces IAM: what the policies name, and their neighbours.

Names are those of infra/modules/iam/tests/iam.tftest.hcl, whose policies are tried here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import enable_iam_authentication
from moto.iam.access_control import IAMPolicy, IAMRequestBase, PermissionResult

REGION: Final = "eu-west-1"
ACCOUNT_ID = "123456789012"

QUEUES = {
    "work_queue": "analysis-jobs",
    "high_queue": "analysis-jobs-high",
    "dead_letter_queue": "analysis-jobs-dlq",
    "result_queue": "analysis-jobs-results",
    "other_queue": "payroll",
}
OBJECTS = {
    "input": ("analysis-uploads", "recordings/take.flac"),
    "reference": ("analysis-references", "D7/textgrid.TextGrid"),
    "other_prefix": ("analysis-uploads", "private/take.flac"),
    "results/": ("analysis-results", "results/job.json"),
    "results/undelivered/": ("analysis-results", "results/undelivered/job.json"),
    "results/delivered/": ("analysis-results", "results/delivered/job.json"),
    "results/check/": ("analysis-results", "results/check/job.json"),
    "results/sweeping/": ("analysis-results", "results/sweeping/job.json"),
    "results/cache/": ("analysis-results", "results/cache/0.json"),
    "beside_results": ("analysis-results", "results-of-others/job.json"),
    "others_object": ("payroll", "salaries.csv"),
}
BUCKETS = {
    "input_bucket": "analysis-uploads",
    "reference_bucket": "analysis-references",
    "results_bucket": "analysis-results",
    "other_bucket": "payroll",
}

# What moto gives no ARN to is judged by the same policy engine, without a call.
_SECRETS = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret"
ARNS = {
    "webhook_secret": f"{_SECRETS}:analysis-webhook-AbCdEf",
    "other_secret": f"{_SECRETS}:database-AbCdEf",
    "own_task": f"arn:aws:ecs:{REGION}:{ACCOUNT_ID}:task/analysis/0123456789abcdef",
    "other_task": f"arn:aws:ecs:{REGION}:{ACCOUNT_ID}:task/payroll/0123456789abcdef",
    "log_group": f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:/analysis/worker:*",
    "other_log_group": f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:/payroll:*",
    "repository": f"arn:aws:ecr:{REGION}:{ACCOUNT_ID}:repository/analysis",
    "other_repository": f"arn:aws:ecr:{REGION}:{ACCOUNT_ID}:repository/payroll",
    "*": "*",
}

# AWS authorises a call by an action that need not have the operation's name (Service
# Authorization Reference, "Actions defined by Amazon SQS"). Moto does that for S3 and not for SQS.
AUTHORISED_AS = {
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "s3:HeadObject": "s3:GetObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
}


def action_of(service: str, operation: str) -> str:
    """The IAM action that a call needs."""
    wanted = f"{service}:{operation}"
    return AUTHORISED_AS.get(wanted, wanted)


class Caller:
    """Somebody with one policy."""

    def __init__(self, policy: str, key_id: str, secret: str) -> None:
        self._policy = policy
        options: dict[str, Any] = {
            "region_name": REGION,
            "aws_access_key_id": key_id,
            "aws_secret_access_key": secret,
            "config": Config(retries={"total_max_attempts": 1}),
        }
        self._clients = {name: boto3.client(name, **options) for name in ("sqs", "s3", "iam")}

    def is_allowed(self, service: str, operation: str, target: str) -> bool:
        """Make the call where moto knows the resource, else ask its policy engine."""
        if (arn := _arn_unknown_to_moto(service, operation, target)) is not None:
            engine = IAMPolicy(self._policy)
            verdict = engine.is_action_permitted(action_of(service, operation), arn)
            return verdict is PermissionResult.PERMITTED
        try:
            _CALLS[service](self._clients[service], operation, target)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return bool(status != 403)  # 404 and the like: allowed, and then something else
        return True


def _arn_unknown_to_moto(service: str, operation: str, target: str) -> str | None:
    if (service, operation) == ("sqs", "GetQueueUrl"):  # asked for by name, before there is a URL
        return f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{QUEUES[target]}"
    return None if service in _CALLS else ARNS[target]


def _sqs(client: Any, operation: str, target: str) -> None:
    url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT_ID}/{QUEUES[target]}"
    entry = {"Id": "1", "ReceiptHandle": "handle"}
    calls: dict[str, dict[str, Any]] = {
        "ReceiveMessage": {"QueueUrl": url, "WaitTimeSeconds": 0},
        "DeleteMessage": {"QueueUrl": url, "ReceiptHandle": "handle"},
        "DeleteMessageBatch": {"QueueUrl": url, "Entries": [entry]},
        "ChangeMessageVisibility": {
            "QueueUrl": url,
            "ReceiptHandle": "handle",
            "VisibilityTimeout": 60,
        },
        "ChangeMessageVisibilityBatch": {
            "QueueUrl": url,
            "Entries": [{**entry, "VisibilityTimeout": 60}],
        },
        "GetQueueAttributes": {"QueueUrl": url, "AttributeNames": ["All"]},
        "GetQueueUrl": {"QueueName": QUEUES[target]},
        "SendMessage": {"QueueUrl": url, "MessageBody": "{}"},
        "SendMessageBatch": {"QueueUrl": url, "Entries": [{"Id": "1", "MessageBody": "{}"}]},
        "PurgeQueue": {"QueueUrl": url},
        "DeleteQueue": {"QueueUrl": url},
        "SetQueueAttributes": {"QueueUrl": url, "Attributes": {"VisibilityTimeout": "1"}},
        "AddPermission": {
            "QueueUrl": url,
            "Label": "open",
            "AWSAccountIds": [ACCOUNT_ID],
            "Actions": ["SendMessage"],
        },
    }
    client._make_api_call(operation, calls[operation])


def _s3(client: Any, operation: str, target: str) -> None:
    bucket, key = OBJECTS.get(target) or (BUCKETS[target], "")
    calls: dict[str, dict[str, Any]] = {
        "GetObject": {"Key": key},
        "HeadObject": {"Key": key},
        "PutObject": {"Key": key, "Body": b"{}"},
        "DeleteObject": {"Key": key},
        "ListObjectsV2": {},
        "HeadBucket": {},
        "DeleteBucket": {},
        "PutBucketPolicy": {"Policy": "{}"},
        "GetBucketPolicy": {},
    }
    client._make_api_call(operation, {"Bucket": bucket, **calls[operation]})


def _iam(client: Any, operation: str, target: str) -> None:
    client._make_api_call(operation, {"UserName": target})


_CALLS = {"sqs": _sqs, "s3": _s3, "iam": _iam}


class EnforcingAccount:
    """Queues, buckets and objects; callers are added with the policy that they are tried with."""

    def __init__(self) -> None:
        self._callers: dict[str, Caller] = {}
        with moto_unguarded():
            sqs = boto3.client("sqs", region_name=REGION)
            s3 = boto3.client("s3", region_name=REGION)
            for name in QUEUES.values():
                sqs.create_queue(QueueName=name)
            for bucket in {bucket for bucket, _ in OBJECTS.values()}:
                s3.create_bucket(
                    Bucket=bucket,
                    CreateBucketConfiguration={"LocationConstraint": REGION},
                )
            for bucket, key in OBJECTS.values():
                s3.put_object(Bucket=bucket, Key=key, Body=b"{}")

    def caller(self, policy: str) -> Caller:
        """Somebody who has this policy and no other."""
        if policy not in self._callers:
            with moto_unguarded():
                iam = boto3.client("iam", region_name=REGION)
                name = f"caller-{len(self._callers)}"
                iam.create_user(UserName=name)
                iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=policy)
                key = iam.create_access_key(UserName=name)["AccessKey"]
            self._callers[policy] = Caller(policy, key["AccessKeyId"], key["SecretAccessKey"])
        return self._callers[policy]


@contextmanager
def moto_unguarded() -> Iterator[None]:
    """Set things up as nobody in particular."""
    from moto import settings

    before = settings.INITIAL_NO_AUTH_ACTION_COUNT
    settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
    try:
        yield
    finally:
        settings.INITIAL_NO_AUTH_ACTION_COUNT = before


@contextmanager
def enforcing_account() -> Iterator[EnforcingAccount]:
    """The account, for as long as the block lasts."""
    checked = IAMRequestBase.check_action_permitted

    def as_aws_names_it(request: Any, resource: str) -> None:
        request._action = AUTHORISED_AS.get(request._action, request._action)
        checked(request, resource)

    with mock_aws(), enable_iam_authentication():
        IAMRequestBase.check_action_permitted = as_aws_names_it  # type: ignore[method-assign,assignment]
        try:
            yield EnforcingAccount()
        finally:
            IAMRequestBase.check_action_permitted = checked  # type: ignore[method-assign]


def without_action(policy: str, action: str) -> str:
    """The policy with one action taken out everywhere."""
    document = json.loads(policy)
    for statement in document["Statement"]:
        statement["Action"] = [name for name in statement["Action"] if name != action] or [
            "sts:GetCallerIdentity"
        ]
    return json.dumps(document)
