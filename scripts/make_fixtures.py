"""Make the speech in tests/fixtures: lines spoken by espeak-ng, with TextGrids and pitch.

    python -m scripts.make_fixtures            write the files and manifest.json
    python -m scripts.make_fixtures --check    synthesise again and compare with what is committed

Each line has an actor (the reference) and learners who say it well or badly in one known way,
so a test can say which score has to move. The words and phones in every TextGrid are the
synthesiser's own timing of that very recording, not an aligner's guess.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Final

import av
import numpy as np
import soundfile
import soxr
import typer
from numpy.typing import NDArray

from scripts.fixtures_reference import pitch_json, textgrid
from scripts.fixtures_synthesis import SpokenPhone, SpokenWord, Synthesiser, Utterance, Voice

FIXTURES: Final = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
SAMPLE_RATE_HZ: Final = 16_000
PITCH_STEP_S: Final = 0.01
COARSE_PITCH_STEP_S: Final = 0.1

_PEAK: Final = 0.6  # of full scale: headroom, so that no fixture is clipped
_ROOM_NOISE_DBFS: Final = -80.0  # no microphone gives digital zeros
_NOISE_DBFS: Final = -35.0
_NO_SPEECH_S: Final = 2.5
_ACTOR_LEAD_S: Final = 0.10
_LEARNER_LEAD_S: Final = 0.28  # people start late
_TAIL_S: Final = 0.15
_SLOWER: Final = 1.3
_FILM_TIME_S: Final = 1834.27
_LOSSY_BITS_PER_S: Final = 32_000
_MEDIA_SAMPLE_RATE_HZ: Final = 48_000

# How far a newly synthesised file may be from the committed one: floating point differs in the
# last bits between processors, an encoder between its versions.
_SAMPLE_TOLERANCE: Final = 0.002
_TIME_TOLERANCE_S: Final = 0.005
_LOSSY_DURATION_TOLERANCE_S: Final = 0.12

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
    omitted: str = ""
    replaced: tuple[str, str] = ("", "")


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
    line: str
    rendering: str
    text: str
    voice: Voice | None
    duration_s: float
    format: str
    textgrid: str | None
    pitch: str | None


class Fixtures:
    """Every fixture as bytes by its path under tests/fixtures, made in one fixed order."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.entries: list[Entry] = []
        self._synthesiser = Synthesiser()

    def make(self) -> None:
        """Synthesise all of it."""
        for line in LINES:
            self._actor(line)
            self._learners(line)
        silence = _room_noise(_NO_SPEECH_S, _ROOM_NOISE_DBFS, seed=1)
        self._no_speech("silence", silence)
        self._no_speech("noise", _room_noise(_NO_SPEECH_S, _NOISE_DBFS, seed=2))
        wrong = self._speak(WRONG_SENTENCE, FEMALE_LEARNER, _LEARNER_LEAD_S)
        self._recording(
            "wrong_sentence", "", "wrong_sentence", WRONG_SENTENCE, FEMALE_LEARNER, wrong
        )
        self.files["manifest.json"] = self._manifest()

    def _actor(self, line: Line) -> None:
        spoken = self._speak(line.text, line.actor, _ACTOR_LEAD_S)
        folder = line.name
        self._recording(f"{folder}/actor", folder, "actor", line.text, line.actor, spoken)
        for name, step_s in (("pitch", PITCH_STEP_S), ("pitch_coarse", COARSE_PITCH_STEP_S)):
            self.files[f"{folder}/{name}.json"] = pitch_json(
                spoken.samples, spoken.sample_rate, step_s
            )
        if line is LINES[0]:
            self.files[f"{folder}/film_time.TextGrid"] = textgrid(
                spoken.words, spoken.duration, offset_s=_FILM_TIME_S
            )
            self.files[f"{folder}/film_time_pitch.json"] = pitch_json(
                spoken.samples, spoken.sample_rate, COARSE_PITCH_STEP_S, offset_s=_FILM_TIME_S
            )

    def _learners(self, line: Line) -> None:
        voice = line.learner
        good = self._learner(line, "good", line.text, voice)
        if line.omitted:
            self._learner(line, "monotone", line.text, replace(voice, pitch_range=0))
            self._learner(line, "omitted", _without(line.text, line.omitted), voice)
        if line.replaced[0]:
            self._learner(line, "replaced", line.text.replace(*line.replaced), voice)
            slow = self._slower(line, good)
            self._learner(line, "slower", line.text, slow)
        if line is LINES[0]:
            for suffix, container, codec in (("webm", "webm", "libopus"), ("m4a", "ipod", "aac")):
                data = _lossy(good, container, codec)
                self._keep(
                    f"{line.name}/good.{suffix}", line.name, "good", line.text, voice, good, data
                )

    def _learner(self, line: Line, rendering: str, text: str, voice: Voice) -> Utterance:
        spoken = self._speak(text, voice, _LEARNER_LEAD_S)
        self._recording(f"{line.name}/{rendering}", line.name, rendering, text, voice, spoken)
        return spoken

    def _slower(self, line: Line, good: Utterance) -> Voice:
        """The learner at the whole number of words a minute that comes nearest to 30 % slower."""
        edges_s = _LEARNER_LEAD_S + _TAIL_S
        wanted_s = (good.duration - edges_s) * _SLOWER

        def miss_s(voice: Voice) -> float:
            return abs(self._speak(line.text, voice, 0.0).duration - _TAIL_S - wanted_s)

        return min(
            (replace(line.learner, words_per_minute=rate) for rate in range(100, 126)), key=miss_s
        )

    def _speak(self, text: str, voice: Voice, lead_s: float) -> Utterance:
        return _as_recorded(self._synthesiser.speak(text, voice), lead_s)

    def _recording(
        self, stem: str, line: str, rendering: str, text: str, voice: Voice, spoken: Utterance
    ) -> None:
        self.files[f"{stem}.TextGrid"] = textgrid(spoken.words, spoken.duration)
        self._keep(f"{stem}.flac", line, rendering, text, voice, spoken, _flac(spoken.samples))

    def _keep(
        self, file: str, line: str, rendering: str, text: str, voice: Voice, spoken: Utterance,
        data: bytes,
    ) -> None:  # fmt: skip
        self.files[file] = data
        stem = file.rpartition(".")[0]
        self.entries.append(
            Entry(
                file=file,
                line=line,
                rendering=rendering,
                text=text,
                voice=voice,
                duration_s=round(spoken.duration, 3),
                format=file.rpartition(".")[2],
                textgrid=f"{stem}.TextGrid",
                pitch=f"{line}/pitch.json" if rendering == "actor" else None,
            )
        )

    def _no_speech(self, name: str, samples: NDArray[np.float32]) -> None:
        self.files[f"{name}.flac"] = _flac(samples)
        duration_s = round(len(samples) / SAMPLE_RATE_HZ, 3)
        self.entries.append(
            Entry(f"{name}.flac", "", name, "", None, duration_s, "flac", None, None)
        )

    def _manifest(self) -> bytes:
        manifest = {
            "about": "Synthetic speech. Made by scripts/make_fixtures.py; do not edit by hand.",
            "synthesiser": f"espeak-ng {self._synthesiser.version}",
            "timing": "words and phones of each TextGrid are the synthesiser's own phoneme events, "
            "mapped to ARPAbet; a phoneme that stands for two phones is split in the middle",
            "pitch": "pitch.json: Praat autocorrelation, step 0.01 s; pitch_coarse.json: 0.1 s",
            "film_time_s": _FILM_TIME_S,
            "lines": [
                {
                    "name": line.name,
                    "text": line.text,
                    "omitted": line.omitted,
                    "replaced": list(line.replaced) if line.replaced[0] else None,
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


def _without(text: str, word: str) -> str:
    return text.replace(f"{word} ", "", 1)


def _as_recorded(spoken: Utterance, lead_s: float) -> Utterance:
    """16 kHz, a set level, quiet before and after, faint room noise; words moved by the lead."""
    speech = soxr.resample(spoken.samples, spoken.sample_rate, SAMPLE_RATE_HZ)
    # The synthesiser ends on a pause of its own; the tail replaces it.
    speech = speech[: round(spoken.words[-1].end * SAMPLE_RATE_HZ)]
    speech *= _PEAK / float(np.max(np.abs(speech)))
    lead = np.zeros(round(lead_s * SAMPLE_RATE_HZ), np.float32)
    tail = np.zeros(round(_TAIL_S * SAMPLE_RATE_HZ), np.float32)
    samples = np.concatenate([lead, speech, tail])
    samples += _room_noise(len(samples) / SAMPLE_RATE_HZ, _ROOM_NOISE_DBFS, seed=0)
    words = tuple(
        SpokenWord(
            word.text,
            tuple(SpokenPhone(p.phone, p.start + lead_s, p.end + lead_s) for p in word.phones),
        )
        for word in spoken.words
    )
    return Utterance(samples.astype(np.float32), SAMPLE_RATE_HZ, words)


def _room_noise(duration_s: float, level_dbfs: float, *, seed: int) -> NDArray[np.float32]:
    count = round(duration_s * SAMPLE_RATE_HZ)
    noise = np.random.default_rng(seed).standard_normal(count) * 10 ** (level_dbfs / 20)
    return noise.astype(np.float32)


def _flac(samples: NDArray[np.float32]) -> bytes:
    out = BytesIO()
    soundfile.write(out, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def _lossy(spoken: Utterance, container: str, codec: str) -> bytes:
    """Encode as a browser's recorder or a phone does: 48 kHz mono in WebM/Opus or m4a/AAC."""
    samples = soxr.resample(spoken.samples, SAMPLE_RATE_HZ, _MEDIA_SAMPLE_RATE_HZ)
    out = BytesIO()
    options = {"fflags": "+bitexact"}
    with av.open(out, "w", format=container, options=options) as media:
        stream = media.add_stream(
            codec, rate=_MEDIA_SAMPLE_RATE_HZ, layout="mono", bit_rate=_LOSSY_BITS_PER_S
        )
        frame = av.AudioFrame.from_ndarray(
            samples[np.newaxis, :].astype(np.float32), format="flt", layout="mono"
        )
        frame.sample_rate = _MEDIA_SAMPLE_RATE_HZ
        for piece in (frame, None):
            media.mux(stream.encode(piece))
    return out.getvalue()


def _decoded(data: bytes) -> NDArray[np.float32]:
    samples, _ = soundfile.read(BytesIO(data), dtype="float32")
    return np.asarray(samples)


def _lossy_duration_s(data: bytes) -> float:
    with av.open(BytesIO(data)) as media:
        return sum(frame.samples / frame.sample_rate for frame in media.decode(audio=0))


def _numbers_apart(made: Any, kept: Any, tolerance: float) -> bool:
    """Whether two JSON values differ in anything but numbers within the tolerance."""
    if isinstance(made, bool | str) or made is None:
        return bool(made != kept)
    if isinstance(made, int | float):
        return not isinstance(kept, int | float) or abs(made - kept) > tolerance
    if isinstance(made, list):
        return len(made) != len(kept) or any(
            _numbers_apart(a, b, tolerance) for a, b in zip(made, kept, strict=True)
        )
    return made.keys() != kept.keys() or any(
        _numbers_apart(made[key], kept[key], tolerance) for key in made
    )


def _flac_differs(made: bytes, kept: bytes) -> bool:
    a, b = _decoded(made), _decoded(kept)
    return len(a) != len(b) or float(np.max(np.abs(a - b))) > _SAMPLE_TOLERANCE


def _lossy_differs(made: bytes, kept: bytes) -> bool:
    apart_s = _lossy_duration_s(made) - _lossy_duration_s(kept)
    return abs(apart_s) > _LOSSY_DURATION_TOLERANCE_S


def _textgrid_differs(made: bytes, kept: bytes) -> bool:
    def values(data: bytes) -> list[float | str]:
        fields = (line.rpartition("= ")[2] for line in data.decode().splitlines())
        return [float(field) if field[:1].isdigit() else field for field in fields]

    return _numbers_apart(values(made), values(kept), _TIME_TOLERANCE_S)


def _pitch_differs(made: bytes, kept: bytes) -> bool:
    """Times exactly; a frame at the edge of voicing may tip over on another processor."""
    a, b = json.loads(made), json.loads(kept)
    if [frame["time"] for frame in a] != [frame["time"] for frame in b]:
        return True
    apart = sum(_numbers_apart(x["hz"], y["hz"], 2.0) for x, y in zip(a, b, strict=True))
    return apart > max(1, len(a) // 50)


def _manifest_differs(made: bytes, kept: bytes) -> bool:
    return _numbers_apart(json.loads(made), json.loads(kept), _TIME_TOLERANCE_S)


_COMPARISONS: Final[dict[str, Callable[[bytes, bytes], bool]]] = {
    ".flac": _flac_differs,
    ".webm": _lossy_differs,
    ".m4a": _lossy_differs,
    ".TextGrid": _textgrid_differs,
    "manifest.json": _manifest_differs,
    ".json": _pitch_differs,
}


def differences(made: dict[str, bytes], folder: Path) -> Iterator[str]:
    """Say, a line each, how the committed folder departs from what was just made."""
    for name, data in made.items():
        path = folder / name
        if not path.is_file():
            yield f"{name}: missing"
            continue
        differs = next(check for ending, check in _COMPARISONS.items() if name.endswith(ending))
        if differs(data, path.read_bytes()):
            yield f"{name}: not what the script makes"


def write(made: dict[str, bytes], folder: Path) -> None:
    """Write each file whose content differs by more than the tolerances, and leave the others."""
    changed = {line.partition(":")[0] for line in differences(made, folder)}
    for name in sorted(changed):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made[name])


def main(
    folder: Annotated[Path, typer.Option(help="Where the fixtures lie.")] = FIXTURES,
    check: Annotated[bool, typer.Option("--check", help="Compare, write nothing.")] = False,
) -> None:
    """Make tests/fixtures, or check that it is what this script makes."""
    fixtures = Fixtures()
    fixtures.make()
    size_kb = sum(map(len, fixtures.files.values())) / 1000
    if not check:
        write(fixtures.files, folder)
        print(f"{len(fixtures.files)} files, {size_kb:.0f} kB in {folder}")
        return
    wrong = list(differences(fixtures.files, folder))
    for line in wrong:
        print(line)
    if wrong:
        print("Run `python -m scripts.make_fixtures` and commit, or undo the change.")
        raise typer.Exit(1)
    print(f"{len(fixtures.files)} files as committed")


if __name__ == "__main__":
    typer.run(main)
