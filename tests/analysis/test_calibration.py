"""Fitted numbers: complete, bounded, and never against the speaker."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.calibration import CALIBRATION_PATH, FEATURES, HEADS, Detector, load_calibration
from analysis.line_features import LINE_SCORES, NAMES, NETWORK_NAMES
from analysis.network import load_network
from analysis.phones import PHONES
from analysis.presence import LINE_FEATURES, WORD_FEATURES

CALIBRATION = load_calibration()
# Each moves one way when a phone is said better.
HELPING = {
    "phone_mean", "phone_low_tenth", "phone_low_quarter", "word_minimum_mean", "word_mean",
    "evidence_own", "evidence_lead", "path_fit", "native_mean", "native_low_quarter",
    *LINE_SCORES,
}  # fmt: skip
HARMING = {"phone_wrong", "phone_doubtful", "word_wrong"}


def test_there_is_a_number_for_every_feature() -> None:
    for name in HEADS:
        assert len(CALIBRATION.heads["gop"][name].weights) == len(NAMES)
        assert len(CALIBRATION.heads["network"][name].weights) == len(NETWORK_NAMES)
    assert CALIBRATION.gop.shape == (len(PHONES), 2)
    for name in FEATURES:
        assert len(CALIBRATION.omission[name].weights) == len(WORD_FEATURES)
        assert len(CALIBRATION.wrong_text[name].weights) == len(LINE_FEATURES)
    assert len(CALIBRATION.log_priors) == len(PHONES) + 1


def test_the_shares_of_the_total_sum_to_one() -> None:
    assert sum(CALIBRATION.blend.values()) == pytest.approx(1.0, abs=1e-3)
    assert all(share >= 0.0 for share in CALIBRATION.blend.values())


@pytest.mark.parametrize("engine", ["network", "gop"])
@pytest.mark.parametrize("name", HEADS)
def test_no_weight_turns_a_better_phone_into_a_worse_line(engine: str, name: str) -> None:
    names = FEATURES[engine]
    weights = dict(zip(names, CALIBRATION.heads[engine][name].weights, strict=True))
    assert all(weights[feature] >= 0.0 for feature in HELPING.intersection(names))
    assert all(weights[feature] <= 1e-6 for feature in HARMING)
    assert set(NETWORK_NAMES) >= HELPING | HARMING


@pytest.mark.parametrize("change", [lambda names: names[::-1], lambda names: names[:-1]])
def test_numbers_for_other_features_are_refused(
    tmp_path: Path, change: Callable[[list[str]], list[str]]
) -> None:
    stored = json.loads(CALIBRATION_PATH.read_text(encoding="utf-8"))
    head = stored["heads"]["network"][HEADS[0]]
    head["features"] = change(head["features"])
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(ValueError, match=r"names other features .* Run scripts/calibrate\.py"):
        load_calibration(path)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=len(NETWORK_NAMES), max_size=len(NETWORK_NAMES)))
def test_no_features_lead_outside_the_scale(values: list[float]) -> None:
    for name in HEADS:
        score = CALIBRATION.heads["network"][name].score(np.array(values))
        assert 0.0 <= score <= 100.0


def test_the_file_says_where_its_numbers_come_from() -> None:
    for key in ("made", "data", "license", "held_out"):
        assert CALIBRATION.provenance[key]
    assert "CC BY 4.0" in CALIBRATION.provenance["data"]
    network = load_network()
    assert network is not None
    assert "CC BY 4.0" in network.provenance["data"]
    assert network.provenance["phones"].split() == list(PHONES)


def test_everything_is_loaded_in_under_a_third_of_a_second_of_cpu() -> None:
    code = (
        "import numpy, onnxruntime, time; start = time.process_time();"
        "from analysis.calibration import load_calibration;"
        "from analysis.native_model import load_native_model;"
        "from analysis.network import load_network;"
        "from analysis.refinement import load_refinement;"
        "load_calibration(); load_refinement(); load_native_model();"
        "assert load_network() is not None;"
        "print(time.process_time() - start)"
    )
    best = min(
        float(subprocess.check_output([sys.executable, "-c", code], text=True)) for _ in range(2)
    )
    assert best < 0.3


def test_what_a_detector_does_not_say_for_sure_it_says_by_degrees() -> None:
    detector = Detector(np.array([1.0]), 0.0, threshold=0.9)
    found = [detector.credit(np.array([z])) for z in np.linspace(-6.0, 6.0, 121)]
    assert found == sorted(found, reverse=True)
    assert found[0] == detector.credit(np.array([0.0])) == 1.0
    assert 0.0 < detector.credit(np.array([1.5])) < 1.0
    assert detector.credit(np.array([2.2])) == 0.0
    assert all(detector.flags(np.array([z])) is (detector.credit(np.array([z])) == 0.0)
               for z in (-6.0, 0.0, 1.5, 2.19, 2.3))  # fmt: skip
