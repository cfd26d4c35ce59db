"""A score depends on its two inputs, the options and the version alone."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from analysis.reference import Reference
from analysis.result import AnalysisResult
from analysis.scoring import score

if TYPE_CHECKING:
    from tests.analysis.conftest import Speech

JOBS = [
    ("lantern", "good"),
    ("stranger", "monotone"),
    ("lantern", "slower"),
    ("harbor", "omitted"),
    ("lantern", "omitted"),
]
# Scores the jobs named on the command line and prints a digest of each result, timings left out.
PROGRAM = """
import hashlib, json, sys
from pathlib import Path
from analysis import Recording, Reference, score

for name in sys.argv[2:]:
    line, rendering = name.split("/")
    folder = Path(sys.argv[1]) / line
    reference = Reference.from_textgrid(
        (folder / "actor.TextGrid").read_bytes(), pitch=(folder / "pitch.json").read_bytes()
    )
    result = score(Recording.from_file(folder / f"{rendering}.flac"), reference)
    said = json.dumps(result.without_timings(), sort_keys=True).encode()
    print(name, hashlib.sha256(said).hexdigest())
"""


def digest(result: AnalysisResult) -> str:
    said = json.dumps(result.without_timings(), sort_keys=True).encode()
    return hashlib.sha256(said).hexdigest()


def in_another_process(speech: Speech, *names: str, threads: int) -> dict[str, str]:
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    # Another hash seed too: nothing may hang on the order of a set.
    environment = os.environ | dict.fromkeys(variables, str(threads))
    environment["PYTHONHASHSEED"] = str(threads)
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(speech.folder), *names],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    ).stdout
    return dict(line.split() for line in printed.splitlines())


@pytest.fixture(scope="module")
def digests(speech: Speech) -> dict[str, str]:
    return {f"{line}/{name}": digest(speech.scored(line, name)) for line, name in JOBS}


def test_the_jobs_scored_before_leave_no_trace(speech: Speech, digests: dict[str, str]) -> None:
    for line, name in reversed(JOBS):
        again = score(speech.recording(line, name), speech.reference(line))
        assert digest(again) == digests[f"{line}/{name}"], (line, name)


@pytest.mark.parametrize("threads", [1, 4])
def test_other_processes_and_thread_counts_give_the_same_bits(
    speech: Speech, digests: dict[str, str], threads: int
) -> None:
    names = [f"{line}/{name}" for line, name in JOBS]
    order = names[threads:] + names[:threads]
    assert in_another_process(speech, *order, threads=threads) == digests


def test_a_text_reference_before_a_timed_one_leaves_no_trace(
    speech: Speech, digests: dict[str, str]
) -> None:
    recording = speech.recording("lantern", "good")
    text = Reference.from_text("You left the lantern burning and nobody came home")
    first = digest(score(recording, text))
    assert digest(score(recording, speech.reference("lantern"))) == digests["lantern/good"]
    assert digest(score(recording, text)) == first
