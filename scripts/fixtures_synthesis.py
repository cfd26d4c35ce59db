"""Speech from espeak-ng with its own timing: samples, words and phones of one spoken line.

The shared library and its voices come in the `espeakng-loader` wheel. Its state (the flutter of
a voice, how far a buffer was filled) outlives even its own termination, so that a line would
sound otherwise after another line: each one is spoken by a process of its own.
"""

import ctypes
import multiprocessing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

# Numbers of espeak-ng's speak_lib.h (1.52).
_AUDIO_OUTPUT_SYNCHRONOUS: Final = 2
_INITIALIZE_PHONEME_EVENTS: Final = 0x0001
_CHARS_UTF8: Final = 1
_POSITION_CHARACTER: Final = 1
_RATE_PARAMETER: Final = 1
_VOLUME_PARAMETER: Final = 2
_PITCH_PARAMETER: Final = 3
_RANGE_PARAMETER: Final = 4
_EVENT_LIST_TERMINATED: Final = 0
_EVENT_WORD: Final = 1
_EVENT_PHONEME: Final = 7
_EE_OK: Final = 0

_RANDOM_SEED: Final = 20

_PAUSE_MARK: Final = "_"
_PALATAL_MARK: Final = ";"  # colours the phone before it; no phone of its own
_STRESS_MARKS: Final = {"'": 1, ",": 2}

# espeak-ng mnemonics of its en-US voices, as ARPAbet. A mnemonic that stands for two phones
# shares its time between them evenly, because the synthesiser tells no boundary inside it.
_CONSONANTS: Final[dict[str, tuple[str, ...]]] = {
    "p": ("P",), "b": ("B",), "t": ("T",), "d": ("D",), "k": ("K",), "g": ("G",),
    "t#": ("T",), "t2": ("T",), "f": ("F",), "v": ("V",), "T": ("TH",), "D": ("DH",),
    "s": ("S",), "z": ("Z",), "S": ("SH",), "Z": ("ZH",), "h": ("HH",), "tS": ("CH",),
    "dZ": ("JH",), "m": ("M",), "n": ("N",), "N": ("NG",), "l": ("L",), "r": ("R",),
    "r-": ("R",), "w": ("W",), "j": ("Y",),
}  # fmt: skip
_VOWELS: Final[dict[str, tuple[str, ...]]] = {
    "a": ("AE",), "a#": ("AH",), "aa": ("AE",), "A:": ("AA",), "A@": ("AA", "R"), "E": ("EH",),
    "e@": ("EH", "R"), "I": ("IH",), "I2": ("IH",), "I#": ("IH",), "i": ("IY",), "i:": ("IY",),
    "i@": ("IY", "AH"), "i@3": ("IH", "R"), "0": ("AA",), "0#": ("AA",), "O": ("AO",),
    "O:": ("AO",), "O@": ("AO", "R"), "o@": ("AO", "R"), "oU": ("OW",), "OI": ("OY",),
    "U": ("UH",), "U@": ("UH", "R"), "u": ("UW",), "u:": ("UW",), "V": ("AH",), "@": ("AH",),
    "@2": ("AH",), "@L": ("AH", "L"), "3": ("ER",), "3:": ("ER",), "eI": ("EY",), "aI": ("AY",),
    "aI3": ("AY", "ER"), "aI@": ("AY", "ER"), "aU": ("AW",),
}  # fmt: skip


class SynthesisError(RuntimeError):
    """The library refused a call, or spoke something this module can't put into ARPAbet."""


@dataclass(frozen=True)
class Voice:
    """One speaker and their manner.

    `name` is espeak-ng's voice and variant (`en-us+f3`); `pitch` and `pitch_range` are its own
    scales of 0 to 100 (a range of 0 is flat); `words_per_minute` is its rate.
    """

    name: str
    gender: str
    pitch: int
    pitch_range: int
    words_per_minute: int


@dataclass(frozen=True)
class SpokenPhone:
    """An ARPAbet phone with its stress digit (`AE1`, `T`) and its time in seconds."""

    phone: str
    start: float
    end: float


@dataclass(frozen=True)
class SpokenWord:
    """A word of the text without its punctuation, and its phones."""

    text: str
    phones: tuple[SpokenPhone, ...]

    @property
    def start(self) -> float:
        """Where its first phone starts, in seconds."""
        return self.phones[0].start

    @property
    def end(self) -> float:
        """Where its last phone ends, in seconds."""
        return self.phones[-1].end


@dataclass(frozen=True, eq=False)
class Utterance:
    """One line as spoken: mono float32 samples in [-1, 1] at `sample_rate`, and its words."""

    samples: NDArray[np.float32]
    sample_rate: int
    words: tuple[SpokenWord, ...]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True)
class _Event:
    kind: int
    sample: int
    text_position: int
    text_length: int
    phoneme: str


class _EventId(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    )


class _NativeEvent(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_NativeEvent)
)


def speak(text: str, voice: Voice) -> Utterance:
    """Speak `text`, which must be plain words and punctuation, in `voice`.

    The same samples for the same arguments, whatever was spoken before. Raises `SynthesisError`.
    """
    with multiprocessing.get_context("fork").Pool(processes=1) as process:
        return process.apply(_speak, (text, voice))


