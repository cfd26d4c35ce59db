"""Forced alignment: where in the recording each reference word and phone lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from analysis.aligned import BORDER_SHIFT_S, AlignedPhone, AlignedWord, Alignment
from analysis.errors import ReferenceFormatError
from analysis.native_alignment import place_by_native_model
from analysis.network import load_network
from analysis.network_alignment import place_by_network
from analysis.pronunciations import Pronunciation, pronounce

if TYPE_CHECKING:
    from analysis.audio import Recording
    from analysis.reference import Reference

__all__ = ["AlignedPhone", "AlignedWord", "Aligner", "Alignment"]

# Below this length there is no phone to be placed.
MIN_ALIGNABLE_S: Final = 0.1
MAX_PHONES: Final = 3_000
"""25 a second for 120 s. What is made of a line has phones times frames; this is 1 GB of it."""


class Aligner:
    """Places lines on recordings; nothing carries over between calls.

    A line is placed on the phone network's own posteriors, and on the native model's likelihoods
    where there is no network.
    """

    def align(self, recording: Recording, reference: Reference) -> Alignment:
        """Place the words and phones of `reference` on `recording`.

        Never raises for speech that does not fit: a word without a readable pronunciation gets
        None, and so do those of a line that the recording ends before or begins after
        (`Alignment.unsaid`). When no path through the text is found every word does, with a note.

        Raises
        ------
        ReferenceFormatError
            Code ``reference_invalid``: the line has more than `MAX_PHONES`, which fit no speech.
        """
        pronunciations = [pronounce(word) for word in reference.words]
        _check_phones(pronunciations)
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
        nothing = (None,) * len(texts)
        if not spoken:
            return Alignment(nothing, "none", "No word of the reference can be read as English.")
        if recording.duration < MIN_ALIGNABLE_S:
            return _found_nowhere(nothing, spoken, "The recording is too short to be aligned.")
        known = [one for one in pronunciations if one is not None]
        network = load_network()
        hearing = None
        placed: Sequence[tuple[AlignedPhone, ...] | None] | None = None
        if network is None:
            placed = place_by_native_model(recording, known)
        elif by_network := place_by_network(network, recording, known):
            placed, hearing = by_network
        if placed is None:
            return _found_nowhere(
                nothing, spoken, "The recording could not be aligned with the text."
            )
        words: list[AlignedWord | None] = list(nothing)
        for i, word in zip(spoken, placed, strict=True):
            if word is not None:
                phones = tuple(_as_heard(phone, recording.duration) for phone in word)
                words[i] = AlignedWord(i, texts[i], phones[0].start, phones[-1].end, phones)
        unsaid = frozenset(i for i in spoken if words[i] is None)
        unread = len(texts) - len(spoken)
        note = f"{unread} word(s) could not be read as English." if unread else None
        method = "network" if network is not None else "native"
        return Alignment(tuple(words), method, note, hearing, unsaid)


def _found_nowhere(nothing: tuple[None, ...], spoken: Sequence[int], note: str) -> Alignment:
    return Alignment(nothing, "none", note, unsaid=frozenset(spoken))


def _check_phones(pronunciations: Sequence[Pronunciation | None]) -> None:
    count = sum(len(one.variants[0]) for one in pronunciations if one is not None)
    if count > MAX_PHONES:
        raise ReferenceFormatError(
            "reference_invalid",
            f"The line has {count:,} phones; the limit is {MAX_PHONES:,}, "
            "more than anybody says in two minutes: give one clip's line.",
        )


def _as_heard(phone: AlignedPhone, duration: float) -> AlignedPhone:
    start, end = (round(min(at + BORDER_SHIFT_S, duration), 3) for at in (phone.start, phone.end))
    return replace(phone, start=start, end=end)
