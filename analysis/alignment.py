"""Forced alignment: where in the recording each reference word and phone lies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analysis.pronunciations import Pronunciation, pronounce

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.audio import Recording
    from analysis.reference import Reference

FRAME_S: Final = 0.01
# PocketSphinx loses about one correct text in two hundred at its own beams (1e-48). Tried in
# this order.
_BEAMS: Final[tuple[tuple[str, dict[str, float]], ...]] = (
    ("pocketsphinx", {}),
    ("pocketsphinx-loose", {"beam": 1e-120, "pbeam": 1e-120, "wbeam": 1e-100}),
)
# Below this length PocketSphinx has no frame to work with.
MIN_ALIGNABLE_S: Final = 0.1
# PocketSphinx counts in steps of 2**10 times log base 1.0001 (logmath and SENSCR_SHIFT).
_NATS_PER_SCORE: Final = 1024 * math.log(1.0001)


@dataclass(frozen=True)
class AlignedPhone:
    """One phone on the recording; start and end in seconds.

    `log_likelihood` is the mean over its frames of log p(frame | state) in nats, each frame's
    best state of all being 0: what PocketSphinx's second pass says about the fit. NaN where it
    was not asked.
    """

    phone: str
    start: float
    end: float
    log_likelihood: float = math.nan


@dataclass(frozen=True)
class AlignedWord:
    """One reference word on the recording; `index` is its place in the reference."""

    index: int
    word: str
    start: float
    end: float
    phones: tuple[AlignedPhone, ...]


@dataclass(frozen=True)
class Alignment:
    """The reference on the recording: one entry a reference word, None where not placed.

    Attributes
    ----------
    words : one for each word of the reference, in its order.
    method : what placed them: ``pocketsphinx``, ``pocketsphinx-loose``, ``network`` or ``none``.
    note : what was out of the ordinary, in a sentence; None when nothing was.
    """

    words: tuple[AlignedWord | None, ...]
    method: str
    note: str | None = None

    @property
    def placed(self) -> tuple[AlignedWord, ...]:
        """The words that have a place, in order."""
        return tuple(word for word in self.words if word is not None)


class AlignmentFailed(Exception):
    """The decoder found no path through the text; the next, more patient way is tried."""


class Aligner:
    """PocketSphinx's two passes, word then phone, on a decoder of its own for every recording.

    A decoder that is used again is not the decoder it was: its Gaussian scorer starts from the
    codewords that won in the recording before, which moves a phone's border now and then by
    10–20 ms. A new one costs 14 ms when it is given no dictionary to read. Cepstral means are
    taken over the whole recording (``cmn=batch``), where the live estimate would depend on the
    past too.
    """

    def align(self, recording: Recording, reference: Reference) -> Alignment:
        """Place the words and phones of `reference` on `recording`.

        Never raises for speech that does not fit: a word without a readable pronunciation gets
        None, and when no path through the text is found every word does, with a note.
        """
        pronunciations = [pronounce(word) for word in reference.words]
        texts = [word.text for word in reference.words]
        return self.align_pronunciations(recording, texts, pronunciations)

    def align_pronunciations(
        self,
        recording: Recording,
        texts: Sequence[str],
        pronunciations: Sequence[Pronunciation | None],
    ) -> Alignment:
        """Place words whose pronunciations are known already; see `align`."""
        spoken = [i for i, known in enumerate(pronunciations) if known is not None]
        nothing: tuple[AlignedWord | None, ...] = (None,) * len(texts)
        if not spoken:
            return Alignment(nothing, "none", "No word of the reference can be read as English.")
        if recording.duration < MIN_ALIGNABLE_S:
            return Alignment(nothing, "none", "The recording is too short to be aligned.")
        known = [pronunciations[i] for i in spoken]
        pcm = _pcm(recording.samples)
        for method, beams in _BEAMS:
            try:
                placed = _two_passes(_decoder(beams), pcm, [p for p in known if p is not None])
            except AlignmentFailed:
                continue
            words = list(nothing)
            for i, phones in zip(spoken, placed, strict=True):
                words[i] = AlignedWord(i, texts[i], phones[0].start, phones[-1].end, phones)
            unread = len(texts) - len(spoken)
            note = f"{unread} word(s) could not be read as English." if unread else None
            return Alignment(tuple(words), method, note)
        return Alignment(nothing, "none", "The recording could not be aligned with the text.")


def _two_passes(
    decoder: Any, pcm: bytes, known: Sequence[Pronunciation]
) -> list[tuple[AlignedPhone, ...]]:
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
    except RuntimeError as error:
        raise AlignmentFailed from error
    if len(placed) != len(known) or not all(placed):
        raise AlignmentFailed
    return placed


def _enter(decoder: Any, pronunciation: Pronunciation) -> str:
    """Enter a pronunciation under its own phones (``K_AE_T``), for words can be homographs."""
    name = "|".join("_".join(phones) for phones in pronunciation.variants)
    if decoder.lookup_word(name) is None:
        for number, phones in enumerate(pronunciation.variants, start=1):
            entry = name if number == 1 else f"{name}({number})"
            decoder.add_word(entry, " ".join(phones), False)
    return name


def _decoder(beams: Mapping[str, float]) -> Any:
    from pocketsphinx import Decoder, get_model_path

    return Decoder(
        hmm=get_model_path("en-us/en-us"),
        dict=None,
        lm=None,
        bestpath=False,
        cmn="batch",
        loglevel="FATAL",
        **beams,
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