def synthesiser_version() -> str:
    """Name the library and its version."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Info.restype = ctypes.c_char_p
    return f"espeak-ng {library.espeak_Info(None).decode()}"


def _speak(text: str, voice: Voice) -> Utterance:
    return _Synthesiser().speak(text, voice)


class _Synthesiser:
    """espeak-ng, loaded and listening to its own callback."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._sample_rate: int = self._library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS,
            0,
            str(Path(espeakng_loader.get_data_path())).encode(),
            _INITIALIZE_PHONEME_EVENTS,
        )
        if self._sample_rate <= 0:
            raise SynthesisError(f"espeak_Initialize answered {self._sample_rate}")
        self._pcm = bytearray()
        self._events: list[_Event] = []
        # The library keeps only the pointer: without this reference the callback is collected.
        self._callback = _Callback(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: Voice) -> Utterance:
        # The breath in some voices is noise from its own generator.
        self._call("espeak_ng_SetRandSeed", ctypes.c_long(_RANDOM_SEED))
        self._call("espeak_SetVoiceByName", voice.name.encode())
        for parameter, value in (
            (_RATE_PARAMETER, voice.words_per_minute),
            (_VOLUME_PARAMETER, 100),
            (_PITCH_PARAMETER, voice.pitch),
            (_RANGE_PARAMETER, voice.pitch_range),
        ):
            self._call("espeak_SetParameter", parameter, value, 0)
        encoded = text.encode()
        self._call(
            "espeak_Synth", encoded, len(encoded) + 1, 0, _POSITION_CHARACTER, 0,
            _CHARS_UTF8, None, None,
        )  # fmt: skip
        self._call("espeak_Synchronize")
        pcm = np.frombuffer(bytes(self._pcm), dtype=np.int16)
        samples = (pcm / np.float32(2**15)).astype(np.float32)
        words = _words(text, self._events, len(samples), self._sample_rate)
        return Utterance(samples, self._sample_rate, words)

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status != _EE_OK:
            raise SynthesisError(f"{function}{arguments} answered {status}")

    def _receive(self, wave: Any, count: int, events: Any) -> int:
        if wave and count > 0:
            self._pcm.extend(ctypes.string_at(wave, count * ctypes.sizeof(ctypes.c_short)))
        index = 0
        while events[index].type != _EVENT_LIST_TERMINATED:
            event = events[index]
            phoneme = event.id.string.decode() if event.type == _EVENT_PHONEME else ""
            self._events.append(
                _Event(event.type, event.sample, event.text_position, event.length, phoneme)
            )
            index += 1
        return 0


def _words(
    text: str, events: list[_Event], total_samples: int, sample_rate: int
) -> tuple[SpokenWord, ...]:
    """Group the phoneme events by the word event before them; positions in `text` count from 1."""
    words: list[tuple[str, list[SpokenPhone]]] = []
    phonemes = [event for event in events if event.kind == _EVENT_PHONEME]
    ends = [event.sample for event in phonemes[1:]] + [total_samples]
    end_of = {id(event): end for event, end in zip(phonemes, ends, strict=True)}
    for event in events:
        if event.kind == _EVENT_WORD:
            first = event.text_position - 1
            words.append((text[first : first + event.text_length], []))
        elif event.kind == _EVENT_PHONEME and not event.phoneme.startswith(_PAUSE_MARK):
            phones = _phones(event, end_of[id(event)], sample_rate)
            if event.phoneme == _PALATAL_MARK:
                last = words[-1][1].pop()
                phones = [SpokenPhone(last.phone, last.start, phones[0].end)]
            words[-1][1].extend(phones)
    spoken = [word for word, _ in words]
    written = [token.strip(".,?!;:") for token in text.split()]
    # It joins some pairs of words ("out of", "in the") into one; such a line has no word timing.
    if spoken != written:
        raise SynthesisError(f"spoke the words {spoken} for {written}: reword the line")
    return tuple(SpokenWord(word, tuple(phones)) for word, phones in words)


def _phones(event: _Event, end_sample: int, sample_rate: int) -> list[SpokenPhone]:
    start, end = event.sample / sample_rate, end_sample / sample_rate
    if event.phoneme == _PALATAL_MARK:
        return [SpokenPhone(_PALATAL_MARK, start, end)]
    stress = _STRESS_MARKS.get(event.phoneme[0], 0)
    mnemonic = event.phoneme.lstrip("',")
    if mnemonic in _CONSONANTS:
        names = _CONSONANTS[mnemonic]
    elif mnemonic in _VOWELS:
        vowel, *rest = _VOWELS[mnemonic]
        names = (f"{vowel}{stress}", *(f"{n}0" if n in ("AH", "ER") else n for n in rest))
        if vowel == "AH" and rest == ["L"]:
            names = ("AH0", "L")
    else:
        raise SynthesisError(f"no ARPAbet phone is known for the mnemonic {event.phoneme!r}")
    step = (end - start) / len(names)
    return [
        SpokenPhone(name, start + i * step, start + (i + 1) * step) for i, name in enumerate(names)
    ]
