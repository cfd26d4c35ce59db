"""Words placed on native Gaussians, where there is no network."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from analysis import alignment
from analysis.aligned import Alignment
from analysis.alignment import Aligner
from analysis.audio import Recording
from analysis.native_alignment import native_spans, place_by_native_model
from analysis.native_model import STATES
from analysis.phones import PHONES
from analysis.placing import place
from analysis.pronunciations import Pronunciation
from analysis.reference import Reference
from analysis.trellis import best_places
from tests.analysis.sphinx_decoder import place_by_sphinx

if TYPE_CHECKING:
    from tests.analysis.conftest import Speech

RATE = 16_000
LINES = ("harbor", "lantern", "stranger", "winter")


@pytest.fixture(autouse=True)
def without_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, "load_network", lambda: None)


def placed(speech: Speech, line: str, samples: np.ndarray | None = None) -> Alignment:
    """A line on its actor's recording, or on other samples."""
    recording = speech.recording(line, "actor")
    if samples is not None:
        recording = Recording.from_samples(samples, RATE)
    found = Aligner().align(recording, speech.reference(line))
    assert found.method == "native"
    assert None not in found.words
    return found


@pytest.mark.parametrize("line", LINES)
def test_words_lie_where_the_synthesiser_put_them(speech: Speech, line: str) -> None:
    truths = [word.start for word in speech.reference(line).words if word.start is not None]
    words = placed(speech, line).placed
    errors = [abs(word.start - truth) for word, truth in zip(words, truths, strict=True)]
    assert np.median(errors) < 0.04
    assert max(errors) < 0.25


def test_every_phone_passes_all_of_its_states(speech: Speech) -> None:
    phones = [phone for word in placed(speech, "lantern").placed for phone in word.phones]
    assert min(phone.end - phone.start for phone in phones) >= 0.01 * STATES - 1e-9
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(phones))


@pytest.mark.parametrize("level", [0.0, 1e-4])
def test_silence_around_the_line_moves_no_word(speech: Speech, level: float) -> None:
    samples = speech.recording("harbor", "actor").samples
    silence = level * np.random.default_rng(3).standard_normal(3 * RATE).astype(np.float32)
    before = placed(speech, "harbor").placed
    after = placed(speech, "harbor", np.concatenate((silence, samples, silence))).placed
    moved = [b.start - a.start - 3.0 for a, b in zip(before, after, strict=True)]
    assert np.abs(moved).max() <= 0.03


def test_silence_that_is_most_of_a_recording_moves_no_word(speech: Speech) -> None:
    """Less than a twentieth of it is speech."""
    text = [word.text for word in speech.reference("harbor").words[:4]]
    reference = Reference.from_text(" ".join(text))
    end = placed(speech, "harbor").placed[3].end
    samples = speech.recording("harbor", "actor").samples[: int(end * RATE)]
    silence = np.zeros(26 * RATE, np.float32)
    alone, within = (
        Aligner().align(Recording.from_samples(sound, RATE), reference).placed
        for sound in (samples, np.concatenate((silence, samples, silence)))
    )
    moved = [b.start - a.start - 26.0 for a, b in zip(alone, within, strict=True)]
    assert np.abs(moved).max() <= 0.03


def test_it_places_phones_near_where_pocketsphinx_does(speech: Speech) -> None:
    apart = []
    for line in LINES:
        recording = speech.recording(line, "actor")
        words = [[phone.phone for phone in word.phones] for word in placed(speech, line).placed]
        spans = native_spans(recording.samples, words)
        assert spans is not None
        theirs = [phone.start for word in place_by_sphinx(recording, words) for phone in word]
        apart += list(np.abs(spans[:, 0] - 0.01 * np.array(theirs)))
    assert np.median(apart) <= 0.011
    assert np.mean(np.array(apart) <= 0.051) > 0.9


def test_less_sound_than_states_is_placed_nowhere() -> None:
    noise = 0.1 * np.random.default_rng(1).standard_normal(RATE // 10).astype(np.float32)
    text = [["HH", "AH", "L", "OW"]]
    assert native_spans(noise, text) is None
    spans = native_spans(np.tile(noise, 3), text)
    assert spans is not None
    assert (spans[:, 1] - spans[:, 0]).min() >= 0.01 * STATES - 1e-6


def test_of_two_pronunciations_the_one_that_was_said_is_taken(speech: Speech) -> None:
    recording = speech.recording("harbor", "actor")
    said = [tuple(phone.phone for phone in word.phones) for word in placed(speech, "harbor").placed]
    known = [Pronunciation((own,), "reference") for own in said]
    known[2] = Pronunciation((("ZH",) * len(said[2]), said[2]), "reference")
    found = place_by_native_model(recording, known)
    assert found is not None
    assert [tuple(phone.phone for phone in word) for word in found] == said


def test_a_line_that_fits_by_its_first_pronunciations_is_placed() -> None:
    """Longer ones that fit each word's stretch need not fit side by side."""
    evidence = np.zeros((4 * STATES + 2, len(PHONES) * STATES + 1))
    known = [Pronunciation((("AA",), ("AA", "B", "AA")), "reference")] * 4
    found = place(partial(best_places, each=STATES), evidence, known, frame_s=0.01)
    assert found is not None
    assert len(found[1].spans) == sum(map(len, found[0]))
