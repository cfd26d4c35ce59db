"""A line scored where several searches put it."""

from pathlib import Path

import numpy as np
import pytest

from analysis.alignment import Aligner
from analysis.audio import Recording
from analysis.calibration import load_calibration
from analysis.consensus import FURTHER_POWERS, judge
from analysis.network import load_network
from analysis.reference import Reference
from analysis.segments import Segments, path_seconds, segments
from analysis.trellis import best_path, log_evidence

FIXTURES = Path(__file__).parents[1] / "fixtures"
HEARD = Recording.from_file(FIXTURES / "lantern" / "good.flac")
TEXT = Reference.from_textgrid((FIXTURES / "lantern" / "actor.TextGrid").read_bytes())


def test_the_accurate_profile_is_the_mean_of_its_searches_and_the_fast_one_of_none() -> None:
    network, priors = load_network(), load_calibration().log_priors
    assert network is not None
    alignment = Aligner().align(HEARD, TEXT)
    rows = segments(alignment.placed)
    heard = network.listen(HEARD.log_mel)
    alone = network.judge(heard, rows)
    fast = judge(network, heard, rows, priors, profile="fast")
    assert fast.phones == pytest.approx(alone.phones)
    places = [rows]
    for power in FURTHER_POWERS["accurate"]:
        path = best_path(log_evidence(heard.posteriors, priors, power), rows.pronunciations())
        assert path is not None
        places.append(Segments.at(rows.phones, path_seconds(path.spans), rows.words))
    assert any(not np.array_equal(place.spans, rows.spans) for place in places[1:])
    each = [network.judge(heard, place) for place in places]
    accurate = judge(network, heard, rows, priors, profile="accurate")
    for part in ("phones", "words", "line"):
        mean = np.mean([getattr(one, part) for one in each], axis=0)
        assert getattr(accurate, part) == pytest.approx(mean)


def test_a_recording_shorter_than_its_text_is_scored_where_it_was_placed() -> None:
    network = load_network()
    assert network is not None
    heard = network.listen(np.zeros((6, 80), np.float32))
    edges = np.linspace(0, 0.06, 6, dtype=np.float32)
    rows = Segments.at(
        np.arange(5), np.stack((edges[:-1], edges[1:]), axis=1), np.zeros(5, np.int64)
    )
    found = judge(network, heard, rows, np.zeros(40), profile="accurate")
    assert found.phones == pytest.approx(network.judge(heard, rows).phones)
