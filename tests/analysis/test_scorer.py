"""The judge of a line: better is never worse, nothing is scored that was not said."""

import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis import alignment, scorer
from analysis.alignment import Aligner
from analysis.assessment import Assessment, Profile
from analysis.audio import Recording
from analysis.contour import PitchContour
from analysis.pitch import track_pitch
from analysis.reference import Reference
from analysis.scorer import assess

FIXTURES = Path(__file__).parents[1] / "fixtures"
RATE = 16_000


def recording(path: str) -> Recording:
    return Recording.from_file(FIXTURES / path)


def reference(line: str) -> Reference:
    return Reference.from_textgrid((FIXTURES / line / "actor.TextGrid").read_bytes())


def judge(heard: Recording, text: Reference, *, profile: Profile = "accurate") -> Assessment:
    alignment = Aligner().align(heard, text)
    return assess(heard, text, alignment, pitch=track_pitch(heard), profile=profile)


def of_samples(samples: NDArray[np.floating]) -> Recording:
    return Recording.from_samples(np.asarray(samples, np.float32), RATE)


def given(score: float | None) -> float:
    """A score that must be there."""
    assert score is not None
    return score


@pytest.fixture(scope="module")
def good() -> Assessment:
    return judge(recording("lantern/good.flac"), reference("lantern"))


def test_every_phone_word_and_the_line_have_scores_between_0_and_100(good: Assessment) -> None:
    assert good.speech == "ok"
    assert [word.index for word in good.words] == list(range(9))
    scores = [phone.score for word in good.words for phone in word.phones]
    scores += [word.score for word in good.words]
    scores += [good.pronunciation, good.fluency, good.prosody, good.completeness, good.total]
    assert all(0.0 <= given(score) <= 100.0 for score in scores)


def test_the_engine_says_what_judged(good: Assessment) -> None:
    assert good.engine["scorer"].startswith("network")
    assert good.engine["aligner"] == "network"


def test_the_total_is_the_blend_that_its_weights_say(good: Assessment) -> None:
    assert sum(good.weights.values()) == pytest.approx(1.0, abs=1e-3)
    parts = {"pronunciation": good.pronunciation, "fluency": good.fluency, "prosody": good.prosody}
    assert good.total == pytest.approx(sum(good.weights[k] * given(v) for k, v in parts.items()))


def test_the_fast_profile_judges_alike(good: Assessment) -> None:
    fast = judge(recording("lantern/good.flac"), reference("lantern"), profile="fast")
    assert fast.engine["profile"] == "fast"
    assert fast.pronunciation == pytest.approx(good.pronunciation, abs=12)
    assert [word.status for word in fast.words] == [word.status for word in good.words]


@pytest.fixture
def without_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "load_network", lambda: None)
    monkeypatch.setattr(alignment, "load_network", lambda: None)


@pytest.mark.usefixtures("without_the_network")
def test_without_the_network_gop_scores_and_says_so() -> None:
    found = judge(recording("lantern/good.flac"), reference("lantern"))
    assert found.engine["scorer"] == "gop"
    assert found.engine["aligner"] == "native"
    assert 0.0 < given(found.pronunciation) <= 100.0
    assert all(word.score is not None for word in found.words)


@pytest.mark.usefixtures("without_the_network")
def test_without_the_network_another_sentence_and_a_word_left_out_are_told() -> None:
    found = judge(recording("lantern/omitted.flac"), reference("lantern"))
    place = [word.text for word in reference("lantern").words].index("lantern")
    assert [word.index for word in found.words if word.status == "omitted"] == [place]
    assert judge(recording("lantern/good.flac"), other_sentence()).speech == "wrong_text"


def test_a_replaced_word_scores_far_below_the_same_word_said_well(good: Assessment) -> None:
    place = [word.text for word in reference("lantern").words].index("burning")
    replaced = judge(recording("lantern/replaced.flac"), reference("lantern"))
    assert given(replaced.words[place].score) < given(good.words[place].score) - 20
    assert given(replaced.pronunciation) < given(good.pronunciation)


def test_an_omitted_word_is_told_and_lowers_completeness(good: Assessment) -> None:
    place = [word.text for word in reference("lantern").words].index("lantern")
    found = judge(recording("lantern/omitted.flac"), reference("lantern"))
    assert found.words[place].status == "omitted"
    assert found.words[place].score == 0.0
    assert found.completeness == pytest.approx(100 * 8 / 9)
    assert given(found.pronunciation) < given(good.pronunciation)


