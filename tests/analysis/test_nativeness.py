"""How native a phone sounds: cepstra, native Gaussians, and their mean over a phone."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pocketsphinx import get_model_path

from analysis.aligned import AlignedPhone, AlignedWord
from analysis.alignment import Aligner
from analysis.cepstra import CEPSTRA, WARP, cepstra
from analysis.native_evidence import by_phone, by_state
from analysis.native_model import ALONE, FIRST, INSIDE, LAST, NativeModel, load_native_model
from analysis.nativeness import FLOOR_NATS, Nativeness, nativeness
from analysis.phones import PHONE_INDEX, PHONES, SILENCE
from analysis.segments import Segments, segments
from tests.analysis.sphinx_decoder import place_by_sphinx

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.analysis.conftest import Speech

RATE = 16_000
LINES = ("harbor", "lantern", "stranger", "winter")
MODEL = load_native_model()
WHOLE = (0.0, 1.0)
NOISE = 0.1 * np.random.default_rng(1).standard_normal(RATE).astype(np.float32)


def phones(*names: str) -> NDArray[np.int64]:
    return np.array([SILENCE if name == "SIL" else PHONE_INDEX[name] for name in names])


def senones(before: str, phone: str, after: str, place: int) -> list[int]:
    found = MODEL.senones_of(phones(phone), phones(before), phones(after), np.array([place]))
    return [int(state) for state in found[0]]


def native(samples: NDArray[np.float32], rows: Segments, *, warp: float = WARP) -> Nativeness:
    """How native phones are for which there is sound enough."""
    found = nativeness(samples, rows, warp=warp)
    assert found is not None
    return found


def ratios(
    sound: NDArray[np.float32], phone: str, line: tuple[float, float] = WHOLE
) -> NDArray[np.float32]:
    """How well every frame of a sound fits a phone between silences."""
    features = cepstra(sound, line)
    count = features.shape[1]
    of_phone = np.tile(senones("SIL", phone, "SIL", ALONE), (count, 1))
    return MODEL.hear(features, np.repeat(phones(phone), count), of_phone)[1]


def test_there_are_cepstra_for_every_whole_window() -> None:
    assert cepstra(NOISE, WHOLE).shape == (3, 1 + (RATE - 410) // 160, CEPSTRA)
    assert cepstra(np.zeros(1, np.float32), WHOLE).shape == (3, 1, CEPSTRA)


def test_a_louder_recording_has_the_same_cepstra() -> None:
    assert cepstra(0.1 * NOISE, WHOLE) == pytest.approx(cepstra(NOISE, WHOLE), abs=1e-3)


@pytest.mark.parametrize("level", [0.0, 1e-4])
def test_more_silence_around_the_line_has_the_same_cepstra(level: float) -> None:
    rng = np.random.default_rng(4)
    margin = level * rng.standard_normal(RATE // 2).astype(np.float32)
    line = np.concatenate((margin, NOISE, margin))
    more = level * rng.standard_normal(3 * RATE).astype(np.float32)
    longer = cepstra(np.concatenate((more, line, more)), (3.5, 4.5))
    assert longer[:, 350:440] == pytest.approx(cepstra(line, (0.5, 1.5))[:, 50:140], abs=0.05)


def test_differences_are_those_of_the_cepstra() -> None:
    own, first, second = cepstra(NOISE, WHOLE)
    assert own.mean(axis=0) == pytest.approx(np.zeros(CEPSTRA), abs=1e-3)
    assert first[2:-2] == pytest.approx(own[4:] - own[:-4], abs=1e-5)
    assert second[1:-1] == pytest.approx(first[2:] - first[:-2], abs=1e-4)


@pytest.mark.parametrize("sound", [np.zeros(800), np.full(8000, 0.5), np.eye(1, 8000)[0]])
def test_what_is_no_speech_has_finite_ratios(sound: NDArray[np.float64]) -> None:
    assert np.isfinite(ratios(sound.astype(np.float32), "AA")).all()


def test_frames_fit_alike_whatever_stands_beside_them() -> None:
    features = cepstra(np.tile(NOISE, 4), (0.0, 4.0))
    count = features.shape[1]
    rows = np.arange(count) % len(PHONES)
    some = MODEL.monophones[rows]
    part = slice(100, 110)
    everywhere, own = MODEL.hear(features, rows, some)
    of_part = MODEL.hear(features[:, part], rows[part], some[part])
    assert of_part[0] == pytest.approx(everywhere[part], abs=1e-3)
    assert of_part[1] == pytest.approx(own[part], abs=1e-3)


def test_what_was_said_fits_better_than_what_was_not(speech: Speech) -> None:
    line = LINES[0]
    recording = speech.recording(line, "actor")
    rows = segments(Aligner().align(recording, speech.reference(line)).placed)
    right = native(recording.samples, rows)
    wrong = native(recording.samples, replace(rows, phones=rows.phones[::-1]))
    assert right.line > wrong.line + 2.0


def test_a_fit_is_the_log_density_of_a_mixture_of_gaussians() -> None:
    rng = np.random.default_rng(2)
    classes, densities, count = len(PHONES) + 1, 5, 3 * (len(PHONES) + 1)
    means = rng.normal(size=(3, classes, densities, CEPSTRA))
    variances = rng.uniform(0.5, 2.0, means.shape)
    quantised = rng.integers(0, 30, (3, densities, count), dtype=np.uint8)
    monophones = np.arange(count).reshape(classes, 3)
    nats = quantised.astype(float) * 1024 * math.log(1.0001)
    weights = np.exp(-nats[:, :, monophones]).transpose(0, 2, 1, 3)
    weights /= weights.sum(axis=2, keepdims=True)
    constants = -0.5 * (np.log(2 * math.pi * variances) + means**2 / variances).sum(-1)[..., None]
    terms = np.concatenate((-0.5 / variances, means / variances, constants), -1)
    model = NativeModel(
        tuple(one.transpose(0, 2, 1).astype(np.float32) for one in terms),
        tuple(one.astype(np.float32) for one in weights),
        quantised,
        np.zeros(0, np.int64),
        np.zeros((0, 3), np.int64),
        monophones,
    )
    x = rng.normal(size=(3, CEPSTRA))
    density = np.prod(
        np.exp(-0.5 * (x[:, None, None] - means) ** 2 / variances)
        / np.sqrt(2 * math.pi * variances),
        axis=-1,
    )
    likelihoods = np.prod(np.einsum("fcd,fcds->fcs", density, weights), axis=0)
    everywhere, own = model.hear(x[:, None].astype(np.float32), np.array([7]), monophones[[7]])
    expected = np.log(likelihoods) - math.log(likelihoods.max())
    assert everywhere[0] == pytest.approx(expected, abs=1e-3)
    assert own == pytest.approx([expected[7].max()], abs=1e-3)


def test_a_phone_between_others_has_senones_of_its_own() -> None:
    between = senones("S", "T", "AA", INSIDE)
    assert len(set(between)) == 3
    assert between != senones("S", "T", "R", INSIDE)
    assert between != senones("AA", "T", "AA", INSIDE)
    assert senones("SIL", "T", "AA", FIRST) != senones("AA", "T", "SIL", LAST)


def test_what_the_model_lacks_at_one_place_it_takes_from_another() -> None:
    """Inside a word no phone stands beside a silence."""
    assert senones("SIL", "T", "AA", INSIDE) == senones("SIL", "T", "AA", FIRST)


def test_what_the_model_lacks_in_any_place_is_the_phone_without_context() -> None:
    lacking = [
        phone
        for phone in PHONES
        if senones("ZH", phone, "ZH", INSIDE) == list(MODEL.monophones[PHONE_INDEX[phone]])
    ]
    assert lacking
    assert len(lacking) < len(PHONES)


def test_it_says_what_pocketsphinx_says_of_the_same_phones(speech: Speech) -> None:
    """With the filters where PocketSphinx has them; it removes noise besides.

    And of the same frames: with a clock that is off by three of them it says another thing.
    """
    early, right, late = (agreement(speech, shift_s) for shift_s in (-0.03, 0.0, 0.03))
    assert right > 0.6
    assert right > max(early, late) + 0.1


def agreement(speech: Speech, shift_s: float) -> float:
    """The correlation of both, where ours looks some time later."""
    ours: list[float] = []
    theirs: list[float] = []
    for line in LINES:
        recording = speech.recording(line, "actor")
        aligned = Aligner().align(recording, speech.reference(line))
        words = [[phone.phone for phone in word.phones] for word in aligned.placed]
        placed = place_by_sphinx(recording, words)
        said = [phone for word in placed for phone in word]
        theirs += [phone.log_likelihood for phone in said]
        spans = 0.01 * np.array([(one.start, one.start + one.frames) for one in said], np.float32)
        rows = Segments.at(
            phones(*(phone.phone for phone in said)),
            spans + np.float32(shift_s),
            np.repeat(np.arange(len(placed)), [len(word) for word in placed]),
        )
        ours += list(native(recording.samples, rows, warp=1.0).phones)
    return float(np.corrcoef(ours, np.maximum(theirs, FLOOR_NATS))[0, 1])


def test_a_phone_counts_the_frames_where_it_lies() -> None:
    spans = np.array([(0.2, 0.3), (0.5, 0.56)], np.float32)
    rows = Segments.at(phones("S", "SH"), spans, np.array([0, 1]))
    found = native(NOISE, rows)
    expected = [
        ratios(NOISE, "S", (0.2, 0.56))[20:30].mean(),
        ratios(NOISE, "SH", (0.2, 0.56))[50:56].mean(),
    ]
    assert found.phones == pytest.approx(expected, abs=1e-3)
    assert found.phones.min() > FLOOR_NATS
    assert found.frames.tolist() == [10, 6]
    assert found.line == pytest.approx((10 * expected[0] + 6 * expected[1]) / 16, abs=1e-3)


def test_of_the_frames_of_no_phone_nothing_is_told_and_the_others_hear_the_same() -> None:
    """More frames than phones, across the border of a block."""
    features = cepstra(np.tile(NOISE, 4), (0.0, 4.0))
    rows = np.arange(130) % len(PHONES)
    everywhere, own = MODEL.hear(features, rows, MODEL.monophones[rows])
    assert own.shape == (130,)
    assert own == pytest.approx(everywhere[np.arange(130), rows].max(axis=1), abs=1e-3)
    assert everywhere.max(axis=(1, 2)) == pytest.approx(np.zeros(len(everywhere)), abs=1e-3)
    assert MODEL.hear(features)[0] == pytest.approx(everywhere, abs=1e-3)


def test_a_word_that_was_said_is_present_and_one_that_was_not_is_absent(speech: Speech) -> None:
    recording = speech.recording("lantern", "actor")
    words = list(Aligner().align(recording, speech.reference("lantern")).placed)
    said = native(recording.samples, segments(words)).path.presence
    border = words[2].end
    phones_there = tuple(AlignedPhone(name, border, border) for name in ("SH", "UW", "Z"))
    words.insert(3, AlignedWord(9, "shoes", border, border, phones_there))
    found = native(recording.samples, segments(words)).path.presence
    assert said.min() > 0.0
    assert found[3] < 0.0
    assert int(found.argmin()) == 3


def test_less_sound_than_text_tells_nothing() -> None:
    edges = np.linspace(0.0, 0.06, 9, dtype=np.float32)
    spans = np.stack((edges[:-1], edges[1:]), axis=1)
    rows = Segments.at(np.arange(8), spans, np.zeros(8, np.int64))
    assert nativeness(NOISE[:1000], rows) is None


def test_native_evidence_goes_by_pairs_of_frames() -> None:
    likelihoods = np.zeros((5, len(PHONES) + 1, 3), np.float32)
    likelihoods[0, 7] = (-4.0, -2.0, -6.0)
    likelihoods[1, 7] = -100.0
    likelihoods[4, 7] = -1.0
    assert by_phone(likelihoods)[:, 7] == pytest.approx([0.3 * -21.0, 0.0, -0.3])
    assert by_state(likelihoods)[0, 21:24].tolist() == [-4.0, -2.0, -6.0]
    assert by_state(likelihoods)[1, 21] == -40.0


def test_neighbours_count_where_no_silence_parts_them() -> None:
    near = np.array([(0.2, 0.3), (0.3, 0.4)], np.float32)
    apart = np.array([(0.1, 0.2), (0.3, 0.4)], np.float32)
    joined, parted = (
        native(NOISE, Segments.at(phones("S", "T"), spans, np.array([0, 0]))).phones[1]
        for spans in (near, apart)
    )
    assert joined != pytest.approx(parted, abs=1e-3)


def test_nothing_is_told_apart_below_the_floor() -> None:
    buzz = np.sign(np.sin(np.arange(RATE) * 2 * np.pi * 120 / RATE)).astype(np.float32) / 10
    spans = np.array([(0.2, 0.3), (0.3, 0.4)], np.float32)
    rows = Segments.at(phones("TH", "P"), spans, np.array([0, 1]))
    assert native(np.concatenate((0.01 * NOISE[:2000], buzz)), rows).phones.min() == FLOOR_NATS


def test_a_phone_past_the_last_frame_takes_the_last() -> None:
    spans = np.array([(0.5, 0.6), (0.99, 1.04)], np.float32)
    rows = Segments.at(phones("S", "SH"), spans, np.array([0, 1]))
    found = native(NOISE, rows)
    assert found.phones[1] == pytest.approx(ratios(NOISE, "SH", (0.5, 1.04))[-1], abs=1e-3)
    assert found.frames.tolist() == [10, 1]


@pytest.mark.parametrize("name", ["mdef", "means", "variances", "sendump"])
@pytest.mark.parametrize("kept", [0, 100, 300_000])
def test_a_broken_model_is_refused_by_name(tmp_path: Path, name: str, kept: int) -> None:
    whole = Path(get_model_path("en-us/en-us"))
    for file in ("mdef", "means", "variances", "sendump"):
        shutil.copy(whole / file, tmp_path)
    (tmp_path / name).write_bytes((whole / name).read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"cannot be read .* Install pocketsphinx"):
        load_native_model(tmp_path)


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        load_native_model(tmp_path)
