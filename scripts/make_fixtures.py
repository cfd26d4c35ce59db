"""Make the speech in tests/fixtures: lines spoken by espeak-ng, with TextGrids and pitch.

    python scripts/make_fixtures.py            write the files and manifest.json
    python scripts/make_fixtures.py --check    synthesise again and compare with what is committed

Each line has an actor (the reference) and learners who say it well or badly in one known way,
so a test can say which score has to move. The words and phones in every TextGrid are the
synthesiser's own timing of that very recording, not an aligner's guess.
"""

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.fixtures_check import differences, strangers
from scripts.fixtures_media import (
    SAMPLE_RATE_HZ,
    as_recorded,
    flac,
    lossy,
    noise,
    speech_seconds,
)
from scripts.fixtures_reference import pitch_json, textgrid
from scripts.fixtures_synthesis import Utterance, Voice, speak, synthesiser_version

FIXTURES: Final = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
PITCH_STEPS_S: Final = {"pitch": 0.01, "pitch_coarse": 0.1}

_ACTOR_LEAD_S: Final = 0.10
_LEARNER_LEAD_S: Final = 0.28  # people start late
_SLOWER: Final = 1.3
_SLOWER_RATES_WPM: Final = range(100, 126)
_FILM_TIME_S: Final = 1834.27
_NO_SPEECH_SAMPLES: Final = round(2.5 * SAMPLE_RATE_HZ)
_LOUD_NOISE_DBFS: Final = -35.0

MALE_ACTOR: Final = Voice("en-us+m1", "male", pitch=50, pitch_range=80, words_per_minute=150)
FEMALE_ACTOR: Final = Voice("en-us+f2", "female", pitch=50, pitch_range=80, words_per_minute=150)
MALE_LEARNER: Final = Voice("en-us", "male", pitch=46, pitch_range=74, words_per_minute=147)
FEMALE_LEARNER: Final = Voice("en-us+f5", "female", pitch=52, pitch_range=74, words_per_minute=147)

WRONG_SENTENCE: Final = "My brother sells seven kinds of bread outside every school."


@dataclass(frozen=True)
class Line:
    """One line of a film that was never made: `omitted` and `replaced` are what to change in it."""

    name: str
    text: str
    actor: Voice
    learner: Voice
    omitted: str | None = None
    replaced: tuple[str, str] | None = None


LINES: Final = (
    Line(
        "lantern",
        "You left the lantern burning, and nobody came home.",
        MALE_ACTOR,
        FEMALE_LEARNER,
        omitted="lantern",
        replaced=("burning", "swinging"),
    ),
    Line(
        "harbor",
        "I told you once, the harbor keeps its own time, and it never waits for people like us.",
        FEMALE_ACTOR,
        MALE_LEARNER,
        omitted="never",
        replaced=("people", "captains"),
    ),
    Line(
        "stranger",
        "Why would anybody trust a stranger who smiles before breakfast?",
        MALE_ACTOR,
        MALE_LEARNER,
        omitted="stranger",
    ),
    Line(
        "winter",
        "Do you remember the winter at the lake? You promised me we would go back there together, "
        "and every year I packed a bag and waited by the window.",
        FEMALE_ACTOR,
        FEMALE_LEARNER,
    ),
)


@dataclass(frozen=True)
class Entry:
    """One recording in manifest.json; `textgrid` says what was truly spoken in it, and when."""

    file: str
    line: str | None
    rendering: str
    text: str
    voice: Voice | None
    duration_s: float
    format: str
    textgrid: str | None


@dataclass(frozen=True)
class Take:
    """One thing somebody says: which line it answers to, how, in what words, in whose voice."""

    line: str
    rendering: str
    text: str
    voice: Voice
    lead_s: float = _LEARNER_LEAD_S

    @property
    def stem(self) -> str:
        """Its path under the fixtures, without the ending."""
        return f"{self.line}/{self.rendering}" if self.line else self.rendering


