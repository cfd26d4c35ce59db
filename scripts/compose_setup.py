"""Fill the AWS of compose.yaml: queues, buckets, speech, and a few jobs to watch.

Runs in a container of compose.yaml and needs nothing but boto3. Run it again for the same jobs
once more: their results are kept, so they are delivered without being computed again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

FIXTURES: Final = Path("/app/fixtures")
QUEUE: Final = "jobs"
SPEECH: Final = "speech"
RESULTS: Final = "results"
MAX_RECEIVES: Final = 6
WEBHOOK: Final = "http://inbox:8090/webhook"

LINE: Final = "harbor"
TAKES: Final = ("good", "monotone", "slower", "omitted", "replaced")


def make_queue(sqs: SQSClient) -> str:
    """A queue that dead-letters after MAX_RECEIVES; its URL."""
    dead = sqs.create_queue(QueueName=f"{QUEUE}-dlq")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
    policy = {
        "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
        "maxReceiveCount": MAX_RECEIVES,
    }
    made = sqs.create_queue(
        QueueName=QUEUE,
        Attributes={"RedrivePolicy": json.dumps(policy), "VisibilityTimeout": "60"},
    )
    return made["QueueUrl"]


def upload(s3: S3Client) -> None:
    """The speech, under the keys that the jobs name."""
    for bucket in (SPEECH, RESULTS):
        s3.create_bucket(Bucket=bucket)
    for path in sorted((FIXTURES / LINE).iterdir()):
        s3.put_object(Bucket=SPEECH, Key=f"{LINE}/{path.name}", Body=path.read_bytes())


def jobs() -> list[dict[str, str]]:
    """One job for each take, and one whose recording is missing."""
    common = {
        "webhook_url": WEBHOOK,
        "s3_textgrid_url": f"{LINE}/actor.TextGrid",
        "s3_pitch_url": f"{LINE}/pitch.json",
    }
    made = [
        {"job_id": f"{LINE}-{take}", "s3_audio_url": f"{LINE}/{take}.flac", **common}
        for take in TAKES
    ]
    missing = {"job_id": f"{LINE}-missing", "s3_audio_url": f"{LINE}/nobody.flac", **common}
    return [*made, missing]


def main() -> None:
    """Make everything; the endpoint and the keys are in the environment."""
    sqs: SQSClient = boto3.client("sqs")
    url = make_queue(sqs)
    upload(boto3.client("s3"))
    for job in jobs():
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(job))
    print(f"{len(jobs())} jobs are in {url}")


if __name__ == "__main__":
    main()
