"""The result model: what one scored recording says, as JSON, and nothing about how it was found.

The models are the contract with everyone who reads a result: their field descriptions become the
JSON Schema. Values are rounded as they enter, so that a result is small and the same on every
machine: scores to 0.01, times to the millisecond, semitones and decibels to 0.01.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

SCHEMA_VERSION: Final = "1.0"

_SCORE_DECIMALS = 2
_TIME_DECIMALS = 3
_MEASURE_DECIMALS = 2
_RATIO_DECIMALS = 4


def _rounded(decimals: int) -> BeforeValidator:
    def rounded(value: Any) -> Any:
        # Adding zero turns -0.0, which JSON would print, into 0.0.
        return round(value, decimals) + 0.0 if isinstance(value, int | float) else value

    return BeforeValidator(rounded)


def _is_none(value: object) -> bool:
    return value is None


# Rounded before the bounds are checked: a weighted mean of hundreds may be a little above one.
Score = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), _rounded(_SCORE_DECIMALS)]
Seconds = Annotated[float, Field(allow_inf_nan=False), _rounded(_TIME_DECIMALS)]
Measure = Annotated[float, Field(allow_inf_nan=False), _rounded(_MEASURE_DECIMALS)]
Ratio = Annotated[float, Field(allow_inf_nan=False), _rounded(_RATIO_DECIMALS)]
ContourPoint = tuple[Seconds, Measure | None]

WordStatus = Literal["ok", "mispronounced", "omitted"]


class _Model(BaseModel):
    # Unknown fields are let through: a reader must survive the fields of a later minor version.
    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)


class Span(_Model):
    """A stretch of time."""

    start: Seconds
    """Seconds from the start of the recording, or of the actor's clip for what is the actor's."""
    end: Seconds
    """Seconds from the start of the recording, or of the actor's clip for what is the actor's."""


class Scores(_Model):
    """The scores of the whole line, 0–100; null where an input for one is missing."""

    overall: Score | None
    """The other scores joined, as `weights` says."""
    pronunciation: Score | None
    """How well the phones were said; against the experts of speechocean762, their accuracy."""
    timing: Score | None
    """Closeness to the actor's onsets, tempo, durations and pauses; null without a timed line."""
    pitch: Score | None
    """Closeness to the actor's melody; null without a pitch contour or voiced speech."""
    fluency: Score | None
    """Speed, pauses and repetitions, whoever the actor was."""
    completeness: Score | None
    """The share of the line's words that were said."""
    prosody: Score | None
    """Intonation, stress and rhythm as the experts judge them, whoever the actor was."""


class WordScores(_Model):
    """The scores of one word, 0–100; null where it cannot be said."""

    overall: Score | None
    """The others joined by the same weights."""
    pronunciation: Score | None
    """How well its phones were said."""
    timing: Score | None
    """Its onset, its duration and the pause before it, against the actor's."""
    pitch: Score | None
    """Its melody against the actor's; null below ten frames voiced in both."""


class PhoneResult(_Model):
    """One phone of a word as it was said."""

    phone: str
    """ARPAbet, upper case, no stress digit."""
    score: Score | None
    """0–100; null where the phone could not be placed."""
    start: Seconds
    """Seconds from the start of the recording."""
    end: Seconds
    """Seconds from the start of the recording."""
    # Most phones are most of a result: two nulls in each would be a fifth of its bytes.
    said: str | None = Field(default=None, exclude_if=_is_none)
    """The phone that was likelier heard instead; absent when there is no evidence for one."""
    said_confidence: Ratio | None = Field(default=None, exclude_if=_is_none)
    """0–1: how likely that other phone is; absent with it."""


class WordResult(_Model):
    """One word of the reference, in the reference's order."""

    index: int
    """Counts the reference's words from 0."""
    word: str
    """The word as the reference spells it."""
    status: WordStatus
    """Whether it was said, said badly, or left out."""
    scores: WordScores
    """The word's own scores."""
    reference: Span | None
    """Where the actor's clip has it; null for a reference without times."""
    user: Span | None
    """Where the recording has it; null when it was left out or could not be placed."""
    phones: list[PhoneResult]
    """Its phones; those of a word that was left out have the score 0, or are not there."""


