"""Texts that were not said: what is heard beside them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from scripts.training.corpus import Line
from scripts.training.mismatches import Mismatch

RATE = 16_000
TONE = 0.5 * np.sin(2 * np.pi * 100.3 * np.arange(RATE) / RATE)


def line(data: Path) -> Line:
    """A line whose recording is a second of a tone."""
    (data / "audio").mkdir()
    soundfile.write(data / "audio" / "000010011.flac", TONE, RATE)
    return Line("000010011", "0001", 30, "A B", ("A", "B"), (("AH",), ("B", "IY")), (), None, None)


def mismatch(data: Path, cut: tuple[float, float] | None) -> Mismatch:
    return Mismatch("cut_word", line(data), np.array([2]), np.array([0]), absent=0, cut=cut)


def test_a_recording_stays_whole_where_nothing_is_cut(tmp_path: Path) -> None:
    heard = mismatch(tmp_path, None).recording(tmp_path)
    assert heard.samples == pytest.approx(TONE, abs=1e-4)


@pytest.mark.parametrize("cut", [(0.3, 0.6042), (0.0, 0.2), (0.7, 1.0)])
def test_what_is_cut_out_leaves_no_click(tmp_path: Path, cut: tuple[float, float]) -> None:
    heard = mismatch(tmp_path, cut).recording(tmp_path)
    assert heard.duration == pytest.approx(1.0 - (cut[1] - cut[0]), abs=0.006)
    steepest = np.abs(np.diff(TONE)).max()
    assert np.abs(np.diff(heard.samples)).max() < 1.5 * steepest
