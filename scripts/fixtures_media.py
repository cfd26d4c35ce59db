"""An utterance as a recording: level, lead, room noise, and its encoding as FLAC, WebM or m4a."""

from io import BytesIO
from typing import Final

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from scripts.fixtures_synthesis import SpokenPhone, SpokenWord, Utterance

SAMPLE_RATE_HZ: Final = 16_000

_PEAK: Final = 0.6  # of full scale: headroom, so that no fixture is clipped
_ROOM_NOISE_DBFS: Final = -80.0  # no microphone gives digital zeros
_TAIL_S: Final = 0.15
_LOSSY_BITS_PER_S: Final = 32_000
_LOSSY_SAMPLE_RATE_HZ: Final = 48_000
# Container and codec as a browser's recorder and a phone make them.
_LOSSY_FORMATS: Final = {"webm": ("webm", "libopus"), "m4a": ("ipod", "aac")}


def as_recorded(spoken: Utterance, lead_s: float) -> Utterance:
    """Put a voice before a microphone: 16 kHz, one level, quiet before and after, room noise.

    The times of words and phones move by `lead_s`, the seconds before the first phone.
    """
    speech = soxr.resample(spoken.samples, spoken.sample_rate, SAMPLE_RATE_HZ)
    # The synthesiser ends on a pause of its own; the tail replaces it.
    speech = speech[: round(spoken.words[-1].end * SAMPLE_RATE_HZ)]
    speech *= _PEAK / float(np.max(np.abs(speech)))
    lead = np.zeros(round(lead_s * SAMPLE_RATE_HZ), np.float32)
    tail = np.zeros(round(_TAIL_S * SAMPLE_RATE_HZ), np.float32)
    samples = np.concatenate([lead, speech, tail])
    samples += noise(len(samples), _ROOM_NOISE_DBFS, seed=0)
    words = tuple(
        SpokenWord(
            word.text,
            tuple(SpokenPhone(p.phone, p.start + lead_s, p.end + lead_s) for p in word.phones),
        )
        for word in spoken.words
    )
    return Utterance(samples, SAMPLE_RATE_HZ, words)


def speech_seconds(recorded: Utterance) -> float:
    """Seconds from the first phone to the last, pauses between them included."""
    return recorded.words[-1].end - recorded.words[0].start


def noise(
    sample_count: int, level_dbfs: float = _ROOM_NOISE_DBFS, *, seed: int
) -> NDArray[np.float32]:
    """White noise at a level; the same for the same seed."""
    white = np.random.default_rng(seed).standard_normal(sample_count)
    return (white * 10 ** (level_dbfs / 20)).astype(np.float32)


def flac(samples: NDArray[np.float32]) -> bytes:
    """Encode 16 kHz mono samples as 16-bit FLAC."""
    out = BytesIO()
    soundfile.write(out, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def lossy(samples: NDArray[np.float32], suffix: str) -> bytes:
    """Encode as 48 kHz mono WebM/Opus (`webm`) or AAC (`m4a`)."""
    container, codec = _LOSSY_FORMATS[suffix]
    resampled = soxr.resample(samples, SAMPLE_RATE_HZ, _LOSSY_SAMPLE_RATE_HZ).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(resampled[np.newaxis, :], format="flt", layout="mono")
    frame.sample_rate = _LOSSY_SAMPLE_RATE_HZ
    out = BytesIO()
    # Without bitexact the container carries a random id, and every run another file.
    with av.open(out, "w", format=container, options={"fflags": "+bitexact"}) as media:
        stream = media.add_stream(codec, rate=_LOSSY_SAMPLE_RATE_HZ)
        if not isinstance(stream, av.AudioStream):
            raise TypeError(f"{codec} made a {type(stream).__name__}, not an audio stream")
        stream.layout = "mono"
        stream.bit_rate = _LOSSY_BITS_PER_S
        for piece in (frame, None):
            media.mux(stream.encode(piece))
    return out.getvalue()
