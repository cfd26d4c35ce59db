"""The committed speech is what the script makes, and each rendering differs in what it says."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import parselmouth
import pytest
import soundfile

from scripts.fixtures_check import differences, strangers
from scripts.fixtures_synthesis import SynthesisError, speak
from scripts.make_fixtures import FIXTURES, LINES, MALE_ACTOR, WRONG_SENTENCE, Fixtures

MANIFEST = json.loads((FIXTURES / "manifest.json").read_text())
RECORDINGS = {
    (entry["line"], entry["rendering"]): entry
    for entry in MANIFEST["recordings"]
    if entry["format"] == "flac"
}
LEARNED_LINES = [line.name for line in LINES if line.omitted]
REPLACED_LINES = [line.name for line in LINES if line.replaced]
SIZE_LIMIT_BYTES = 3_000_000


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    fixtures = Fixtures()
    fixtures.make()
    return fixtures.files


def intervals(textgrid: str, tier: str) -> list[tuple[float, float, str]]:
    text = (FIXTURES / textgrid).read_text().partition(f'name = "{tier}"')[2]
    text = text.partition("item [")[0]
    found = re.findall(r'xmin = (\S+)\s+xmax = (\S+)\s+text = "([^"]+)"', text)
    return [(float(start), float(end), mark) for start, end, mark in found]


def speech_seconds(entry: dict[str, Any]) -> float:
    words = intervals(entry["textgrid"], "words")
    return words[-1][1] - words[0][0]


def semitone_spread(entry: dict[str, Any]) -> float:
    samples, rate = soundfile.read(FIXTURES / entry["file"])
    hz = parselmouth.Sound(samples, rate).to_pitch_ac(0.01, 60, 500).selected_array["frequency"]
    return float(np.std(12 * np.log2(hz[hz > 0])))


def test_the_committed_files_are_what_the_script_makes(made: dict[str, bytes]) -> None:
    assert list(differences(made, FIXTURES)) == []
    assert list(strangers(made, FIXTURES)) == []


def test_a_changed_missing_or_added_file_is_noticed(made: dict[str, bytes], tmp_path: Path) -> None:
    for name, data in made.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    grid = tmp_path / "lantern/actor.TextGrid"
    grid.write_text(grid.read_text().replace('"lantern"', '"lamp"'))
    pitch = tmp_path / "lantern/pitch.json"
    pitch.write_text(re.sub(r'"hz": [\d.]+', '"hz": 300', pitch.read_text()))
    (tmp_path / "harbor/good.flac").write_bytes(made["harbor/actor.flac"])
    (tmp_path / "lantern/good.webm").unlink()
    (tmp_path / "old.flac").write_bytes(b"")

    assert sorted(differences(made, tmp_path)) == [
        "harbor/good.flac",
        "lantern/actor.TextGrid",
        "lantern/good.webm",
        "lantern/pitch.json",
    ]
    assert list(strangers(made, tmp_path)) == ["old.flac"]


def test_a_line_sounds_the_same_whatever_was_spoken_before() -> None:
    first = speak("Nobody came home.", MALE_ACTOR)
    speak(WRONG_SENTENCE, MALE_ACTOR)
    again = speak("Nobody came home.", MALE_ACTOR)
    assert np.array_equal(first.samples, again.samples)


def test_a_line_whose_words_the_synthesiser_joins_is_refused() -> None:
    with pytest.raises(SynthesisError, match="reword the line"):
        speak("We waited for the truth.", MALE_ACTOR)


@pytest.mark.parametrize("entry", RECORDINGS.values(), ids=lambda entry: str(entry["file"]))
def test_each_textgrid_holds_the_words_of_its_recording(entry: dict[str, Any]) -> None:
    info = soundfile.info(FIXTURES / entry["file"])
    assert (info.samplerate, info.channels) == (16_000, 1)
    assert info.duration == pytest.approx(entry["duration_s"], abs=0.001)
    if entry["textgrid"] is None:
        assert entry["text"] == ""
        return
    words = intervals(entry["textgrid"], "words")
    phones = intervals(entry["textgrid"], "phones")
    assert [mark for _, _, mark in words] == re.findall(r"[a-z]+", entry["text"].lower())
    assert all(re.fullmatch(r"[A-Z]+[012]?", mark) for _, _, mark in phones)
    assert {start for start, _, _ in words} <= {start for start, _, _ in phones}
    assert words[-1][1] < info.duration


def test_the_renderings_say_what_the_manifest_says() -> None:
    for line in LINES:
        actor = RECORDINGS[line.name, "actor"]["text"]
        assert RECORDINGS[line.name, "good"]["text"] == actor == line.text
        if line.omitted:
            words = RECORDINGS[line.name, "omitted"]["text"].split()
            assert sorted([*words, line.omitted]) == sorted(actor.split())


@pytest.mark.parametrize("line", LEARNED_LINES)
def test_the_monotone_rendering_is_flat_and_the_good_one_is_not(line: str) -> None:
    assert semitone_spread(RECORDINGS[line, "monotone"]) < 0.3
    assert semitone_spread(RECORDINGS[line, "good"]) > 1.5


@pytest.mark.parametrize("line", REPLACED_LINES)
def test_the_slower_rendering_takes_thirty_per_cent_longer(line: str) -> None:
    ratio = speech_seconds(RECORDINGS[line, "slower"]) / speech_seconds(RECORDINGS[line, "good"])
    assert ratio == pytest.approx(1.3, abs=0.03)


@pytest.mark.parametrize("line", [line.name for line in LINES])
def test_pitch_files_have_their_step_and_cover_the_clip(line: str) -> None:
    duration_s = RECORDINGS[line, "actor"]["duration_s"]
    for name, step_s in (("pitch", 0.01), ("pitch_coarse", 0.1)):
        frames = json.loads((FIXTURES / line / f"{name}.json").read_text())
        steps = np.diff([frame["time"] for frame in frames])
        assert steps == pytest.approx(step_s, abs=1e-3)
        assert duration_s - frames[-1]["time"] < step_s + 0.05
        assert any(frame["hz"] is None for frame in frames)


def test_film_time_is_the_actors_reference_moved() -> None:
    offset_s = MANIFEST["film_time_s"]
    plain = intervals("lantern/actor.TextGrid", "words")
    moved = intervals("lantern/film_time.TextGrid", "words")
    assert [start for start, _, _ in moved] == pytest.approx(
        [start + offset_s for start, _, _ in plain], abs=1e-3
    )


def test_all_of_it_stays_small(made: dict[str, bytes]) -> None:
    assert sum(map(len, made.values())) < SIZE_LIMIT_BYTES
