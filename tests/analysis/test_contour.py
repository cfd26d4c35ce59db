"""pitch.json becomes a contour, or says which of its entries is wrong."""

from __future__ import annotations

import codecs
import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.contour import MAX_PITCH_BYTES, PitchContour
from analysis.errors import ReferenceFormatError


def contour(*entries: tuple[float, float | None]) -> PitchContour:
    data = [{"time": time_s, "hz": hz} for time_s, hz in entries]
    return PitchContour.from_json(json.dumps(data).encode())


def refused(data: bytes) -> str:
    with pytest.raises(ReferenceFormatError) as caught:
        PitchContour.from_json(data)
    assert caught.value.code == "pitch_invalid"
    assert caught.value.stage == "decode"
    return caught.value.message


def test_numbers_are_f0_and_null_is_unvoiced() -> None:
    read = contour((0.0, None), (0.1, 120), (0.2, 121.5), (0.3, None))
    np.testing.assert_array_equal(read.times, [0.0, 0.1, 0.2, 0.3])
    np.testing.assert_array_equal(read.hz, [np.nan, 120.0, 121.5, np.nan])
    np.testing.assert_array_equal(read.voiced, [False, True, True, False])
    assert read.step_s == pytest.approx(0.1)


@pytest.mark.parametrize("step", [0.1, 0.01, 0.005, 0.0123])
def test_any_step_is_found(step: float) -> None:
    times = np.round(np.arange(50) * step, 6)
    assert contour(*((float(t), 100.0) for t in times)).step_s == pytest.approx(step)


def test_an_entry_left_out_does_not_change_the_step() -> None:
    read = contour((0.0, 100), (0.1, 100), (0.2, 100), (0.8, 100), (0.9, 100))
    assert read.step_s == pytest.approx(0.1)


def test_praats_zero_is_unvoiced_too() -> None:
    assert not contour((0.0, 0), (0.1, 0.0)).voiced.any()


def test_a_byte_order_mark_before_it_does_not_count() -> None:
    data = b'[{"time": 1, "hz": 99}]'
    assert PitchContour.from_json(codecs.BOM_UTF8 + data).hz.tolist() == [99.0]


def test_other_keys_are_ignored() -> None:
    read = PitchContour.from_json(b'[{"time": 1, "hz": 99, "confidence": 0.4}]')
    assert read.hz.tolist() == [99.0]
    assert read.step_s == 0.0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON"),
        (b"[{", "not JSON"),
        (b'[{"time": NaN, "hz": 1}]', "not JSON"),
        (b'\xff\xfe[\x00{"', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "must be a list of entries, not an object"),
        (b"null", "must be a list of entries, not null"),
        (b"[]", "has no entries"),
        (b"[[0, 100]]", "entry 0 must be an object"),
        (b'[{"hz": 100}]', 'entry 0 has no "time"'),
        (b'[{"time": 0}]', 'entry 0 has no "hz"'),
        (b'[{"time": "0", "hz": 100}]', "entry 0: time must be seconds as a number, not a string"),
        (b'[{"time": true, "hz": 100}]', "not true or false"),
        (b'[{"time": 1e300, "hz": 100}]', "entry 0: time 1e+300 is not within"),
        (b'[{"time": 0, "hz": "low"}]', "entry 0: hz must be a number or null, not a string"),
        (b'[{"time": 0, "hz": false}]', "hz must be a number or null, not true or false"),
        (b'[{"time": 0, "hz": -100}]', "hz -100 is not a voice's F0 (20–4000 Hz)"),
        (b'[{"time": 0, "hz": 44100}]', "hz 44100 is not a voice's F0"),
        (b'[{"time": 0, "hz": 1}, {"time": 0.1, "hz": null}]', "entry 0: hz 1"),
        (b'[{"time": 1, "hz": 99}, {"time": 1, "hz": 99}]', "entry 1: time 1 does not come after"),
        (b'[{"time": 1, "hz": 99}, {"time": 0.5, "hz": 99}]', "in order of time"),
        (b" " * (MAX_PITCH_BYTES + 1), "the limit is 2,097,152"),
    ],
)
def test_what_is_wrong_is_said_with_its_entry(data: bytes, says: str) -> None:
    message = refused(data)
    assert message.startswith("pitch.json ")
    assert says in message


def test_values_between_entries_are_interpolated_and_none_is_invented() -> None:
    read = contour((0.0, 100), (0.1, 200), (0.2, None), (0.3, 300), (0.7, 400), (0.8, 500))
    at = read.at(np.array([-0.01, 0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 0.75, 0.8, 0.81]))
    nan = np.nan
    np.testing.assert_allclose(at, [nan, 100, 150, 200, nan, nan, nan, 300, nan, 450, 500, nan])


def test_a_single_point_says_nothing_of_other_times() -> None:
    assert np.isnan(contour((0.5, 100)).at(np.array([0.4, 0.6]))).all()


def test_a_shift_moves_the_times_alone() -> None:
    read = contour((10.0, 100), (10.1, None)).shifted(-10.0)
    np.testing.assert_allclose(read.times, [0.0, 0.1])
    assert read.step_s == pytest.approx(0.1)


def test_a_megabyte_is_read_in_time() -> None:
    entries = [{"time": round(i * 0.005, 3), "hz": 100.5 if i % 3 else None} for i in range(30_000)]
    data = json.dumps(entries).encode()
    assert len(data) > 900_000
    start = time.process_time()
    assert PitchContour.from_json(data).times.size == 30_000
    assert time.process_time() - start < 1.0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["time", "hz", "x"]), inner, max_size=3)
    ),
    max_leaves=20,
)


def read_or_refuse(data: bytes) -> None:
    problem = "none"
    try:
        read = PitchContour.from_json(data)
    except ReferenceFormatError as error:
        problem = error.code
    else:
        assert (np.diff(read.times) > 0).all()
        assert np.isfinite(read.times).all()
        assert ((read.hz > 0) | np.isnan(read.hz)).all()
    assert problem in {"none", "pitch_invalid"}


@settings(max_examples=200, derandomize=True, deadline=5000)
@given(json_values)
def test_any_json_is_read_or_refused(value: Any) -> None:
    read_or_refuse(json.dumps(value).encode())


@settings(max_examples=200, derandomize=True, deadline=5000)
@given(st.lists(st.fixed_dictionaries({"time": st.floats(), "hz": st.none() | st.floats()})))
def test_any_entries_are_read_or_refused(entries: list[dict[str, float | None]]) -> None:
    read_or_refuse(json.dumps(entries).encode())


@settings(max_examples=200, derandomize=True, deadline=5000)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refuse(data)