class Fixtures:
    """Every fixture as bytes by its path under tests/fixtures, made in one fixed order."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.entries: list[Entry] = []

    def make(self) -> None:
        """Synthesise all of it."""
        for line in LINES:
            self._actor(line)
            self._learner(line)
        self._say(Take("", "wrong_sentence", WRONG_SENTENCE, FEMALE_LEARNER))
        self._no_speech("silence", noise(_NO_SPEECH_SAMPLES, seed=1))
        self._no_speech("noise", noise(_NO_SPEECH_SAMPLES, _LOUD_NOISE_DBFS, seed=2))
        self._film_time(LINES[0])
        self.files["manifest.json"] = self._manifest()

    def _actor(self, line: Line) -> None:
        spoken = self._say(Take(line.name, "actor", line.text, line.actor, _ACTOR_LEAD_S))
        for name, step_s in PITCH_STEPS_S.items():
            contour = pitch_json(spoken.samples, spoken.sample_rate, step_s)
            self.files[f"{line.name}/{name}.json"] = contour

    def _learner(self, line: Line) -> None:
        take = Take(line.name, "good", line.text, line.learner)
        good = self._say(take)
        if line.omitted:
            flat = replace(line.learner, pitch_range=0)
            self._say(replace(take, rendering="monotone", voice=flat))
            shorter = line.text.replace(f"{line.omitted} ", "", 1)
            self._say(replace(take, rendering="omitted", text=shorter))
        if line.replaced:
            other = line.text.replace(*line.replaced, 1)
            self._say(replace(take, rendering="replaced", text=other))
            self._say(replace(take, rendering="slower", voice=self._slower(take, good)))
        if line is LINES[0]:
            for suffix in ("webm", "m4a"):
                self._keep(take, good, suffix, lossy(good.samples, suffix))

    def _slower(self, take: Take, good: Utterance) -> Voice:
        """The learner at the whole number of words a minute that comes nearest to 30 % slower."""
        wanted_s = speech_seconds(good) * _SLOWER
        voices = [replace(take.voice, words_per_minute=rate) for rate in _SLOWER_RATES_WPM]
        return min(
            voices,
            key=lambda voice: abs(speech_seconds(_recorded(replace(take, voice=voice))) - wanted_s),
        )

    def _say(self, take: Take) -> Utterance:
        spoken = _recorded(take)
        self.files[f"{take.stem}.TextGrid"] = textgrid(spoken.words, spoken.duration)
        self._keep(take, spoken, "flac", flac(spoken.samples))
        return spoken

    def _keep(self, take: Take, spoken: Utterance, suffix: str, data: bytes) -> None:
        self.files[f"{take.stem}.{suffix}"] = data
        self.entries.append(
            Entry(
                file=f"{take.stem}.{suffix}",
                line=take.line or None,
                rendering=take.rendering,
                text=take.text,
                voice=take.voice,
                duration_s=round(spoken.duration, 3),
                format=suffix,
                textgrid=f"{take.stem}.TextGrid",
            )
        )

    def _no_speech(self, name: str, samples: NDArray[np.float32]) -> None:
        self.files[f"{name}.flac"] = flac(samples)
        duration_s = round(len(samples) / SAMPLE_RATE_HZ, 3)
        self.entries.append(Entry(f"{name}.flac", None, name, "", None, duration_s, "flac", None))

    def _film_time(self, line: Line) -> None:
        """The actor's reference once more, with the times it had in the film."""
        spoken = _recorded(Take(line.name, "actor", line.text, line.actor, _ACTOR_LEAD_S))
        self.files[f"{line.name}/film_time.TextGrid"] = textgrid(
            spoken.words, spoken.duration, offset_s=_FILM_TIME_S
        )
        self.files[f"{line.name}/film_time_pitch.json"] = pitch_json(
            spoken.samples,
            spoken.sample_rate,
            PITCH_STEPS_S["pitch_coarse"],
            offset_s=_FILM_TIME_S,
        )

    def _manifest(self) -> bytes:
        manifest = {
            "about": "Synthetic speech. Made by scripts/make_fixtures.py; do not edit by hand.",
            "synthesiser": synthesiser_version(),
            "timing": "words and phones of each TextGrid are the synthesiser's own phoneme events, "
            "mapped to ARPAbet; a phoneme that stands for two phones is split in the middle",
            "pitch": "Praat autocorrelation; pitch.json each 0.01 s, pitch_coarse.json each 0.1 s",
            "film_time_s": _FILM_TIME_S,
            "lines": [
                {
                    "name": line.name,
                    "text": line.text,
                    "omitted": line.omitted,
                    "replaced": line.replaced,
                    "reference_audio": f"{line.name}/actor.flac",
                    "textgrid": f"{line.name}/actor.TextGrid",
                    "pitch": f"{line.name}/pitch.json",
                    "pitch_coarse": f"{line.name}/pitch_coarse.json",
                }
                for line in LINES
            ],
            "recordings": [asdict(entry) for entry in self.entries],
        }
        return (json.dumps(manifest, indent=1) + "\n").encode()


def _recorded(take: Take) -> Utterance:
    return as_recorded(speak(take.text, take.voice), take.lead_s)


def main(
    folder: Annotated[Path, typer.Option(help="Where the fixtures lie.")] = FIXTURES,
    check: Annotated[bool, typer.Option("--check", help="Compare, write nothing.")] = False,
) -> None:
    """Make tests/fixtures, or check that it is what this script makes."""
    fixtures = Fixtures()
    fixtures.make()
    made = fixtures.files
    changed, stale = list(differences(made, folder)), list(strangers(made, folder))
    if check:
        for name in changed:
            print(f"{name}: missing, or not what the script makes")
        for name in stale:
            print(f"{name}: not made by the script")
        if changed or stale:
            print("Run `python scripts/make_fixtures.py` and commit, or undo the change.")
            raise typer.Exit(1)
        print(f"{len(made)} files as committed")
        return
    # A file within the tolerances stays as it is: no commit for the last bit of another processor.
    for name in changed:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made[name])
    for name in stale:
        (folder / name).unlink()
    size_kb = sum(map(len, made.values())) / 1000
    print(f"{len(made)} files, {size_kb:.0f} kB; {len(changed)} written, {len(stale)} removed")


if __name__ == "__main__":
    typer.run(main)
