r"""Write down which AWS calls a program makes, for the test of the IAM policies.

    python -m scripts.infra.record_calls worker pytest -q tests/integration
    python -m scripts.infra.record_calls --add --agent app/worker worker \
        python -m scripts.infra.sessions worker

Starts a local server (moto) and a proxy in front of it, runs the command with TEST_AWS_ENDPOINT_URL
and AWS_ENDPOINT_URL naming the proxy, and puts what it saw into tests/infra/worker_calls.json in
place of that caller's earlier recording. Entries marked `derived` there are kept: calls that no
local server can play (the ECS agent's), each with its reason.

The worker speaks aiobotocore, the tests around it boto3; that tells them apart. Use --agent for
another caller.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any, Final

from moto.server import ThreadedMotoServer

from scripts.infra.call_recorder import Call, Recorder

CALLS_FILE: Final = Path(__file__).parents[2] / "tests" / "infra" / "worker_calls.json"
WORKER_AGENT: Final = "aiobotocore"


def merged(
    known: list[dict[str, str]], caller: str, seen: set[Call], *, is_further: bool = False
) -> list[dict[str, str]]:
    """The list with this caller's recording replaced, or added to where `is_further`.

    What was derived stays until it is seen.
    """
    recorded = [{"caller": caller, **call.as_json(), "how": "recorded"} for call in seen]
    kinds = {(call.service, call.operation, call.target) for call in seen}
    kept = [
        entry
        for entry in known
        if entry["caller"] != caller
        or (
            (entry["how"] == "derived" or is_further)
            and (entry["service"], entry["operation"], entry["target"]) not in kinds
        )
    ]
    order = ("caller", "service", "operation", "target")
    return sorted(kept + recorded, key=lambda entry: [entry[name] for name in order])


async def record(
    command: list[str], *, agent: str, results_prefix: str, sends_to: str
) -> tuple[set[Call], int]:
    """Run a command against a recorded server; what was called, and the command's exit code."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request otherwise
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    recorder = Recorder(
        f"http://{host}:{port}", agent=agent, results_prefix=results_prefix, sends_to=sends_to
    )
    try:
        url = await recorder.start()
        environment = {**os.environ, "TEST_AWS_ENDPOINT_URL": url, "AWS_ENDPOINT_URL": url}
        process = await asyncio.create_subprocess_exec(*command, env=environment)
        code = await process.wait()
    finally:
        await recorder.stop()
        server.stop()
    return recorder.calls, code


def main() -> int:
    """Record, merge, write; the command's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--agent", default=WORKER_AGENT, help="part of the caller's user agent")
    parser.add_argument("--results-prefix", default="results/")
    parser.add_argument("--add", action="store_true", help="beside what is recorded, not instead")
    parser.add_argument("caller", choices=["worker", "producer", "operator", "sweeper"])
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.command:
        parser.error("which command is to be watched?")

    seen, code = asyncio.run(
        record(
            options.command,
            agent=options.agent,
            results_prefix=options.results_prefix,
            # A worker sends to no work queue; the tests' results queues are named like those.
            sends_to="result_queue" if options.caller == "worker" else "work_queue",
        )
    )
    document: dict[str, Any] = json.loads(CALLS_FILE.read_text(encoding="utf-8"))
    document["calls"] = merged(document["calls"], options.caller, seen, is_further=options.add)
    CALLS_FILE.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"{options.caller}: {len(seen)} kinds of call recorded in {CALLS_FILE.name}")
    for call in sorted(seen):
        print(f"  {call.service}:{call.operation} on {call.target}")
    return code


if __name__ == "__main__":
    sys.exit(main())
