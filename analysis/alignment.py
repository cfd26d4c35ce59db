"""Forced alignment: where in the recording each reference word and phone lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from analysis.aligned import AlignedPhone, AlignedWord, Alignment
from analysis.network_alignment import place_by_network
from analysis.pronunciations import Pronunciation, pronounce
from analysis.sphinx import place_by_sphinx

if TYPE_CHECKING:
    from analysis.assessment import Profile
    from analysis.audio import Recording
    from analysis.reference import Reference

__all__ = ["AlignedPhone", "AlignedWord", "Aligner", "Alignment"]

# Below this length PocketSphinx has no frame to work with.
MIN_ALIGNABLE_S: Final = 0.1
_Way = Callable[[Sequence[Pronunciation]], list[tuple[AlignedPhone, ...]] | None]


class Aligner:
    """Places lines on recordings; nothing carries over between calls.

    PocketSphinx places what it can. The phone network's own posteriors place the rest, and
    everything in the profile ``fast``.
    """

    def align(
        self, recording: Recording, reference: Reference, *, profile: Profile = "accurate"
    ) -> Alignment:
        """Place the words and phones of `reference` on `recording`.

        Never raises for speech that does not fit: a word without a readable pronunciation gets
        None, and when no path through the text is found every word does, with a note.
        """
        pronunciations = [pronounce(word) for word in reference.words]
        texts = [word.text for word in reference.words]
        return self.align_pronunciations(recording, texts, pronunciations, profile=profile)

    def align_pronunciations(
        self,
        recording: Recording,
        texts: Sequence[str],
        pronunciations: Sequence[Pronunciation | None],
        *,
        profile: Profile = "accurate",
    ) -> Alignment:
        """Place words whose pronunciations are known already; see `align`."""
        spoken = [i for i, known in enumerate(pronunciations) if known is not None]
        nothing: tuple[AlignedWord | None, ...] = (None,) * len(texts)
        if not spoken:
            return Alignment(nothing, "none", "No word of the reference can be read as English.")
        if recording.duration < MIN_ALIGNABLE_S:
            return Alignment(nothing, "none", "The recording is too short to be aligned.")
        known = [found for found in pronunciations if found is not None]
        for method, place in _ways(recording, profile):
            placed = place(known)
            if placed is None:
                continue
            words = list(nothing)
            for i, phones in zip(spoken, placed, strict=True):
                words[i] = AlignedWord(i, texts[i], phones[0].start, phones[-1].end, phones)
            unread = len(texts) - len(spoken)
            note = f"{unread} word(s) could not be read as English." if unread else None
            return Alignment(tuple(words), method, note)
        return Alignment(nothing, "none", "The recording could not be aligned with the text.")


def _ways(recording: Recording, profile: Profile) -> Iterator[tuple[str, _Way]]:
    """Yield the ways to place a line, in the order in which they are tried."""
    sphinx = "pocketsphinx", partial(place_by_sphinx, recording)
    network = "network", partial(place_by_network, recording)
    yield from (network, sphinx) if profile == "fast" else (sphinx, network)
