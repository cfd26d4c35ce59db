"""The command ``python -m analysis``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from analysis.__main__ import EXIT_BAD_INPUT, app
from analysis.result import AnalysisResult

if TYPE_CHECKING:
    from tests.analysis.conftest import Speech


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def inputs(speech: Speech) -> list[Path]:
    names = ("good.flac", "actor.TextGrid", "pitch.json")
    return [speech.path("lantern", name) for name in names]


def test_score_prints_a_table_of_words_and_the_feedback(inputs: list[Path]) -> None:
    result = run("score", *inputs)
    assert result.exit_code == 0
    for expected in ("overall", "pronunciation", "lantern", "burning", "s of audio"):
        assert expected in result.output


def test_score_as_json_is_the_result_with_the_decoding_timed(
    inputs: list[Path], speech: Speech
) -> None:
    result = run("score", *inputs, "--json")
    parsed = AnalysisResult.model_validate_json(result.output)
    assert parsed.without_timings() == speech.scored("lantern", "good").without_timings()
    assert "decode" in parsed.timings_ms


def test_score_takes_the_text_alone(inputs: list[Path]) -> None:
    result = run("score", inputs[0], "--text", "You left the lantern burning", "--json")
    parsed = AnalysisResult.model_validate_json(result.output)
    assert [word.word for word in parsed.words][:2] == ["You", "left"]
    assert parsed.scores.timing is None


def test_score_takes_the_actors_audio_and_another_language(
    inputs: list[Path], speech: Speech
) -> None:
    actor = speech.path("lantern", "actor.flac")
    result = run("score", *inputs, "--reference-audio", actor, "--language", "ko", "--json")
    parsed = AnalysisResult.model_validate_json(result.output)
    assert parsed.loudness is not None


@pytest.mark.parametrize("arguments", [(), ("--text", "You left")])
def test_a_textgrid_and_a_text_exclude_each_other(
    inputs: list[Path], arguments: tuple[str, ...]
) -> None:
    given = inputs[:1] if not arguments else inputs[:2]
    assert run("score", *given, *arguments).exit_code != 0


def test_a_file_that_is_not_audio_is_refused_with_its_code(inputs: list[Path]) -> None:
    result = run("score", inputs[1], "--text", "You left")
    assert result.exit_code == EXIT_BAD_INPUT
    assert "audio_invalid" in result.output


def test_a_missing_file_is_named(inputs: list[Path], tmp_path: Path) -> None:
    result = run("score", tmp_path / "nowhere.wav", *inputs[1:])
    assert result.exit_code == EXIT_BAD_INPUT
    assert "nowhere.wav" in result.output


def test_report_draws_results_and_events(inputs: list[Path], tmp_path: Path) -> None:
    scored = json.loads(run("score", *inputs, "--json").output)
    event = {"type": "analysis.completed", "data": {"job_id": "j-1", "result": scored}}
    (tmp_path / "one.json").write_text(json.dumps(scored))
    (tmp_path / "two.json").write_text(json.dumps(event))
    out = tmp_path / "drawn"
    result = run("report", tmp_path / "one.json", tmp_path / "two.json", "--out", out)
    assert result.exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "one.html", "one.png", "two.html", "two.png",
    ]  # fmt: skip
    assert (out / "one.html").read_bytes() == (out / "two.html").read_bytes()


@pytest.mark.parametrize("text", ["{}", "no json", '{"data": {"error": {}}}', "[1]"])
def test_report_refuses_what_is_no_result(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    result = run("report", path)
    assert result.exit_code == EXIT_BAD_INPUT
    assert "is not a result" in result.output


def test_warmup_says_what_it_did() -> None:
    result = run("warmup")
    assert result.exit_code == 0
    assert "models loaded and run" in result.output
    assert "numba" in result.output


def test_it_runs_as_a_module() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "analysis", "--help"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    for command in ("score", "report", "warmup"):
        assert command in printed