def test_no_word_of_a_whole_line_is_called_omitted(good: Assessment) -> None:
    assert {word.status for word in good.words} <= {"ok", "mispronounced"}
    assert good.completeness == 100.0


def other_sentence() -> Reference:
    """Another line than that of the lantern."""
    return Reference.from_text(
        json.loads((FIXTURES / "manifest.json").read_text())["lines"][1]["text"]
    )


def test_another_sentence_gets_zeros_and_says_so() -> None:
    found = judge(recording("lantern/good.flac"), other_sentence())
    assert found.speech == "wrong_text"
    assert found.pronunciation == found.total == found.completeness == 0.0
    assert all(word.status == "omitted" for word in found.words)


RNG = np.random.default_rng(5)
TIME = np.arange(3 * RATE) / RATE
CHORD = sum(np.sin(2 * np.pi * hz * TIME) for hz in (261.6, 329.6, 392.0)) / 6
MELODY = np.concatenate(
    [np.sin(2 * np.pi * hz * TIME[: RATE // 2]) for hz in (262, 294, 330, 349, 392, 440)]
)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(2 * RATE),
        0.1 * RNG.standard_normal(3 * RATE),
        0.3 * np.sin(2 * np.pi * 440 * TIME),
        CHORD,
        0.3 * MELODY,
        0.2 * np.sign(np.sin(2 * np.pi * 120 * TIME)) * (np.sin(2 * np.pi * 3 * TIME) > 0),
        np.eye(1, 3 * RATE)[0],
    ],
    ids=["silence", "white noise", "tone", "chord", "melody", "buzzer", "click"],
)
def test_what_is_not_speech_gets_zeros(samples: NDArray[np.float64]) -> None:
    found = judge(of_samples(samples), reference("lantern"))
    assert found.speech in ("no_speech", "wrong_text")
    assert found.pronunciation == found.fluency == found.prosody == found.total == 0.0


SOUNDS = {
    "tone": 0.3 * np.sin(2 * np.pi * 440 * TIME),
    "chord": CHORD,
    "melody": 0.3 * MELODY,
    "buzz": 0.2 * np.sign(np.sin(2 * np.pi * 120 * TIME)),
}


@pytest.mark.parametrize("level", [0.0, 1e-3], ids=["nothing", "hiss"])
@pytest.mark.parametrize("sound", SOUNDS)
def test_a_sound_in_silence_is_no_more_speech_than_by_itself(sound: str, level: float) -> None:
    samples = np.pad(SOUNDS[sound], 2 * RATE)
    samples = samples + level * RNG.standard_normal(len(samples))
    found = judge(of_samples(samples), Reference.from_text("no"))
    assert found.speech == "no_speech"
    assert found.total == 0.0


@pytest.mark.parametrize("decibels", [7.0, 5.0])
@pytest.mark.parametrize("line", ["lantern", "harbor", "stranger", "winter"])
def test_speech_in_loud_noise_is_speech(line: str, decibels: float) -> None:
    samples = recording(f"{line}/good.flac").samples
    noise = np.random.default_rng(7).standard_normal(len(samples))
    level = np.sqrt(np.mean(np.square(samples))) * 10.0 ** (-decibels / 20.0)
    assert judge(of_samples(samples + level * noise), reference(line)).speech != "no_speech"


@pytest.mark.parametrize("before_s", [0.3, 10.0])
def test_a_steady_vowel_as_long_as_a_syllable_is_speech(before_s: float) -> None:
    """A tone is as steady, but longer; here the recording ends before the vowel does."""
    time = np.arange(int(0.7 * RATE)) / RATE
    vowel = sum(np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 20))
    samples = np.concatenate((np.zeros(int(before_s * RATE)), 0.2 * vowel))
    samples = samples + 0.02 * RNG.standard_normal(len(samples))
    assert judge(of_samples(samples), Reference.from_text("oh")).speech != "no_speech"


def test_a_line_that_nothing_could_place_has_no_scores() -> None:
    korean = Reference.from_text("안녕 하세요")
    found = judge(recording("lantern/good.flac"), korean)
    assert found.pronunciation is None
    assert found.total is None
    assert [word.score for word in found.words] == [None, None]


def test_speech_without_any_pitch_is_still_judged() -> None:
    heard = recording("lantern/good.flac")
    text = reference("lantern")
    hz = track_pitch(heard)
    few = PitchContour.from_points(hz.times, np.where(np.arange(len(hz.hz)) % 3, np.nan, hz.hz))
    found = assess(heard, text, Aligner().align(heard, text), pitch=few)
    assert found.speech == "ok"


