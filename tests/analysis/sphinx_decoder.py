"""PocketSphinx's own forced alignment: a witness of what its model says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pocketsphinx import Decoder, get_model_path

from analysis.audio import Recording

# PocketSphinx counts in steps of 2**10 times log base 1.0001 (logmath and SENSCR_SHIFT).
NATS_PER_SCORE: Final = 1024 * math.log(1.0001)


@dataclass(frozen=True)
class SphinxPhone:
    """A phone as PocketSphinx places it: frames of 10 ms, and nats a frame below the best state."""

    phone: str
    start: int
    frames: int
    log_likelihood: float


def place_by_sphinx(
    recording: Recording, words: Sequence[Sequence[str]]
) -> list[tuple[SphinxPhone, ...]]:
    """Place words by its two passes, word then phone, with beams that lose nothing."""
    decoder: Any = Decoder(
        hmm=get_model_path("en-us/en-us"), dict=None, lm=None, bestpath=False, cmn="batch",
        loglevel="FATAL", beam=1e-200, pbeam=1e-200, wbeam=1e-180,
    )  # fmt: skip
    names = ["_".join(phones) for phones in words]
    for name, phones in zip(names, words, strict=True):
        if decoder.lookup_word(name) is None:
            decoder.add_word(name, " ".join(phones), False)
    pcm = np.clip(np.rint(recording.samples * 32768.0), -32768, 32767).astype("<i2").tobytes()
    decoder.set_align_text(" ".join(names))
    _decode(decoder, pcm)
    decoder.set_alignment()
    _decode(decoder, pcm)
    # Read on the way: an entry is gone when the next one comes.
    return [
        tuple(_phone(phone) for phone in word)
        for word in decoder.get_alignment()
        if not word.name.startswith(("<", "["))
    ]


def _decode(decoder: Any, pcm: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()


def _phone(phone: Any) -> SphinxPhone:
    frames = max(phone.duration, 1)
    return SphinxPhone(phone.name, phone.start, frames, phone.score * NATS_PER_SCORE / frames)
