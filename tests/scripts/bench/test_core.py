"""What an analysis is held against: that it is the same work, and that the parts come out."""

import numpy as np

from analysis import Recording, Reference
from analysis.aligned import BORDER_SHIFT_S
from analysis.alignment import Aligner
from analysis.segments import path_seconds
from scripts.bench.bare_kernels import BareKernels
from scripts.bench.core import measure
from scripts.bench.lines import join


def test_the_bare_kernels_place_the_phones_where_the_analysis_places_them() -> None:
    line = join(10.0)
    path = BareKernels.of(line).run()
    assert path is not None
    alignment = Aligner().align(
        Recording.from_bytes(line.audio), Reference.from_textgrid(line.textgrid)
    )
    starts = [phone.start for word in alignment.placed for phone in word.phones]
    assert np.allclose(path_seconds(path.spans)[:, 0] + BORDER_SHIFT_S, starts, atol=1e-3)


def test_a_short_run_gives_every_kind_of_figure_with_its_bound() -> None:
    figures = measure(1, seconds=(3.0,), pipeline_seconds=(), voices_hz=())
    bounds = {figure.name: str(figure.bound) for figure in figures if figure.bound}
    assert bounds == {
        "a second of a line of 3 s": "≤ 0.08",
        "analysis / bare kernels, 3 s": "≤ 1.25",
        "peak memory, 3 s": "≤ 350",
    }
    stages = {figure.name for figure in figures if figure.part == "stages"}
    assert {"decode of 3 s", "align of 3 s", "pitch of 3 s", "assess of 3 s"} <= stages
    assert all(figure.value > 0.0 for figure in figures)
