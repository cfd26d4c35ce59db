"""The cost of one analysis: by stage and length, against its bare kernels, against the obvious way.

Times are CPU time of one process with one thread, from a job's bytes to the bytes of its result.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from scripts.bench.figure import Bound, Figure, interleaved
from scripts.bench.fresh_process import in_fresh_process, peak_mb
from scripts.bench.growth import fit
from scripts.bench.lines import Line, join

if TYPE_CHECKING:
    from scripts.bench.known_voice import Accuracy

PART: Final = "core"
STAGES: Final = "stages"
SECONDS: Final = (3.0, 10.0, 30.0, 60.0)
PIPELINE_SECONDS: Final = (3.0, 10.0)
"""The obvious pipeline takes a quarter of the recording's length; longer lines say no more."""
PEAK_SCORES: Final = 3
PEAK_RUNS: Final = 2
"""It hardly moves: what is allocated is always the same."""

OVERHEAD_BOUND: Final = Bound("<=", 1.25)
PIPELINE_BOUND: Final = Bound(">=", 3.0)
ACCURACY_BOUND: Final = Bound(">=", 1.0)
CPU_BOUND: Final = Bound("<=", 0.08)
MEMORY_BOUND: Final = Bound("<=", 350)
"""Of lines as long as people speak at once; longer ones may take more for a moment."""
USUAL_S: Final = 10.0
GROWTH_BOUND: Final = Bound("<=", 1.15)

VOICES_HZ: Final = (95.0, 120.0, 160.0, 200.0, 240.0, 300.0)
VOICE_S: Final = 10.0

LENGTHS_OF_A_FIT: Final = 3
LEAST_STAGE_MS: Final = 2.0
"""Of the longest line: what takes less says nothing about growth (stages are told to 0.1 ms)."""


