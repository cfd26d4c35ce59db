r"""What people and schedules do with the command, one thing after another, to be recorded.

    python -m scripts.infra.record_calls --agent app/operator operator \
        python -m scripts.infra.sessions operator

Runs `analysis-worker` against the server that AWS_ENDPOINT_URL names. Its requests carry the
caller's name in their user agent (AWS_SDK_UA_APP_ID), so that what this script itself does to
prepare the scene is not taken for theirs.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Final

import boto3

REGION: Final = "eu-west-1"
QUEUE: Final = "jobs"
DEAD: Final = "jobs-dlq"
RESULT_QUEUE: Final = "jobs-results"
BUCKET: Final = "speech"
RESULTS: Final = "results-bucket"
SECRET: Final = "whsec_" + base64.b64encode(b"for this recording and no other").decode()
LETTERS: Final = 12
"""More than a batch, so that batches are seen to be batches."""


class Consumer(http.server.BaseHTTPRequestHandler):
    """Takes every event."""

    def do_POST(self) -> None:
        """Say 204."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


class Scene:
    """Queues, buckets and a consumer; and the command, run in it."""

    def __init__(self, caller: str, folder: Path) -> None:
        self.folder = folder
        os.environ.setdefault("AWS_ACCESS_KEY_ID", "recording")
        os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "recording")
        os.environ["AWS_DEFAULT_REGION"] = REGION
        self.sqs = boto3.client("sqs")
        self.s3 = boto3.client("s3")
        self.dead_url = self.sqs.create_queue(QueueName=DEAD)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.dead_url, AttributeNames=["QueueArn"])
        policy = {"deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": 6}
        self.url = self.sqs.create_queue(
            QueueName=QUEUE, Attributes={"RedrivePolicy": json.dumps(policy)}
        )["QueueUrl"]
        result_url = self.sqs.create_queue(QueueName=RESULT_QUEUE)["QueueUrl"]
        for bucket in (BUCKET, RESULTS):
            self.s3.create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
            )
        secret = boto3.client("secretsmanager").create_secret(Name="webhook", SecretString=SECRET)
        self.webhook = self._serve()
        self._environment = {
            **os.environ,
            "AWS_SDK_UA_APP_ID": caller,
            "WORKER_QUEUE_URL": self.url,
            "WORKER_DEFAULT_BUCKET": BUCKET,
            "WORKER_RESULTS_BUCKET": RESULTS,
            "WORKER_RESULT_QUEUE_URL": result_url,
            "WORKER_WEBHOOK_SECRET": secret["ARN"],
            "WORKER_WEBHOOK_ALLOW_PRIVATE": "true",
            "COLUMNS": "200",
        }

    def run(self, *arguments: str, expected: tuple[int, ...] = (0,)) -> str:
        """Run the command; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "worker", *arguments],
            env=self._environment,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        said = f"analysis-worker {' '.join(arguments)}: exit {done.returncode}"
        print(said)
        if done.returncode not in expected:
            sys.exit(f"{said}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def job(self, number: int) -> dict[str, str]:
        """One job."""
        return {
            "job_id": f"take-{number}",
            "s3_audio_url": f"s3://{BUCKET}/take-{number}.flac",
            "webhook_url": self.webhook,
            "text": "say what you see",
        }

    def bury(self, count: int, **attributes: str) -> None:
        """Put dead letters where they belong."""
        for number in range(count):
            self.sqs.send_message(
                QueueUrl=self.dead_url,
                MessageBody=json.dumps(self.job(number)),
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in attributes.items()
                },
            )

    @staticmethod
    def _serve() -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Consumer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/events"


def producer(scene: Scene) -> None:
    """Send one job, and many."""
    one, many = scene.folder / "one.json", scene.folder / "many.json"
    one.write_text(json.dumps(scene.job(0)))
    many.write_text(json.dumps([scene.job(number) for number in range(LETTERS)]))
    scene.run("enqueue", str(one))
    scene.run("enqueue", str(many))


def operator(scene: Scene) -> None:
    """Look, show, keep a copy, send back, delete, bring back."""
    reason = {"error_code": "not_found", "source_queue": QUEUE}
    scene.bury(LETTERS, **reason)
    scene.run("status", expected=(0, 1))
    scene.run("dlq", "list")
    scene.run("dlq", "show", "take-1")
    copy = scene.folder / "letters.jsonl"
    scene.run("dlq", "export", str(copy))
    scene.run("dlq", "redrive", "--limit", "11")
    scene.run("dlq", "purge", "--all", "--yes")
    scene.run("dlq", "import", str(copy))


def sweeper(scene: Scene) -> None:
    """Answer what SQS moved by itself, and deliver a result that lies undelivered."""
    scene.bury(LETTERS)
    event = {
        "type": "analysis.completed",
        "timestamp": "2026-01-01T00:00:00Z",
        "data": {
            "job_id": "take-99",
            "status": "completed",
            "progress": 100,
            "attempt": 1,
            "message": "",
            "metadata": {},
            "result": {},
        },
    }
    note = json.dumps({"webhook_url": scene.webhook, "job_id": "take-99"}).encode()
    scene.s3.put_object(Bucket=RESULTS, Key="results/take-99.json", Body=json.dumps(event).encode())
    scene.s3.put_object(Bucket=RESULTS, Key="results/undelivered/take-99.json", Body=note)
    print(scene.run("sweep", "--undelivered-older-than", "0s", expected=(0, 1)))


def worker(scene: Scene) -> None:
    """Check its surroundings, as one does in a new task."""
    print(scene.run("check", "--skip-model", expected=(0, 1)))


SESSIONS: Final = {
    "producer": producer,
    "operator": operator,
    "sweeper": sweeper,
    "worker": worker,
}


def main() -> None:
    """Play one session."""
    if len(sys.argv) != 2 or sys.argv[1] not in SESSIONS:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        SESSIONS[sys.argv[1]](Scene(sys.argv[1], Path(folder)))


if __name__ == "__main__":
    main()
