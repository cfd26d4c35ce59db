"""A job type for tests: jobs that do what their text says, without speech or models."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from worker.contract import AnalysisJob
from worker.failures import ErrorCode
from worker.handlers import Analysed, JobInput, Refused, register
from worker.settings import Settings


class Scripted:
    """Does what `text` says, one step a line; fetches nothing."""

    job_type = "scripted"
    bulky: Sequence[str] = ("padding",)

    def version(self) -> str:
        return "1"

    def inputs(self, job: AnalysisJob, settings: Settings) -> Sequence[JobInput]:
        return ()

    def request(self, job: AnalysisJob, inputs: Mapping[str, bytes], settings: Settings) -> str:
        if job.text == "fail in the worker":
            raise ZeroDivisionError("a fault of ours")
        return job.text or ""

    @property
    def analyse(self) -> Callable[[str], Analysed | Refused]:
        return play

    @property
    def warm_up(self) -> Callable[[], None]:
        return nothing


def play(script: str) -> Analysed | Refused:
    """Run a script in an analysis process."""
    result: dict[str, object] = {"pid": os.getpid()}
    started = time.perf_counter()
    for step in script.splitlines():
        verb, _, rest = step.partition(" ")
        match verb:
            case "sleep":
                time.sleep(float(rest))
            case "await":
                while not Path(rest).exists():
                    time.sleep(0.02)
            case "allow":
                from worker.child import allow_more_time

                allow_more_time(float(rest))
            case "raise":
                raise RuntimeError(rest)
            case "crash":
                ctypes.string_at(0)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "refuse":
                return Refused(ErrorCode(rest), f"refused as {rest}")
            case "pad":
                result["padding"] = "x" * int(rest)
            case "note":
                with Path(rest).open("a", encoding="utf-8") as file:
                    file.write(f"{os.getpid()}\n")
            case "once":
                flag, _, then = rest.partition(" ")
                if not Path(flag).exists():
                    Path(flag).touch()
                    play(then)
            case "say":
                result["said"] = rest
            case _:
                raise ValueError(f"unknown step {step!r}")
    return Analysed(json.dumps(result).encode(), {"score": time.perf_counter() - started})


def nothing() -> None:
    """Warm nothing up."""


register(Scripted())
