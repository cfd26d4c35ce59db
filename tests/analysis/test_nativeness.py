"""How native a phone sounds: cepstra, native Gaussians, and their mean over a phone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from analysis.alignment import Aligner
from analysis.cepstra import CEPSTRA, cepstra
from analysis.native_model import (
    ALONE,
    FIRST,
    INSIDE,
    LAST,
    SILENCE,
    NativeModel,
    load_native_model,
)
from analysis.nativeness import FLOOR_NATS, nativeness
from analysis.phones import PHONE_INDEX, PHONES
from analysis.pronunciations import Pronunciation
from analysis.segments import Segments, segments
from analysis.sphinx import place_by_sphinx

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.analysis.conftest import Speech

RATE = 16_000
MODEL = load_native_model()
NOISE = 0.1 * np.random.default_rng(1).standard_normal(RATE).astype(np.float32)


def phones(*names: str) -> NDArray[np.int64]:
    return np.array([SILENCE if name == "SIL" else PHONE_INDEX[name] for name in names])


def states(before: str, phone: str, after: str, place: int) -> list[int]:
    found = MODEL.states_of(phones(phone), phones(before), phones(after), np.array([place]))
    return [int(state) for state in found[0]]


def fits(sound: NDArray[np.float32], phone: str) -> NDArray[np.float64]:
    """How well every frame of a sound fits a phone between silences."""
    features = cepstra(sound)
    count = features.shape[1]
    of_phone = np.tile(states("SIL", phone, "SIL", ALONE), (count, 1))
    return MODEL.fits(features, np.repeat(phones(phone), count), of_phone)


def test_there_are_cepstra_for_every_whole_window() -> None:
    assert cepstra(NOISE).shape == (3, 1 + (RATE - 410) // 160, CEPSTRA)
    assert cepstra(np.zeros(1, np.float32)).shape == (3, 1, CEPSTRA)


def test_a_louder_recording_has_the_same_cepstra() -> None:
    assert cepstra(0.1 * NOISE) == pytest.approx(cepstra(NOISE), abs=1e-3)


def test_differences_are_those_of_the_cepstra() -> None:
    own, first, second = cepstra(NOISE)
    assert own.mean(axis=0) == pytest.approx(np.zeros(CEPSTRA), abs=1e-3)
    assert first[2:-2] == pytest.approx(own[4:] - own[:-4], abs=1e-5)
    assert second[1:-1] == pytest.approx(first[2:] - first[:-2], abs=1e-4)


@pytest.mark.parametrize("sound", [np.zeros(800), np.full(8000, 0.5), np.eye(1, 8000)[0]])
def test_what_is_no_speech_has_finite_fits(sound: NDArray[np.float64]) -> None:
    assert np.isfinite(fits(sound.astype(np.float32), "AA")).all()


def test_frames_fit_alike_whatever_stands_beside_them() -> None:
    features = cepstra(np.tile(NOISE, 4))
    count = features.shape[1]
    rows = np.arange(count) % len(PHONES)
    some = MODEL.single[rows]
    part = slice(100, 110)
    whole = MODEL.fits(features, rows, some)
    assert MODEL.fits(features[:, part], rows[part], some[part]) == pytest.approx(
        whole[part], abs=1e-3
    )


def test_what_was_said_fits_better_than_what_was_not(speech: Speech) -> None:
    line = next(path.name for path in sorted(speech.folder.iterdir()) if path.is_dir())
    recording = speech.recording(line, "actor")
    rows = segments(Aligner().align(recording, speech.reference(line)).placed)
    right = nativeness(recording.samples, rows)
    wrong = nativeness(recording.samples, replace(rows, phones=rows.phones[::-1]))
    assert right.line > wrong.line + 2.0


def test_a_fit_is_the_log_density_of_a_mixture_of_gaussians() -> None:
    rng = np.random.default_rng(2)
    classes, densities, count = len(PHONES) + 1, 5, 3 * (len(PHONES) + 1)
    means = rng.normal(size=(3, classes, densities, CEPSTRA))
    variances = rng.uniform(0.5, 2.0, means.shape)
    steps = rng.integers(0, 30, (3, densities, count), dtype=np.uint8)
    single = np.arange(count).reshape(classes, 3)
    weights = np.exp(-steps.astype(float) * 1024 * math.log(1.0001))[:, :, single].transpose(
        0, 2, 1, 3
    )
    weights /= weights.sum(axis=2, keepdims=True)
    constants = -0.5 * (np.log(2 * math.pi * variances) + means**2 / variances).sum(-1)[..., None]
    terms = np.concatenate((-0.5 / variances, means / variances, constants), -1)
    model = NativeModel(
        tuple(one.transpose(0, 2, 1).astype(np.float32) for one in terms),
        tuple(one.astype(np.float32) for one in weights),
        steps,
        np.zeros(0, np.int64),
        np.zeros((0, 3), np.int64),
        single,
    )
    x = rng.normal(size=(3, CEPSTRA))
    density = np.prod(
        np.exp(-0.5 * (x[:, None, None] - means) ** 2 / variances)
        / np.sqrt(2 * math.pi * variances),
        axis=-1,
    )
    likelihoods = np.prod(np.einsum("fcd,fcds->fcs", density, weights), axis=0)
    found = model.fits(x[:, None].astype(np.float32), np.array([7]), single[[7]])
    expected = math.log(likelihoods[7].max()) - math.log(likelihoods.max())
    assert found == pytest.approx([expected], abs=1e-3)


def test_a_phone_between_others_has_states_of_its_own() -> None:
    between = states("S", "T", "AA", INSIDE)
    assert len(set(between)) == 3
    assert between != states("S", "T", "R", INSIDE)
    assert between != states("AA", "T", "AA", INSIDE)
    assert states("SIL", "T", "AA", FIRST) != states("AA", "T", "SIL", LAST)


def test_what_the_model_lacks_at_one_place_it_takes_from_another() -> None:
    """Inside a word no phone stands beside a silence."""
    assert states("SIL", "T", "AA", INSIDE) == states("SIL", "T", "AA", FIRST)


def test_what_the_model_lacks_in_any_place_is_the_phone_without_context() -> None:
    lacking = [
        phone
        for phone in PHONES
        if states("ZH", phone, "ZH", INSIDE) == list(MODEL.single[PHONE_INDEX[phone]])
    ]
    assert lacking
    assert len(lacking) < len(PHONES)


def test_it_says_what_pocketsphinx_says_of_the_same_phones(speech: Speech) -> None:
    """With the filters where PocketSphinx has them; it removes noise besides."""
    ours: list[float] = []
    theirs: list[float] = []
    for line in sorted(path.name for path in speech.folder.iterdir() if path.is_dir()):
        if not speech.path(line, "actor.flac").exists():
            continue
        recording = speech.recording(line, "actor")
        aligned = Aligner().align(recording, speech.reference(line))
        known = [
            Pronunciation((tuple(phone.phone for phone in word.phones),), "reference")
            for word in aligned.placed
        ]
        placed = place_by_sphinx(recording, known)
        assert placed is not None
        said = [phone for word in placed for phone in word]
        theirs += [phone.log_likelihood or 0.0 for phone in said]
        rows = Segments.at(
            phones(*(phone.phone for phone in said)),
            np.array([(phone.start, phone.end) for phone in said], np.float32),
            np.repeat(np.arange(len(placed)), [len(word) for word in placed]),
        )
        ours += list(nativeness(recording.samples, rows, warp=1.0).phones)
    assert len(ours) > 50
    assert float(np.corrcoef(ours, np.maximum(theirs, FLOOR_NATS))[0, 1]) > 0.75


def test_a_phone_counts_the_frames_where_it_lies() -> None:
    spans = np.array([(0.2, 0.3), (0.5, 0.56)], np.float32)
    rows = Segments.at(phones("S", "SH"), spans, np.array([0, 1]))
    found = nativeness(NOISE, rows)
    expected = [fits(NOISE, "S")[20:30].mean(), fits(NOISE, "SH")[50:56].mean()]
    assert found.phones == pytest.approx(expected, abs=1e-3)
    assert found.phones.min() > FLOOR_NATS
    assert found.frames.tolist() == [10, 6]
    assert found.line == pytest.approx((10 * expected[0] + 6 * expected[1]) / 16, abs=1e-3)


def test_neighbours_count_where_no_silence_parts_them() -> None:
    near = np.array([(0.2, 0.3), (0.3, 0.4)], np.float32)
    apart = np.array([(0.1, 0.2), (0.3, 0.4)], np.float32)
    joined, parted = (
        nativeness(NOISE, Segments.at(phones("S", "T"), spans, np.array([0, 0]))).phones[1]
        for spans in (near, apart)
    )
    assert joined != pytest.approx(parted, abs=1e-3)


def test_nothing_is_told_apart_below_the_floor() -> None:
    buzz = np.sign(np.sin(np.arange(RATE) * 2 * np.pi * 120 / RATE)).astype(np.float32) / 10
    spans = np.array([(0.2, 0.3), (0.3, 0.4)], np.float32)
    rows = Segments.at(phones("TH", "P"), spans, np.array([0, 1]))
    assert nativeness(np.concatenate((0.01 * NOISE[:2000], buzz)), rows).phones.min() == FLOOR_NATS


def test_a_phone_past_the_last_frame_takes_the_last() -> None:
    spans = np.array([(0.5, 0.6), (0.99, 1.04)], np.float32)
    rows = Segments.at(phones("S", "SH"), spans, np.array([0, 1]))
    found = nativeness(NOISE, rows)
    assert found.phones[1] == pytest.approx(fits(NOISE, "SH")[-1], abs=1e-3)
    assert found.frames.tolist() == [10, 1]