def mixed(
    line: Reference, words: Sequence[int], good_heard: Recording, bad_heard: Recording
) -> Recording:
    """The good rendering with some words, by index, taken from the bad one."""
    places = Aligner().align(good_heard, line).words
    donors = Aligner().align(bad_heard, line).words
    pieces, at = [], 0
    for index in words:
        place, donor = places[index], donors[index]
        assert place is not None
        assert donor is not None
        start, end = (int(RATE * t) for t in (place.start, place.end))
        taken = slice(int(RATE * donor.start), int(RATE * donor.end))
        pieces += [good_heard.samples[at:start], bad_heard.samples[taken]]
        at = end
    return of_samples(np.concatenate([*pieces, good_heard.samples[at:]]))


def test_each_word_that_is_said_worse_lowers_itself_and_the_line(good: Assessment) -> None:
    text, heard = reference("lantern"), recording("lantern/good.flac")
    noise = of_samples(0.05 * RNG.standard_normal(len(heard.samples)))
    before = given(good.pronunciation)
    spoilt = heard.samples.copy()
    for word in (Aligner().align(heard, text).words[i] for i in (1, 4, 6)):
        assert word is not None
        span = slice(int(RATE * word.start), int(RATE * word.end))
        spoilt[span] = noise.samples[span]
        found = judge(of_samples(spoilt), text)
        assert given(found.words[word.index].score) < given(good.words[word.index].score)
        assert given(found.pronunciation) < before
        before = given(found.pronunciation)


def test_a_mixture_lies_between_good_and_bad(good: Assessment) -> None:
    text = reference("lantern")
    place = [word.text for word in text.words].index("burning")
    heard, bad = recording("lantern/good.flac"), recording("lantern/replaced.flac")
    found = judge(mixed(text, [place], heard, bad), text)
    assert given(found.words[place].score) < given(good.words[place].score)
    assert given(found.pronunciation) < given(good.pronunciation)


@pytest.mark.parametrize("silenced", [True, False], ids=["silenced", "cut out"])
@pytest.mark.parametrize(("line", "index"), [("lantern", 5), ("lantern", 6), ("lantern", 8)])
def test_a_word_of_three_phones_that_was_not_said_has_next_to_no_score(
    line: str, index: int, silenced: bool
) -> None:
    heard = recording(f"{line}/good.flac")
    word = Aligner().align(heard, reference(line)).words[index]
    assert word is not None
    before, after = (heard.samples[: int(RATE * word.start)], heard.samples[int(RATE * word.end) :])
    between = np.zeros(len(heard.samples) - len(before) - len(after) if silenced else 0, np.float32)
    found = judge(of_samples(np.concatenate((before, between, after))), reference(line))
    assert found.words[index].status != "ok"
    assert given(found.words[index].score) < 20.0
    assert all(given(phone.score) < 20.0 for phone in found.words[index].phones)


@pytest.mark.parametrize("line", ["lantern", "harbor", "stranger", "winter"])
def test_a_line_played_backwards_is_not_the_line(line: str) -> None:
    found = judge(of_samples(recording(f"{line}/good.flac").samples[::-1]), reference(line))
    assert given(found.total) < 35.0


@pytest.mark.parametrize(("word", "text"), [("before", "hello"), ("never", "no"), ("told", "stop")])
def test_another_word_scores_far_below_the_same_word(word: str, text: str) -> None:
    line = "stranger" if word == "before" else "harbor"
    heard = recording(f"{line}/good.flac")
    place = next(one for one in Aligner().align(heard, reference(line)).placed if one.word == word)
    alone = of_samples(
        heard.samples[int(RATE * (place.start - 0.05)) : int(RATE * (place.end + 0.05))]
    )
    assert given(judge(alone, Reference.from_text(text)).total) < 35.0
    assert given(judge(alone, Reference.from_text(word)).total) > 60.0


def _summary(line: str) -> tuple[float | None, tuple[float | None, ...]]:
    found = judge(recording(f"{line}/good.flac"), reference(line))
    return found.total, tuple(word.score for word in found.words)


def test_scores_are_equal_to_the_bit_in_any_order_and_in_another_process() -> None:
    lines = ["lantern", "stranger", "harbor"]
    forward = [_summary(line) for line in lines]
    backward = [_summary(line) for line in reversed(lines)][::-1]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        elsewhere = list(pool.map(_summary, lines))
    assert forward == backward == elsewhere