class PitchParts(_Model):
    """What the pitch score is made of, each 0–100."""

    shape: Score | None
    """Rises and falls at the same places: the correlation of the two contours."""
    range: Score | None
    """The melody spans as many semitones as the actor's."""


class Contours(_Model):
    """Both melodies on the recording's clock, thinned to what a plot needs.

    Each is in semitones from its own speaker's median; a point with null ends a voiced stretch.
    """

    user: list[ContourPoint]
    """The recording's melody."""
    reference: list[ContourPoint]
    """The actor's melody, its words laid over the recording's words."""


class PitchDetail(_Model):
    """The melody against the actor's."""

    parts: PitchParts | None = None
    """Null when there is no pitch score."""
    correlation: Ratio | None = None
    """Pearson correlation of the two contours in semitones, −1 to 1."""
    rmse_semitones: Measure | None = None
    """Root mean square distance of the two contours."""
    range_ratio: Ratio | None = None
    """The recording's standard deviation in semitones over the actor's."""
    shared_frames: int = 0
    """Frames of the reference voiced in both; below ten there is no score."""
    user_median_hz: Measure | None = None
    """The recording's median fundamental frequency."""
    reference_median_hz: Measure | None = None
    """The actor's median fundamental frequency."""
    contours: Contours | None = None
    """Null when no contour was given, and in the short form of a result."""


class TimingParts(_Model):
    """What the timing score is made of, each 0–100."""

    onsets: Score | None
    """Words begin when the actor's do, once a constant delay is taken away."""
    tempo: Score | None
    """The line takes as long as the actor's."""
    durations: Score | None
    """Words are long and short where the actor's are, at the speaker's own tempo."""
    pauses: Score | None
    """Pauses lie where the actor's do; null when neither pauses."""
    rhythm: Score | None
    """Long and short vowels alternate as much as the actor's; null in short lines."""


class TimingDetail(_Model):
    """The timing against the actor's."""

    parts: TimingParts | None = None
    """Null when there is no timing score."""
    offset_s: Seconds | None = None
    """The constant delay taken away: positive when the recording starts later."""
    tempo_ratio: Ratio | None = None
    """The recording's length over the actor's, first onset to last offset: above 1 is slower."""
    onset_error_s: Seconds | None = None
    """Mean absolute onset error after the offset."""
    npvi_user: Measure | None = None
    """Normalised pairwise variability index of the recording's vowels."""
    npvi_reference: Measure | None = None
    """The same of the actor's vowels."""
    matched_words: int = 0
    """Words that both have."""


class FluencyDetail(_Model):
    """How the speech flows, whoever the actor was; null where there is too little of it."""

    syllables: int | None = None
    """Syllables that were placed."""
    speech_rate: Measure | None = None
    """Syllables a second, first word to last, pauses counted in."""
    articulation_rate: Measure | None = None
    """Syllables a second, pauses left out."""
    phonation_ratio: Ratio | None = None
    """The share of the time, first word to last, that is speech."""
    pause_count: int | None = None
    """Silent pauses inside the line."""
    pause_total_s: Seconds | None = None
    """Their length together."""
    longest_pause_s: Seconds | None = None
    """The longest of them."""
    npvi_vowels: Measure | None = None
    """Normalised pairwise variability index of the vowels."""
    percent_vowels: Measure | None = None
    """The share of speech that is vowel, in percent (%V)."""


class LoudnessDetail(_Model):
    """The loudness shape against the actor's; only where reference audio was given."""

    score: Score | None
    """0–100; not part of `overall`."""
    correlation: Ratio | None
    """Of the two loudness curves in decibels over the matched words."""
    range_ratio: Ratio | None
    """The recording's standard deviation in decibels over the actor's."""


