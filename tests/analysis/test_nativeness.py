"""How native a phone sounds: cepstra, native Gaussians, and their mean over a phone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.alignment import Aligner
from analysis.cepstra import CEPSTRA, cepstra
from analysis.gop import GOP_FLOOR_NATS
from analysis.native_model import NativeModel, load_native_model
from analysis.nativeness import nativeness, phone_means
from analysis.phones import PHONE_INDEX, PHONES
from analysis.pronunciations import Pronunciation
from analysis.segments import Segments, segments
from analysis.sphinx import place_by_sphinx

if TYPE_CHECKING:
    from tests.analysis.conftest import Speech

RATE = 16_000
MODEL = load_native_model()
NOISE = 0.1 * np.random.default_rng(1).standard_normal(RATE).astype(np.float32)


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
    fits = MODEL.fits(cepstra(sound.astype(np.float32)))
    assert np.isfinite(fits).all()
    assert fits.max() <= 0.0


def test_some_phone_fits_every_frame_best() -> None:
    fits = MODEL.fits(cepstra(NOISE))
    assert fits.shape == (98, len(PHONES) + 1)
    assert fits.max(axis=1) == pytest.approx(np.zeros(98))


def test_frames_fit_alike_whatever_stands_beside_them() -> None:
    features = cepstra(np.tile(NOISE, 4))
    assert MODEL.fits(features[:, 100:110]) == pytest.approx(
        MODEL.fits(features)[100:110], abs=1e-3
    )


def test_a_fit_is_the_log_density_of_a_mixture_of_gaussians() -> None:
    rng = np.random.default_rng(2)
    classes, densities, states = len(PHONES) + 1, 5, 3
    means = rng.normal(size=(3, classes, densities, CEPSTRA))
    variances = rng.uniform(0.5, 2.0, means.shape)
    weights = rng.dirichlet(np.ones(densities), (3, classes, states)).transpose(0, 1, 3, 2)
    constants = -0.5 * (np.log(2 * math.pi * variances) + means**2 / variances).sum(-1)[..., None]
    terms = np.concatenate((-0.5 / variances, means / variances, constants), -1)
    model = NativeModel(
        tuple(one.transpose(0, 2, 1).astype(np.float32) for one in terms),
        tuple(one.astype(np.float32) for one in weights),
    )
    x = rng.normal(size=(3, CEPSTRA))
    density = np.prod(
        np.exp(-0.5 * (x[:, None, None] - means) ** 2 / variances)
        / np.sqrt(2 * math.pi * variances),
        axis=-1,
    )
    likelihoods = np.prod(np.einsum("fcd,fcds->fcs", density, weights), axis=0)
    expected = np.log(likelihoods.max(axis=1)) - np.log(likelihoods.max())
    assert MODEL.densities[0].shape == (classes, 2 * CEPSTRA + 1, 128)
    assert model.fits(x[:, None].astype(np.float32))[0] == pytest.approx(expected, abs=1e-3)


def test_weights_of_a_state_sum_to_one() -> None:
    for weights in MODEL.weights:
        assert weights.sum(axis=1) == pytest.approx(np.ones((len(PHONES) + 1, 3)), abs=1e-4)


def test_it_says_what_pocketsphinx_says_of_the_same_phones(speech: Speech) -> None:
    """With the filters where PocketSphinx has them, whose states know their neighbours besides."""
    ours, theirs = [], []
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
        phones = [phone for word in placed for phone in word]
        theirs += [phone.log_likelihood or 0.0 for phone in phones]
        fits = MODEL.fits(cepstra(recording.samples, warp=1.0))
        start, past = np.rint([(100 * p.start, 100 * p.end) for p in phones]).astype(int).T
        ours += list(phone_means(fits, segments(aligned.placed).phones, start, past))
    assert len(ours) > 50
    floored = np.maximum(theirs, GOP_FLOOR_NATS)
    assert float(np.corrcoef(ours, floored)[0, 1]) > 0.55


def phones(*names: str) -> NDArray[np.int64]:
    return np.array([PHONE_INDEX[name] for name in names])


def test_a_phone_is_as_native_as_its_frames_are_on_average() -> None:
    fits = np.full((30, len(PHONES) + 1), -5.0, np.float32)
    fits[10:20, PHONE_INDEX["AA"]] = -1.0
    fits[15:20, PHONE_INDEX["AA"]] = -2.0
    start, past = np.array([10, 5, 10]), np.array([20, 15, 20])
    found = phone_means(fits, phones("AA", "AA", "IY"), start, past)
    assert found == pytest.approx([-1.5, -3.0, -5.0])


def test_nothing_is_told_apart_below_the_floor() -> None:
    fits = np.full((30, len(PHONES) + 1), -50.0, np.float32)
    found = phone_means(fits, phones("AA"), np.array([10]), np.array([20]))
    assert found == pytest.approx([GOP_FLOOR_NATS])


def test_a_phone_counts_the_frames_where_it_lies() -> None:
    spans = np.array([(0.2, 0.3), (0.5, 0.56)], np.float32)
    rows = Segments.at(phones("S", "AA"), spans, np.zeros(2, np.int64))
    fits = MODEL.fits(cepstra(NOISE))
    expected = [fits[20:30, PHONE_INDEX["S"]].mean(), fits[50:56, PHONE_INDEX["AA"]].mean()]
    found = nativeness(NOISE, rows)
    assert found == pytest.approx(np.maximum(expected, GOP_FLOOR_NATS), abs=1e-3)
    assert found[0] > GOP_FLOOR_NATS


def test_a_phone_past_the_last_frame_takes_the_last() -> None:
    spans = np.array([(0.5, 0.6), (0.99, 1.04)], np.float32)
    rows = Segments.at(phones("S", "AA"), spans, np.zeros(2, np.int64))
    last = MODEL.fits(cepstra(NOISE))[-1, PHONE_INDEX["AA"]]
    assert nativeness(NOISE, rows)[1] == pytest.approx(max(last, GOP_FLOOR_NATS), abs=1e-3)
