"""Joining the measures in one result."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from analysis import scorer
from analysis.audio import Recording
from analysis.consensus import judge
from analysis.reference import Reference
from analysis.scoring import WEIGHTS, Options, blend, score, warm_up

if TYPE_CHECKING:
    from tests.analysis.conftest import Speech

# What the process that only moves bytes about must never load.
HEAVY = ("numpy", "parselmouth", "pocketsphinx", "librosa", "numba", "scipy", "onnxruntime")
TEXT = "You left the lantern burning, and nobody came home."


def test_importing_the_library_loads_nothing_heavy() -> None:
    program = (
        "import sys, analysis, analysis.result, analysis.errors\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    assert printed.strip() == "[]"


def test_scoring_without_reference_audio_never_loads_librosa(speech: Speech) -> None:
    program = (
        "import sys\n"
        "from analysis.scoring import warm_up\n"
        "warm_up()\n"
        "print([n for n in ('librosa', 'numba', 'scipy', 'torch') if n in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=100
    ).stdout
    assert printed.strip() == "[]"


def test_every_public_name_is_there_and_listed() -> None:
    import analysis

    for name in analysis.__all__:
        assert getattr(analysis, name) is not None
        assert name in dir(analysis)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = analysis.no_such_name


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    import analysis

    assert analysis.__version__ == version("analysis-worker")


@pytest.mark.parametrize(
    ("scores", "overall", "weights"),
    [
        ({"pronunciation": 80.0, "timing": 60.0, "pitch": 40.0}, 65.0, WEIGHTS),
        ({"pronunciation": 80.0, "timing": 50.0, "pitch": None}, 70.0, {"pronunciation": 2 / 3}),
        ({"pronunciation": None, "timing": 50.0, "pitch": 100.0}, 75.0, {"timing": 0.5}),
        ({"pronunciation": None, "timing": None, "pitch": None}, None, {}),
    ],
)
def test_weights_are_renormalised_over_the_scores_that_are_there(
    scores: dict[str, float | None], overall: float | None, weights: dict[str, float]
) -> None:
    found, shares = blend(scores, WEIGHTS)
    assert found == pytest.approx(overall)
    assert sum(shares.values()) == pytest.approx(1.0 if overall is not None else 0.0)
    assert {name: shares[name] for name in weights} == pytest.approx(weights)


def test_against_an_actor_overall_is_the_weighted_mean(speech: Speech) -> None:
    result = speech.scored("lantern", "good")
    scores = result.scores.model_dump()
    assert result.weights == WEIGHTS
    expected = sum(share * scores[name] for name, share in WEIGHTS.items())
    assert scores["overall"] == pytest.approx(expected, abs=0.02)


def test_without_a_contour_pitch_is_null_and_the_rest_is_reweighted(speech: Speech) -> None:
    full = speech.reference("lantern")
    result = score(speech.recording("lantern", "good"), replace(full, pitch=None))
    assert result.scores.pitch is None
    assert set(result.weights) == {"pronunciation", "timing"}
    assert result.pitch.contours is None
    assert result.pitch.user_median_hz is not None


def test_against_text_alone_there_is_no_timing_and_no_pitch(speech: Speech) -> None:
    result = score(speech.recording("lantern", "good"), Reference.from_text(TEXT))
    assert result.scores.timing is None
    assert result.scores.pitch is None
    assert result.scores.overall is not None
    assert sum(result.weights.values()) == pytest.approx(1.0)
    assert all(word.reference is None for word in result.words)
    assert [word.word for word in result.words] == TEXT.replace(",", "").rstrip(".").split()


def test_with_the_actors_audio_loudness_and_spectrum_are_told_and_overall_is_not_moved(
    speech: Speech,
) -> None:
    recording = speech.recording("lantern", "good")
    result = score(recording, speech.reference("lantern", audio=True))
    assert result.loudness is not None
    assert result.loudness.score is not None
    assert result.spectrum is not None
    assert result.spectrum.score is not None
    assert result.scores == speech.scored("lantern", "good").scores


def test_the_actors_audio_stands_in_for_a_missing_contour(speech: Speech) -> None:
    reference = replace(speech.reference("lantern", audio=True), pitch=None)
    result = score(speech.recording("lantern", "good"), reference)
    assert result.scores.pitch == pytest.approx(
        speech.scored("lantern", "good").scores.pitch, abs=2.0
    )


def test_words_follow_the_reference_and_lie_in_order_on_the_recording(speech: Speech) -> None:
    result = speech.scored("harbor", "good")
    reference = speech.reference("harbor")
    assert [word.word for word in result.words] == [word.text for word in reference.words]
    assert [word.index for word in result.words] == list(range(len(reference.words)))
    spans = [word.user for word in result.words if word.user]
    assert all(span.start < span.end for span in spans)
    assert all(a.end <= b.start + 0.001 for a, b in itertools.pairwise(spans))
    for word in result.words:
        if word.user and word.phones:
            assert word.phones[0].start >= word.user.start - 0.02
            assert word.phones[-1].end <= word.user.end + 0.02


def test_a_ten_second_line_is_about_twenty_kilobytes_and_its_short_form_below_ten(
    speech: Speech,
) -> None:
    result = speech.scored("winter", "good")
    assert result.audio.duration_s > 8.0
    assert len(result.model_dump_json()) < 26_000
    assert len(result.compact().model_dump_json()) < 10_000


def test_stages_are_timed(speech: Speech) -> None:
    spent = speech.scored("lantern", "good").timings_ms
    assert {"align", "pitch", "assess", "compare"} <= set(spent)
    assert all(value >= 0.0 for value in spent.values())


def test_feedback_is_told_in_the_language_asked_for(speech: Speech) -> None:
    recording, reference = speech.recording("lantern", "slower"), speech.reference("lantern")
    korean = score(recording, reference, options=Options(language="ko"))
    english = speech.scored("lantern", "slower")
    assert [item.code for item in korean.feedback] == [item.code for item in english.feedback]
    assert any("가" <= letter <= "힣" for letter in korean.feedback[0].message)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"profile": "Accurate"}, "profile 'Accurate': give accurate or fast"),
        ({"language": "fr"}, "language 'fr': give en or ko"),
    ],
)
def test_an_option_that_is_not_known_names_those_that_are(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Options(**given)


@pytest.mark.parametrize("samples", [1, 100, 1599, 1600, 4000, 8000])
def test_scraps_of_sound_are_scored_without_an_error(speech: Speech, samples: int) -> None:
    whole = speech.recording("lantern", "good")
    scrap = Recording.from_samples(whole.samples[8000 : 8000 + samples], whole.sample_rate)
    for reference in (speech.reference("lantern"), Reference.from_text(TEXT)):
        result = score(scrap, reference)
        assert len(result.words) == 9
        assert result.audio.warnings or samples >= 4800


def test_warming_up_needs_no_input_and_can_be_repeated() -> None:
    warm_up()
    warm_up()


def test_the_warm_up_runs_the_network_to_its_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []

    def counting(*args: Any, **kwargs: Any) -> Any:
        judged.append(kwargs["profile"])
        return judge(*args, **kwargs)

    monkeypatch.setattr(scorer, "judge", counting)
    warm_up()
    assert judged == ["accurate", "fast"]
