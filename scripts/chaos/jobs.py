"""The jobs of a run: short real speech, and some that can never succeed."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import soundfile

from scripts.chaos.ledger import UNREADABLE

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

ROOT: Final = Path(__file__).resolve().parent.parent.parent
SPEECH: Final = ROOT / "tests" / "fixtures" / "lantern" / "good.flac"
BUCKET: Final = "chaos-speech"
RESULTS_BUCKET: Final = "chaos-results"
RECORDINGS: Final = 20
TAKE_S: Final = 1.3
TEXT: Final = "you left the lantern"
BATCH: Final = 10
SHARE_OF_BAD: Final = 0.06


def upload(s3: S3Client) -> None:
    """Cut takes of slightly different length from one line, and put them up."""
    samples, rate = soundfile.read(SPEECH, dtype="float32")
    for bucket in (BUCKET, RESULTS_BUCKET):
        s3.create_bucket(Bucket=bucket)
    for number in range(RECORDINGS):
        data = io.BytesIO()
        take = samples[: int((TAKE_S + 0.01 * number) * rate)]
        soundfile.write(data, take, rate, format="FLAC")
        s3.put_object(Bucket=BUCKET, Key=f"take {number}.flac", Body=data.getvalue())


def bodies(count: int, webhook: str, draw: random.Random) -> Iterator[tuple[str, str]]:
    """Make (job, message body) pairs; a few of them bad in one of three ways."""
    for number in range(count):
        job = f"job-{number:05d}"
        kind = draw.random()
        if kind < SHARE_OF_BAD / 3:
            yield job, UNREADABLE + job
            continue
        missing = kind < 2 * SHARE_OF_BAD / 3
        gone = not missing and kind < SHARE_OF_BAD
        key = "missing.flac" if missing else f"take {number % RECORDINGS}.flac"
        yield (
            job,
            json.dumps(
                {
                    "job_id": job,
                    "s3_audio_url": f"s3://{BUCKET}/{key}",
                    "text": TEXT,
                    "webhook_url": f"{webhook}/{'gone' if gone else 'hook'}",
                }
            ),
        )


def send(sqs: SQSClient, queue_url: str, messages: list[tuple[str, str]]) -> None:
    """Send them, ten to a call."""
    for start in range(0, len(messages), BATCH):
        entries = [
            {"Id": str(i), "MessageBody": body}
            for i, (_, body) in enumerate(messages[start : start + BATCH])
        ]
        reply = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)  # type: ignore[arg-type]
        if failed := reply.get("Failed"):
            raise RuntimeError(f"the server refused {len(failed)} messages: {failed[0]}")
