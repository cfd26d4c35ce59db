"""The form of a result."""

from __future__ import annotations

import json
import math

import pytest
from pydantic import BaseModel, ValidationError

import analysis.result as module
from analysis.result import AnalysisResult, PhoneResult, Scores, Span

SCORE_NAMES = [
    "overall", "pronunciation", "timing", "pitch", "fluency", "completeness", "prosody",
]  # fmt: skip


def minimal() -> dict[str, object]:
    return {
        "scores": dict.fromkeys(SCORE_NAMES, 50.0),
        "weights": {"pronunciation": 1.0},
        "words": [
            {
                "index": 0,
                "word": "mark",
                "status": "ok",
                "scores": {"overall": 90, "pronunciation": 90, "timing": None, "pitch": None},
                "reference": None,
                "user": {"start": 0.1, "end": 0.4},
                "phones": [{"phone": "M", "score": 91.234567, "start": 0.1, "end": 0.2}],
            }
        ],
        "pitch": {"contours": {"user": [[0.1, 1.0], [0.2, None]], "reference": []}},
        "timing": {},
        "fluency": {},
        "feedback": [],
        "audio": {
            "duration_s": 1.0,
            "container": "WAV",
            "codec": "PCM_16",
            "channels": 1,
            "sample_rate_hz": 16000,
            "peak_dbfs": -3.0,
            "rms_dbfs": None,
            "warnings": [],
            "waveform": {"step_s": 0.01, "peaks": [1, 2]},
        },
        "engine": {"version": "1"},
        "timings_ms": {"align": 1.5},
    }


def test_the_names_of_the_scores_are_those_of_the_contract() -> None:
    assert sorted(Scores.model_fields) == sorted(SCORE_NAMES)
    assert list(AnalysisResult.model_fields)[:3] == ["schema_version", "scores", "weights"]


def test_a_result_survives_its_own_json() -> None:
    result = AnalysisResult.model_validate(minimal())
    assert AnalysisResult.model_validate_json(result.model_dump_json()) == result
    assert json.loads(result.model_dump_json())["schema_version"] == "1.0"


def test_values_are_rounded_as_they_enter_and_minus_zero_is_none() -> None:
    assert Span(start=0.12345, end=-0.0001).model_dump_json() == '{"start":0.123,"end":0.0}'
    assert PhoneResult(phone="M", score=91.23456, start=0, end=1).score == 91.23


@pytest.mark.parametrize("value", [-0.1, 100.1, math.nan, math.inf])
def test_a_score_outside_the_scale_is_refused(value: float) -> None:
    with pytest.raises(ValidationError):
        PhoneResult(phone="M", score=value, start=0, end=1)


def test_a_score_beyond_the_scale_by_a_rounding_error_is_taken() -> None:
    assert PhoneResult(phone="M", score=100.0 + 1e-12, start=0, end=1).score == 100.0
    assert PhoneResult(phone="M", score=-1e-12, start=0, end=1).score == 0.0


def test_a_phone_says_what_was_heard_instead_only_when_something_was() -> None:
    plain = PhoneResult(phone="TH", score=None, start=0, end=1)
    heard = PhoneResult(phone="TH", score=20, start=0, end=1, said="S", said_confidence=0.8)
    assert set(plain.model_dump()) == {"phone", "score", "start", "end"}
    assert heard.model_dump()["said"] == "S"


def test_the_short_form_leaves_out_what_is_large_and_nothing_else() -> None:
    result = AnalysisResult.model_validate(minimal())
    short = result.compact()
    assert short.words[0].phones == []
    assert short.pitch.contours is None
    assert short.audio.waveform is None
    assert short.scores == result.scores
    assert result.words[0].phones, "the whole result is left as it was"


def test_a_field_of_a_later_version_is_no_error() -> None:
    assert AnalysisResult.model_validate(minimal() | {"new_block": {"a": 1}}).scores.overall == 50.0


def test_every_field_of_every_model_says_what_it_is() -> None:
    models = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.model_fields
    ]
    assert len(models) > 15
    for model in models:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
