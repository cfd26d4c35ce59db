"""The switch of docs/migration.md, run as it stands there: shares, both ways at once, and back."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from worker.contract import AnalysisJob

PAGE = Path(__file__).parents[2] / "docs" / "migration.md"
IDS = [f"take-{number}" for number in range(400)]


def program() -> str:
    fences = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    (found,) = fences.findall(PAGE.read_text("utf-8"))
    return str(found)


@pytest.fixture
def switch(moto_endpoint: str) -> dict[str, Any]:
    """The names that the page's program defines."""
    names: dict[str, Any] = {}
    exec(compile(program(), str(PAGE), "exec"), names)
    return names


@pytest.fixture
def goes_to_queue(
    switch: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str | None, str | None], set[str]]:
    """Which of the jobs go to the queue under a flag and a share."""

    def under(flag: str | None, share: str | None) -> set[str]:
        for name, value in (("USE_SQS_QUEUE", flag), ("SQS_SHARE", share)):
            monkeypatch.delenv(name, raising=False)
            if value is not None:
                monkeypatch.setenv(name, value)
        return {job_id for job_id in IDS if switch["goes_to_queue"](job_id)}

    return under


Under = Callable[[str | None, str | None], set[str]]


def test_the_producer_is_about_twenty_lines() -> None:
    code = [line for line in program().splitlines() if line.strip() and '"""' not in line]
    assert len(code) <= 21


def test_without_the_flag_every_job_goes_over_http(goes_to_queue: Under) -> None:
    assert goes_to_queue(None, None) == set()
    assert goes_to_queue("false", "100") == set()
    assert goes_to_queue("", "100") == set()


def test_the_flag_alone_sends_every_job_to_the_queue(goes_to_queue: Under) -> None:
    assert goes_to_queue("true", None) == goes_to_queue("TRUE", "100") == set(IDS)


def test_the_share_is_kept_and_grows_without_moving_a_job_back(goes_to_queue: Under) -> None:
    shares = {share: goes_to_queue("true", str(share)) for share in (0, 1, 50, 80, 100)}
    assert shares[0] == set()
    assert shares[0] <= shares[1] <= shares[50] <= shares[80] <= shares[100] == set(IDS)
    # 400 draws: four standard deviations are ten points at 50 % and eight at 80 %.
    assert 0.40 < len(shares[50]) / len(IDS) < 0.60
    assert 0.72 < len(shares[80]) / len(IDS) < 0.88


def test_a_job_that_is_sent_again_goes_the_same_way(goes_to_queue: Under) -> None:
    assert goes_to_queue("true", "50") == goes_to_queue("true", "50")


@pytest.fixture
def old_server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The analysis server that jobs were posted to before."""
    got: list[dict[str, Any]] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/analyse", got
    server.shutdown()
    server.server_close()


def test_both_ways_run_side_by_side_and_no_job_is_lost_or_doubled_on_the_way_there_and_back(
    switch: dict[str, Any],
    old_server: tuple[str, list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, posted = old_server
    sqs = boto3.client("sqs")
    queue = sqs.create_queue(QueueName="analysis-jobs")["QueueUrl"]
    monkeypatch.setenv("ANALYSIS_URL", url)
    monkeypatch.setenv("ANALYSIS_QUEUE_URL", queue)
    counts = []
    for step, (flag, share) in enumerate(
        [("false", "0"), ("true", "50"), ("true", "80"), ("true", "100"), ("false", "100")]
    ):
        monkeypatch.setenv("USE_SQS_QUEUE", flag)
        monkeypatch.setenv("SQS_SHARE", share)
        before = len(posted)
        for number in range(20):
            switch["submit"](
                {
                    "job_id": f"step{step}_{number}",
                    "s3_audio_url": f"recordings/{number} 녹음.wav",
                    "callback_url": "https://api.example.com/hooks/analysis",
                    "token_id": number,
                }
            )
        counts.append(len(posted) - before)
    assert counts[0] == 20
    assert 0 < counts[2] < counts[1] < 20
    assert counts[3] == 0
    assert counts[4] == 20

    queued = []
    while messages := sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    ).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            attributes = message["MessageAttributes"]
            assert attributes["job_type"]["StringValue"] == "audio_analysis"
            queued.append(AnalysisJob.parse(message["Body"]))
    ids = [job["job_id"] for job in posted] + [job.job_id for job in queued]
    assert len(ids) == len(set(ids)) == 100
    assert all(job.webhook_url == "https://api.example.com/hooks/analysis" for job in queued)
    assert all(isinstance(job.video_id, int) for job in queued)