class SpectrumDetail(_Model):
    """The spectral likeness to the actor; only where reference audio was given."""

    score: Score | None
    """0–100; not part of `overall`: another voice lowers it."""
    distance: Ratio | None
    """Mean distance of cepstra along the best path."""
    chance_distance: Ratio | None
    """The same with the reference turned back to front: what no likeness would give."""


class InsertionResult(_Model):
    """Speech that does not stand in the line: a word said twice, a word too many, another voice."""

    start: Seconds
    """Seconds from the start of the recording."""
    end: Seconds
    """Seconds from the start of the recording."""
    before_word_index: int | None
    """The reference word that follows it; null after the last."""


class FeedbackItem(_Model):
    """One thing to tell the learner."""

    code: str
    """Stable; the sentence table gives its sentence in every language."""
    message: str
    """The sentence, in the language asked for."""
    word_index: int | None = None
    """The word it is about; null when it is about the whole line."""
    start: Seconds | None = None
    """Where to listen, seconds from the start of the recording."""
    end: Seconds | None = None
    """Where to stop listening."""
    effect: Measure = 0.0
    """About how many points of `overall` it costs; the list is ordered by it."""
    values: dict[str, str | int | float] = Field(default_factory=dict)
    """What the sentence is filled with, for a translation elsewhere."""


class AudioWarningResult(_Model):
    """Something about the sound that may make the scores less sure."""

    code: str
    """Such as `clipping`, `low_level`, `very_short`."""
    message: str
    """The same for people."""


class Waveform(_Model):
    """The outline of the recording, for a picture."""

    step_s: Seconds
    """Seconds to a value."""
    peaks: list[int]
    """Largest magnitude in each step, 0–100 of full scale."""


class AudioDetail(_Model):
    """The recording as it came."""

    duration_s: Seconds
    """Length of the decoded recording."""
    container: str | None
    """Such as wav, flac, mp4, webm."""
    codec: str | None
    """Such as pcm_16, aac, opus."""
    channels: int | None
    """Channels of the input; they are mixed to one."""
    sample_rate_hz: int | None
    """Sample rate of the input; it is resampled to 16 kHz."""
    peak_dbfs: Measure | None
    """Largest magnitude; null for digital silence."""
    rms_dbfs: Measure | None
    """Root mean square level; null for digital silence."""
    warnings: list[AudioWarningResult]
    """What may make the scores less sure."""
    waveform: Waveform | None
    """Null in the short form of a result."""


class AnalysisResult(_Model):
    """The scores of one recording against one reference, and what they rest on."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    """Version of this form; a change that breaks readers raises the first number."""
    scores: Scores
    """The line's scores."""
    weights: dict[str, float]
    """The share of each score in `overall`; they add up to 1, or are empty when it is null."""
    words: list[WordResult]
    """One for each word of the reference."""
    insertions: list[InsertionResult] = Field(default_factory=list)
    """Other speech between the words; no score is lowered for it."""
    pitch: PitchDetail
    """The melody against the actor's."""
    timing: TimingDetail
    """The timing against the actor's."""
    fluency: FluencyDetail
    """How the speech flows."""
    loudness: LoudnessDetail | None = None
    """Null without reference audio."""
    spectrum: SpectrumDetail | None = None
    """Null without reference audio."""
    feedback: list[FeedbackItem]
    """At most five things to tell the learner, the most telling first."""
    audio: AudioDetail
    """The recording as it came."""
    engine: dict[str, str]
    """What computed this: version, profile, aligner, scorer and their notes."""
    timings_ms: dict[str, float]
    """Milliseconds of each stage; the only part that differs from run to run."""

    def compact(self) -> AnalysisResult:
        """Leave out phones, contours and the waveform, for an event of limited size."""
        return self.model_copy(
            update={
                "words": [word.model_copy(update={"phones": []}) for word in self.words],
                "pitch": self.pitch.model_copy(update={"contours": None}),
                "audio": self.audio.model_copy(update={"waveform": None}),
            }
        )

    def without_timings(self) -> dict[str, Any]:
        """Give the part that is equal to the bit for equal inputs, as plain data."""
        return self.model_dump(mode="json", exclude={"timings_ms"})
