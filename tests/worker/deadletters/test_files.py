"""`dlq export` and `dlq import`: whole messages, out and in again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.worker.deadletters.command import run
from tests.worker.queues import Queues


def test_what_was_exported_can_be_imported_again(queues: Queues, tmp_path: Path) -> None:
    queues.bury("a", traceparent="00-x")
    queues.bury("b", None)
    queues.sqs.send_message(
        QueueUrl=queues.dead,
        MessageBody='{"job_id": "c", "text": "한국어 \\u2028"}',
        MessageAttributes={"raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}},
    )
    file = tmp_path / "dead.jsonl"
    assert run("export", str(file)).exit_code == 0
    before = attributes_by_body(queues.drain(queues.dead))
    assert len(before) == 3
    result = run("import", str(file))
    assert result.exit_code == 0, result.output
    assert "3 imported" in result.stderr
    assert attributes_by_body(queues.drain(queues.dead)) == before


def attributes_by_body(messages: list[Any]) -> dict[str, Any]:
    return {
        message["Body"]: {
            name: (value["DataType"], value.get("StringValue"), value.get("BinaryValue"))
            for name, value in message.get("MessageAttributes", {}).items()
        }
        for message in messages
    }


def test_an_export_goes_to_standard_output_and_leaves_the_queue(queues: Queues) -> None:
    queues.bury_many(12)
    lines = [json.loads(line) for line in run("export").stdout.splitlines()]
    assert len(lines) == 12
    assert set(lines[0]) == {
        *("message_id", "sent_at", "receive_count", "group_id", "attributes", "body"),
    }
    assert len(queues.bodies(queues.dead)) == 12


def test_an_import_with_a_bad_line_sends_nothing(queues: Queues, tmp_path: Path) -> None:
    file = tmp_path / "dead.jsonl"
    file.write_text('{"body": "{}"}\n{"body": 3}\n')
    result = run("import", str(file))
    assert result.exit_code == 1
    assert "line 2: body" in result.stderr
    assert "Nothing was sent" in result.stderr
    assert queues.drain(queues.dead) == []


def test_an_import_may_go_to_the_main_queue(queues: Queues, tmp_path: Path) -> None:
    file = tmp_path / "dead.jsonl"
    file.write_text('{"body": "{\\"job_id\\": \\"a\\"}"}\n' * 25)
    assert run("import", str(file), "--to", "jobs").exit_code == 0
    assert queues.bodies(queues.main) == ["a"] * 25