@dataclass
class _Times:
    """Seconds of every run, by length."""

    ours: dict[float, list[float]] = field(default_factory=lambda: defaultdict(list))
    kernels: dict[float, list[float]] = field(default_factory=lambda: defaultdict(list))
    pipeline: dict[float, list[float]] = field(default_factory=lambda: defaultdict(list))
    stages: dict[str, dict[float, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )


def measure(
    runs: int,
    *,
    seconds: Sequence[float] = SECONDS,
    pipeline_seconds: Sequence[float] = PIPELINE_SECONDS,
    voices_hz: Sequence[float] = VOICES_HZ,
) -> list[Figure]:
    """Measure everything, each thing once a round, and the peak of memory in fresh processes.

    Parameters
    ----------
    runs : rounds.
    seconds : lengths of the lines.
    pipeline_seconds : those of them on which librosa's way is run too.
    voices_hz : median F0 of the known voices on which the contours are compared.
    """
    times, lengths = in_fresh_process(_time_all, runs, tuple(seconds), tuple(pipeline_seconds))
    figures = list(_stage_figures(times))
    figures += [
        Figure.of(PART, f"analysis of {wanted:g} s", "ms CPU", _milliseconds(found))
        for wanted, found in times.ours.items()
    ]
    figures += [
        Figure.of(
            PART, f"a second of a line of {wanted:g} s", "s CPU",
            [one / lengths[wanted] for one in found], CPU_BOUND,
        )
        for wanted, found in times.ours.items()
    ]  # fmt: skip
    figures += [
        Figure.ratio(
            PART, f"analysis / bare kernels, {wanted:g} s", times.ours[wanted], kernels,
            OVERHEAD_BOUND,
        )
        for wanted, kernels in times.kernels.items()
    ]  # fmt: skip
    figures += [
        Figure.ratio(
            PART, f"obvious pipeline / analysis, {wanted:g} s", found, times.ours[wanted],
            PIPELINE_BOUND,
        )
        for wanted, found in times.pipeline.items()
    ]  # fmt: skip
    if voices_hz:
        figures += _accuracy_figures(in_fresh_process(_accuracies, tuple(voices_hz)))
    if len(lengths) >= LENGTHS_OF_A_FIT:
        figures += _growth_figures(times, lengths)
    for wanted in seconds:
        peaks = [in_fresh_process(_peak, wanted) for _ in range(PEAK_RUNS)]
        bound = MEMORY_BOUND if wanted <= USUAL_S else None
        figures.append(Figure.of(PART, f"peak memory, {wanted:g} s", "MB", peaks, bound))
    return figures


def _time_all(
    runs: int, seconds: Sequence[float], pipeline_seconds: Sequence[float]
) -> tuple[_Times, dict[float, float]]:
    from analysis.scoring import warm_up
    from scripts.bench.bare_kernels import BareKernels

    warm_up()
    times = _Times()
    lines = {wanted: join(wanted) for wanted in seconds}
    things: dict[str, Callable[[], float]] = {}
    by_name: dict[str, list[float]] = {}
    for wanted, line in lines.items():
        kernels = BareKernels.of(line)
        entries: dict[str, tuple[list[float], Callable[[], object]]] = {
            f"ours {wanted}": (times.ours[wanted], partial(_analyse, line, times.stages, wanted)),
            f"kernels {wanted}": (times.kernels[wanted], kernels.run),
        }
        if wanted in pipeline_seconds:
            entries[f"pipeline {wanted}"] = (times.pipeline[wanted], _obvious(line))
        for name, (found, work) in entries.items():
            work()  # what is loaded or compiled at the first use is not measured
            by_name[name] = found
            things[name] = partial(_cpu_seconds, work)
    for stage in times.stages.values():
        stage.clear()
    for name, took in interleaved(runs, things):
        by_name[name].append(took)
    # Plain dictionaries: the default's function cannot travel between processes.
    plain = _Times(
        dict(times.ours),
        dict(times.kernels),
        dict(times.pipeline),
        {stage: dict(found) for stage, found in times.stages.items()},
    )
    return plain, {wanted: line.seconds for wanted, line in lines.items()}


def _analyse(line: Line, stages: Mapping[str, Mapping[float, list[float]]], wanted: float) -> None:
    """From the bytes of a job to those of its result, noting how long each stage took."""
    import analysis

    began = time.perf_counter()
    recording = analysis.Recording.from_bytes(line.audio)
    decoded = time.perf_counter()
    reference = analysis.Reference.from_textgrid(line.textgrid, pitch=line.pitch)
    read = time.perf_counter()
    result = analysis.score(recording, reference)
    result.model_dump_json()
    written = time.perf_counter()
    inside = result.timings_ms
    told = {
        "decode": 1000.0 * (decoded - began),
        "reference": 1000.0 * (read - decoded),
        **inside,
        "result": 1000.0 * (written - read) - sum(inside.values()),
    }
    for stage, took in told.items():
        stages[stage][wanted].append(took)


def _obvious(line: Line) -> Callable[[], object]:
    from scripts.bench import obvious_pipeline

    return partial(obvious_pipeline.compare, line.audio, obvious_pipeline.prepare(line.actor_audio))


def _cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _accuracies(voices_hz: Sequence[float]) -> list[tuple[Accuracy, Accuracy]]:
    """Ours and pYIN's, voice by voice."""
    from analysis.audio import Recording
    from analysis.pitch import track_pitch
    from scripts.bench import known_voice, obvious_pipeline

    found = []
    for number, median_hz in enumerate(voices_hz):
        voice = known_voice.make(VOICE_S, median_hz=median_hz, seed=number)
        recording = Recording.from_samples(voice.samples, known_voice.SAMPLE_RATE_HZ)
        ours = track_pitch(recording)
        theirs = obvious_pipeline.track(voice.samples, known_voice.SAMPLE_RATE_HZ)
        found.append(
            (known_voice.accuracy(ours, voice.truth), known_voice.accuracy(theirs, voice.truth))
        )
    return found


def _peak(seconds: float) -> float:
    import analysis
    from analysis.scoring import warm_up

    warm_up()
    line = join(seconds)
    for _ in range(PEAK_SCORES):
        recording = analysis.Recording.from_bytes(line.audio)
        reference = analysis.Reference.from_textgrid(line.textgrid, pitch=line.pitch)
        analysis.score(recording, reference).model_dump_json()
    return peak_mb()


def _stage_figures(times: _Times) -> list[Figure]:
    return [
        Figure.of(STAGES, f"{stage} of {wanted:g} s", "ms", found)
        for stage, by_length in times.stages.items()
        for wanted, found in by_length.items()
    ]


def _accuracy_figures(pairs: Sequence[tuple[Accuracy, Accuracy]]) -> list[Figure]:
    ours, theirs = [one for one, _ in pairs], [other for _, other in pairs]
    figures = [
        Figure.ratio(
            PART, "contour right within 50 cents, analysis / pYIN",
            [one.overall for one in ours], [one.overall for one in theirs], ACCURACY_BOUND,
        )
    ]  # fmt: skip
    for name, found in (("analysis", ours), ("pYIN", theirs)):
        told = {
            ("contour right within 50 cents", "% of frames"): [
                100.0 * one.overall for one in found
            ],
            ("contour's error", "semitones"): [one.rmse_semitones for one in found],
            ("voicing right", "% of frames"): [100.0 * one.voicing for one in found],
        }
        figures += [
            Figure.of(PART, f"{what}, {name}", unit, values)
            for (what, unit), values in told.items()
        ]
    return figures


def _growth_figures(times: _Times, lengths: Mapping[float, float]) -> list[Figure]:
    """The exponents, a fit for each round."""
    longest = max(lengths)
    whole = _exponents(times.ours, lengths)
    figures = [Figure.of(PART, "growth with duration", "exponent", whole, GROWTH_BOUND)]
    figures += [
        Figure.of(STAGES, f"growth of {stage}", "exponent", _exponents(by_length, lengths))
        for stage, by_length in times.stages.items()
        if min(by_length[longest]) >= LEAST_STAGE_MS
    ]
    return figures


def _exponents(
    costs: Mapping[float, Sequence[float]], lengths: Mapping[float, float]
) -> list[float]:
    runs = min(len(found) for found in costs.values())
    return [
        fit({lengths[wanted]: max(found[run], 1e-6) for wanted, found in costs.items()}).exponent
        for run in range(runs)
    ]


def _milliseconds(seconds: Sequence[float]) -> list[float]:
    return [1000.0 * one for one in seconds]
