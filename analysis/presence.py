"""Whether there was speech, whether its words were said, and whether it is this line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.segments import MEL_FRAME_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.contour import PitchContour
    from analysis.evidence import TextEvidence
    from analysis.segments import Segments

WORD_FEATURES: Final = (
    "presence_per_phone", "presence", "own_evidence", "worst_own_evidence", "lead",
    "phone_score", "word_score", "log_phone_duration", "log_phones",
    "native_presence_per_phone", "native_presence",
)  # fmt: skip
LINE_FEATURES: Final = (
    "lead", "own_evidence", "phone_score", "words_absent", "path_fit", "presence",
    "phone_score_spread", "speech_share", "native_presence", "native_absent",
)  # fmt: skip


def word_features(
    rows: Segments,
    evidence: TextEvidence,
    phone_scores: NDArray[np.float64],
    word_scores: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return (placed words, `WORD_FEATURES`): the evidence that each word was said.

    Parameters
    ----------
    rows : the aligned phones.
    evidence : how well the recording bears them.
    phone_scores, word_scores : (P,) and (placed words,), 0–2.
    """
    sizes = np.bincount(rows.word_rows())
    said, native = evidence.path.presence, evidence.native_path.presence
    durations = np.log(np.maximum(rows.spans[:, 1] - rows.spans[:, 0], 0.01))
    return np.stack(
        [
            said / sizes,
            said,
            rows.word_means(evidence.own),
            rows.word_worst(evidence.own),
            rows.word_means(evidence.lead),
            rows.word_means(phone_scores),
            word_scores,
            rows.word_means(durations),
            np.log(sizes),
            native / sizes,
            native,
        ],
        axis=1,
    )


def line_evidence(words: NDArray[np.float64], evidence: TextEvidence) -> NDArray[np.float64]:
    """Return the row of `LINE_FEATURES`: how well the recording bears this text.

    `words` are the `word_features` of the line.
    """
    scores = words[:, WORD_FEATURES.index("phone_score")]
    present = words[:, WORD_FEATURES.index("presence_per_phone")]
    native = words[:, WORD_FEATURES.index("native_presence_per_phone")]
    return np.array(
        [
            evidence.lead.mean(),
            evidence.own.mean(),
            scores.mean(),
            (present < 0.0).mean(),
            evidence.path.fit,
            present.mean(),
            scores.std(),
            evidence.path.speech_share,
            native.mean(),
            (native < 0.0).mean(),
        ],
        dtype=np.float64,
    )


# Speech rises and falls by syllables; a tone or a hiss stays where it is. From the 10th to the
# 90th percentile the levels of 2,500 lines of real speech span 0.9 to 3.6 of the features' units,
# and in white noise of 5 dB still 0.5; those of tones, chords and melodies 0.1 to 0.45.
_LEAST_LEVEL_SPAN: Final = 0.5
# So far from a voiced frame lies what is looked at: neither the seconds of silence around a word
# nor those around a tone. A syllable may be as steady as a tone, but not for as long: where there
# is so little voice, how it begins and ends is looked at too.
_NEAR_VOICE_S: Final = 0.06
_NEAR_SYLLABLE_S: Final = 0.3
_LONGEST_SYLLABLE_S: Final = 1.0
# The least voice in any of those lines was 0.30 s.
_LEAST_VOICED_S: Final = 0.1


def holds_speech(mel: NDArray[np.float32], pitch: PitchContour) -> bool:
    """Tell speech from what cannot be speech: no voice at all, or a sound that never changes.

    Parameters
    ----------
    mel : (frames, 80) normalised log-mel energies.
    pitch : the recording's F0 contour.
    """
    voiced_s = float(np.isfinite(pitch.hz).sum()) * pitch.step_s
    if voiced_s < _LEAST_VOICED_S:
        return False
    voiced = pitch.times[np.isfinite(pitch.hz)]
    times = np.arange(len(mel)) * MEL_FRAME_S
    after = np.searchsorted(voiced, times)
    away = np.minimum(
        np.abs(times - voiced[np.maximum(after - 1, 0)]),
        np.abs(times - voiced[np.minimum(after, len(voiced) - 1)]),
    )
    near = _NEAR_SYLLABLE_S if voiced_s < _LONGEST_SYLLABLE_S else _NEAR_VOICE_S
    low, high = np.quantile(mel[away <= near].mean(axis=1), (0.1, 0.9))
    return float(high - low) >= _LEAST_LEVEL_SPAN
