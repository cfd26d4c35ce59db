"""Forced alignment by PocketSphinx, whose wheel carries the acoustic model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analysis.aligned import AlignedPhone

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.audio import Recording
    from analysis.pronunciations import Pronunciation

FRAME_S: Final = 0.01
# At its own beams (1e-48) PocketSphinx loses one correct text in 200 and, what is worse, ends
# many early where a learner hesitates. Wide ones cost no time: nearly all of it goes into
# Gaussians, which every frame needs anyway.
_BEAMS: Final = {"beam": 1e-200, "pbeam": 1e-200, "wbeam": 1e-180}
# PocketSphinx counts in steps of 2**10 times log base 1.0001 (logmath and SENSCR_SHIFT).
_NATS_PER_SCORE: Final = 1024 * math.log(1.0001)


def place_by_sphinx(
    recording: Recording, known: Sequence[Pronunciation]
) -> list[tuple[AlignedPhone, ...]] | None:
    """Place words with PocketSphinx's two passes, word then phone; None when no path is found.

    Every call makes a decoder of its own. A decoder that is used again is not the decoder it
    was: its Gaussian scorer starts from the codewords that won in the recording before, which
    moves a phone's border now and then by 10–20 ms. A new one costs 14 ms when it is given no
    dictionary to read. Cepstral means are taken over the whole recording (``cmn=batch``), where
    the live estimate would depend on the past too.
    """
    pcm = _pcm(recording.samples)
    decoder = _decoder()
    names = [_enter(decoder, pronunciation) for pronunciation in known]
    try:
        decoder.set_align_text(" ".join(names))
        _decode(decoder, pcm)
        decoder.set_alignment()
        _decode(decoder, pcm)
        entries = decoder.get_alignment()
        placed = [
            _phones(entry) for entry in entries or () if not entry.name.startswith(("<", "["))
        ]
    except RuntimeError:  # PocketSphinx's way to say that no path came through
        return None
    return placed if len(placed) == len(known) and all(placed) else None


def _enter(decoder: Any, pronunciation: Pronunciation) -> str:
    """Enter a pronunciation under its own phones (``K_AE_T``), for words can be homographs."""
    name = "|".join("_".join(phones) for phones in pronunciation.variants)
    if decoder.lookup_word(name) is None:
        for number, phones in enumerate(pronunciation.variants, start=1):
            entry = name if number == 1 else f"{name}({number})"
            decoder.add_word(entry, " ".join(phones), False)
    return name


def _decoder() -> Any:
    from pocketsphinx import Decoder, get_model_path

    return Decoder(
        hmm=get_model_path("en-us/en-us"),
        dict=None,
        lm=None,
        bestpath=False,
        cmn="batch",
        loglevel="FATAL",
        **_BEAMS,
    )


def _decode(decoder: Any, pcm: bytes) -> None:
    decoder.start_utt()
    try:
        decoder.process_raw(pcm, full_utt=True)
    finally:
        decoder.end_utt()


def _phones(word: Any) -> tuple[AlignedPhone, ...]:
    return tuple(
        AlignedPhone(
            phone=phone.name,
            start=round(phone.start * FRAME_S, 2),
            end=round((phone.start + phone.duration) * FRAME_S, 2),
            log_likelihood=phone.score * _NATS_PER_SCORE / max(phone.duration, 1),
        )
        for phone in word
    )


def _pcm(samples: NDArray[np.float32]) -> bytes:
    pcm: bytes = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2").tobytes()
    return pcm
