from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner, Result

from tests.worker.queues import Queues, make_queues
from worker import __version__
from worker.cli import app
from worker.failures import ErrorCode

REPOSITORY = Path(__file__).parents[2]
HEAVY = ("librosa", "parselmouth", "pocketsphinx", "onnxruntime", "numba", "matplotlib")
COMMANDS = (
    *("run", "process", "check", "enqueue", "status", "top", "dlq", "sweep", "schema", "version"),
)


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


def in_a_fresh_process(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_every_command_has_help_that_begins_with_a_sentence() -> None:
    top_level = run("--help").stdout
    for name in COMMANDS:
        assert f" {name} " in top_level
        result = run(name, "--help")
        assert result.exit_code == 0, name


def test_the_version_is_printed() -> None:
    assert run("version").stdout == f"analysis-worker {__version__}\n"


def test_the_module_is_the_same_as_the_console_script() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "worker", "version"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert shown.stdout == f"analysis-worker {__version__}\n"


def test_asking_for_the_version_imports_neither_aws_nor_analysis() -> None:
    program = (
        "import sys; from worker.cli import app\n"
        "try: app(['version'])\n"
        "except SystemExit: pass\n"
        "print([n for n in ('botocore', 'aiohttp', 'httpx', 'rich.live', 'numpy', "
        "'analysis', 'structlog') if n in sys.modules])"
    )
    assert in_a_fresh_process(program).splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "module", ["worker.service", "worker.sweep", "worker.fleet", "worker.redrive", "worker.checks"]
)
def test_nothing_that_the_io_process_imports_pulls_in_the_heavy_libraries(module: str) -> None:
    program = f"import sys, {module}; print([n for n in {HEAVY!r} if n in sys.modules])"
    assert in_a_fresh_process(program).strip() == "[]"


@pytest.mark.parametrize("document", ["job", "event", "result"])
def test_a_schema_is_printed(document: str) -> None:
    schema: dict[str, Any] = json.loads(run("schema", document).stdout)
    assert schema["type"] == "object"
    assert schema["properties"]


def test_the_error_codes_are_printed_with_their_advice() -> None:
    codes: dict[str, Any] = json.loads(run("schema", "errors").stdout)
    assert set(codes) == {code.value for code in ErrorCode}
    assert all(entry["advice"] for entry in codes.values())


def test_an_unknown_schema_names_the_known_ones() -> None:
    result = run("schema", "nothing")
    assert result.exit_code == 2
    assert "'job'" in result.stderr


# --- run and process


@pytest.mark.parametrize("command", [["run"], ["status"], ["dlq", "list"], ["sweep"]])
def test_settings_that_are_wrong_are_said_in_words(
    command: list[str], clean_environment: pytest.MonkeyPatch
) -> None:
    clean_environment.setenv("WORKER_WAIT_TIME_S", "21")
    result = run(*command)
    assert result.exit_code == 2
    assert "WORKER_QUEUE_URL is required" in result.stderr
    assert "WORKER_WAIT_TIME_S" in result.stderr
    assert "Traceback" not in result.output


def test_process_needs_a_file_that_is_there() -> None:
    result = run("process", "absent.json")
    assert result.exit_code == 2
    assert "absent.json" in result.stderr


def test_run_says_when_the_health_port_is_taken(
    moto_endpoint: str, clean_environment: pytest.MonkeyPatch
) -> None:
    import socket

    queues = make_queues(boto3.client("sqs"))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        clean_environment.setenv("WORKER_QUEUE_URL", queues.main)
        clean_environment.setenv("WORKER_HEALTH_HOST", "127.0.0.1")
        clean_environment.setenv("WORKER_HEALTH_PORT", str(other.getsockname()[1]))
        shown = subprocess.run(
            [sys.executable, "-m", "worker", "run", "--until-empty"],
            cwd=REPOSITORY,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert shown.returncode == 2
    assert "WORKER_HEALTH_PORT" in shown.stderr
    assert "Traceback" not in shown.stderr


# --- enqueue


@pytest.fixture
def queues(moto_endpoint: str, clean_environment: pytest.MonkeyPatch) -> Queues:
    made = make_queues(boto3.client("sqs"))
    clean_environment.setenv("WORKER_QUEUE_URL", made.main)
    return made


def job(job_id: str) -> dict[str, str]:
    return {
        "job_id": job_id,
        "s3_audio_url": f"s3://uploads/{job_id}.wav",
        "text": "Here we go.",
        "webhook_url": "https://api.example.com/hook",
    }


def test_jobs_are_sent_from_files_lists_and_lines(queues: Queues, tmp_path: Path) -> None:
    one, many, lines = (tmp_path / name for name in ("one.json", "many.json", "lines.jsonl"))
    one.write_text(json.dumps(job("a"), indent=2))
    many.write_text(json.dumps([job("b"), job("c")]))
    lines.write_text("\n".join(json.dumps(job(name)) for name in "de") + "\n")
    result = run("enqueue", str(one), str(many), str(lines))
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == list("abcde")
    assert queues.bodies(queues.main) == list("abcde")


def test_a_line_ends_where_json_lets_it_end(queues: Queues) -> None:
    odd = job("a") | {"text": "one\u2028two\u2029three\x85four"}
    lines = "\r\n".join(json.dumps(one, ensure_ascii=False) for one in (odd, job("b")))
    result = run("enqueue", "-", stdin=lines)
    assert result.exit_code == 0, result.output
    assert queues.bodies(queues.main) == ["a", "b"]


def test_jobs_are_sent_from_standard_input(queues: Queues) -> None:
    result = run("enqueue", "-", "--json", stdin=json.dumps(job("a")))
    assert json.loads(result.stdout)["job_id"] == "a"
    assert queues.bodies(queues.main) == ["a"]


def test_a_glob_is_expanded_where_no_shell_did(queues: Queues, tmp_path: Path) -> None:
    for name in "ba":
        (tmp_path / f"{name}.json").write_text(json.dumps(job(name)))
    assert run("enqueue", str(tmp_path / "*.json")).exit_code == 0
    assert queues.bodies(queues.main) == ["a", "b"]
    result = run("enqueue", str(tmp_path / "*.jsonl"))
    assert result.exit_code != 0
    assert "matches no file" in result.stderr


def test_a_refused_job_holds_up_no_other(queues: Queues, tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps([job("a"), {**job("b"), "s3_audio_url": ""}, job("c")]))
    result = run("enqueue", str(file))
    assert result.exit_code == 1
    assert "b: " in result.stderr
    assert "s3_audio_url" in result.stderr
    assert queues.bodies(queues.main) == ["a", "c"]


@pytest.mark.parametrize("text", ["{", "3", "[1]", ""])
def test_what_is_no_job_is_refused_before_anything_is_sent(
    queues: Queues, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(text)
    result = run("enqueue", str(file))
    assert result.exit_code == 2
    assert "jobs.json" in result.stderr


def test_jobs_go_to_another_queue_with_a_type(queues: Queues, tmp_path: Path) -> None:
    other = queues.sqs.create_queue(QueueName="urgent")["QueueUrl"]
    file = tmp_path / "job.json"
    file.write_text(json.dumps(job("a")))
    assert run("enqueue", str(file), "--queue", "urgent", "--job-type", "other").exit_code == 0
    (message,) = queues.drain(other)
    assert message["MessageAttributes"]["job_type"]["StringValue"] == "other"
