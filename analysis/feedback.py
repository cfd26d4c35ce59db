"""What to tell the learner: at most five things, those that cost most first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from analysis.pitch import spread_semitones
from analysis.sentences import SENTENCES, Language, sentence
from analysis.timing import PART_WEIGHTS

if TYPE_CHECKING:
    from analysis.aligned import Alignment
    from analysis.assessment import Assessment, PhoneAssessment, WordAssessment
    from analysis.audio import Recording
    from analysis.contour import PitchContour
    from analysis.fluency import Fluency
    from analysis.melody import PitchComparison
    from analysis.reference import Reference
    from analysis.timing import TimingComparison, WordTiming

MAX_ITEMS: Final = 5
# A thing that costs less than this many points of the overall score is not worth a sentence.
MIN_EFFECT: Final = 0.5

UNCLEAR_PHONE_BELOW: Final = 50.0
TEMPO_PERCENT: Final = 10
PAUSE_ERROR_S: Final = 0.25
ONSET_ERROR_S: Final = 0.15
DURATION_RATIO: Final = 1.4
FLAT_BELOW: Final = 0.6
WIDE_ABOVE: Final = 1.7
WORD_MELODY_BELOW: Final = 50.0
END_MOVEMENT_SEMITONES: Final = 2.0
PAUSES_S: Final = 0.5
MONOTONE_SEMITONES: Final = 1.5


@dataclass(frozen=True)
class Advice:
    """One thing to say, not yet in any language.

    Attributes
    ----------
    code : a key of `SENTENCES`.
    effect : about how many points of the overall score it costs.
    word_index : the word it is about, None for the whole line.
    span : where to listen, (start, end) in seconds on the recording; None when nowhere.
    values : what the sentence is filled with.
    """

    code: str
    effect: float = 0.0
    word_index: int | None = None
    span: tuple[float, float] | None = None
    values: dict[str, str | int | float] = field(default_factory=dict)

    def say(self, language: Language) -> str:
        """Return the sentence."""
        return sentence(self.code, self.values, language)


@dataclass(frozen=True)
class Evidence:
    """All that feedback is drawn from: the line, its measures, and what each score weighs."""

    recording: Recording
    reference: Reference
    alignment: Alignment
    assessment: Assessment
    timing: TimingComparison | None
    pitch: PitchComparison | None
    own_pitch: PitchContour
    fluency: Fluency
    weights: Mapping[str, float]
    overall: float | None

    def word(self, index: int) -> str:
        """Return the spelling of a word of the reference."""
        return self.reference.words[index].text

    def span(self, index: int) -> tuple[float, float] | None:
        """Return where a word lies on the recording."""
        placed = self.alignment.words[index]
        return None if placed is None else (placed.start, placed.end)


def advise(evidence: Evidence) -> list[Advice]:
    """Choose what to tell the learner, ordered by what it costs, at most five items.

    Silence and another text are the only thing said. Speech beside the line and warnings about
    the sound come last: they cost nothing by themselves, and always have their place.
    """
    if evidence.assessment.speech != "ok":
        found = [Advice(evidence.assessment.speech, effect=100.0)]
        return found + _sound_warnings(evidence)
    found = []
    if not evidence.alignment.placed:
        found.append(Advice("not_aligned"))
    costly = [
        *_omissions(evidence),
        *_pronunciation(evidence),
        *_timing(evidence),
        *_melody(evidence),
        *_delivery(evidence),
    ]
    # Python's sort is stable, so equal effects stay in the order of the line.
    costly.sort(key=lambda advice: -advice.effect)
    found += [advice for advice in costly if advice.effect >= MIN_EFFECT]
    notes = [*_insertion(evidence), *_sound_warnings(evidence)]
    if not found and not notes and evidence.overall is not None:
        found.append(Advice("well_done"))
    return [*found[: MAX_ITEMS - len(notes)], *notes][:MAX_ITEMS]


def _omissions(evidence: Evidence) -> Iterator[Advice]:
    """Join neighbouring omitted words into one sentence each."""
    run: list[int] = []
    for word in [*evidence.assessment.words, None]:
        if word is not None and word.status == "omitted":
            run.append(word.index)
        elif run:
            share = len(run) / len(evidence.assessment.words)
            yield Advice(
                "omitted",
                effect=100.0 * share * sum(evidence.weights.values()),
                word_index=run[0],
                span=_gap(evidence, run[0], run[-1]),
                values={"words": " ".join(evidence.word(index) for index in run)},
            )
            run = []


def _insertion(evidence: Evidence) -> Iterator[Advice]:
    """Name the longest stretch that was said beside the line."""
    found = evidence.assessment.insertions
    if not found:
        return
    longest = max(found, key=lambda one: one.end - one.start)
    span = (longest.start, longest.end)
    if longest.before is None:
        yield Advice("inserted_after", span=span)
    else:
        values: dict[str, str | int | float] = {"word": evidence.word(longest.before)}
        yield Advice("inserted", word_index=longest.before, span=span, values=values)


def _gap(evidence: Evidence, first: int, last: int) -> tuple[float, float] | None:
    """Return the stretch of the recording where omitted words would have been."""
    before = [w.end for w in evidence.alignment.placed if w.index < first]
    after = [w.start for w in evidence.alignment.placed if w.index > last]
    if not before and not after:
        return None
    start = max(before) if before else 0.0
    end = min(after) if after else evidence.recording.duration
    return (start, max(start, end))


def _pronunciation(evidence: Evidence) -> Iterator[Advice]:
    weight = evidence.weights.get("pronunciation", 0.0)
    words = evidence.assessment.words
    for word in words:
        if word.status == "omitted" or word.score is None:
            continue
        worst = _worst_phone(word)
        unclear = worst is not None and (worst.score or 0.0) < UNCLEAR_PHONE_BELOW
        if word.status != "mispronounced" and not unclear:
            continue
        values: dict[str, str | int | float] = {"word": evidence.word(word.index)}
        span = evidence.span(word.index)
        code = "word_unclear"
        # What was said instead is told of no other phone than one that scored low.
        if worst is not None and (unclear or worst.said is not None):
            code = "sound_unclear"
            values["sound"] = worst.phone
            span = (worst.start, worst.end)
            if worst.said is not None:
                code = "sound_replaced"
                values["said"] = worst.said
        yield Advice(
            code,
            effect=weight * (100.0 - word.score) / len(words),
            word_index=word.index,
            span=span,
            values=values,
        )


def _worst_phone(word: WordAssessment) -> PhoneAssessment | None:
    scored = [phone for phone in word.phones if phone.score is not None]
    return min(scored, key=lambda phone: phone.score or 0.0, default=None)


def _timing(evidence: Evidence) -> Iterator[Advice]:
    timing = evidence.timing
    if timing is None or timing.score is None:
        return
    parts = {name: getattr(timing, name) for name in PART_WEIGHTS}
    there = sum(PART_WEIGHTS[name] for name, score in parts.items() if score is not None)
    weight = evidence.weights.get("timing", 0.0)

    def cost(part: str, score: float, words: int = 1) -> float:
        return weight * PART_WEIGHTS[part] / there * (100.0 - score) / words

    percent = round(100.0 * ((timing.tempo_ratio or 1.0) - 1.0))
    off_tempo = abs(percent) >= TEMPO_PERCENT
    if off_tempo and timing.tempo is not None:
        # Words drift from their onsets because of the tempo: it answers for both.
        effect = cost("tempo", timing.tempo) + cost("onsets", _or_full(timing.onsets))
        yield Advice(
            "too_slow" if percent > 0 else "too_fast",
            effect=effect,
            values={"percent": abs(percent)},
        )
    words = [word for word in timing.words if word is not None]
    for word in words:
        if word.pause_error is not None and abs(word.pause_error) >= PAUSE_ERROR_S:
            gaps = sum(other.pause_error is not None for other in words)
            yield _about(
                evidence,
                word,
                "pause_added" if word.pause_error > 0 else "pause_missing",
                cost("pauses", _or_full(timing.pauses), gaps)
                + cost("onsets", _or_full(timing.onsets), 2 * gaps),
                seconds=round(abs(word.pause_error), 1),
            )
    if not words:
        return
    stretched = max(words, key=lambda word: max(word.duration_ratio, 1.0 / word.duration_ratio))
    times = max(stretched.duration_ratio, 1.0 / stretched.duration_ratio)
    if timing.durations is not None and times >= DURATION_RATIO:
        yield _about(
            evidence,
            stretched,
            "word_long" if stretched.duration_ratio > 1.0 else "word_short",
            cost("durations", timing.durations),
            times=round(times, 1),
        )
    # What was left out or paused over shifts every word after it, and has its own sentence.
    shifted = any(word is None for word in timing.words) or any(
        abs(word.pause_error or 0.0) >= PAUSE_ERROR_S for word in words
    )
    if timing.onsets is not None and not off_tempo and not shifted:
        late = max(words, key=lambda word: abs(word.onset_error))
        if abs(late.onset_error) >= ONSET_ERROR_S:
            yield _about(
                evidence,
                late,
                "word_late" if late.onset_error > 0 else "word_early",
                cost("onsets", timing.onsets),
                seconds=round(abs(late.onset_error), 1),
            )


def _about(
    evidence: Evidence, word: WordTiming, code: str, effect: float, **values: float
) -> Advice:
    return Advice(
        code,
        effect=effect,
        word_index=word.index,
        span=evidence.span(word.index),
        values={"word": evidence.word(word.index), **values},
    )


def _melody(evidence: Evidence) -> Iterator[Advice]:
    pitch = evidence.pitch
    if pitch is None or pitch.score is None:
        return
    lost = evidence.weights.get("pitch", 0.0) * (100.0 - pitch.score)
    ratio = pitch.range_ratio or 0.0
    if ratio < FLAT_BELOW:
        yield Advice("melody_flat", effect=lost)
        return
    if ratio > WIDE_ABOVE:
        yield Advice("melody_wide", effect=lost)
        return
    ending = None
    if pitch.final_movement is not None:
        ours, theirs = pitch.final_movement
        opposite = ours * theirs < 0
        if opposite and min(abs(ours), abs(theirs)) >= END_MOVEMENT_SEMITONES:
            ending = len(pitch.word_scores) - 1
            yield Advice(
                "end_should_rise" if theirs > 0 else "end_should_fall",
                effect=lost / 2,
                word_index=ending,
                span=evidence.span(ending),
                values={"word": evidence.word(ending)},
            )
    scored = [
        (score, index)
        for index, score in enumerate(pitch.word_scores)
        if score is not None and index != ending
    ]
    if scored and min(scored)[0] < WORD_MELODY_BELOW:
        index = min(scored)[1]
        yield Advice(
            "melody_differs",
            effect=lost / 2,
            word_index=index,
            span=evidence.span(index),
            values={"word": evidence.word(index)},
        )


def _delivery(evidence: Evidence) -> Iterator[Advice]:
    """Advise on flow and melody where there is no actor to compare with."""
    if evidence.timing is not None:
        return
    assessment = evidence.assessment
    pauses = evidence.fluency.pause_total
    if assessment.fluency is not None and pauses >= PAUSES_S:
        effect = evidence.weights.get("fluency", 0.0) * (100.0 - assessment.fluency)
        long = max(evidence.fluency.pauses, key=lambda pause: pause.duration)
        yield Advice(
            "pauses",
            effect=effect,
            span=(long.start, long.start + long.duration),
            values={"seconds": round(pauses, 1)},
        )
    spread = spread_semitones(evidence.own_pitch)
    if assessment.prosody is not None and spread is not None and spread < MONOTONE_SEMITONES:
        effect = evidence.weights.get("prosody", 0.0) * (100.0 - assessment.prosody)
        yield Advice("monotone", effect=effect)


def _sound_warnings(evidence: Evidence) -> list[Advice]:
    """Tell what was wrong with the sound; of its scale only where nothing was left to hear."""
    heard = evidence.assessment.speech != "no_speech"
    codes = [warning.code for warning in evidence.recording.warnings]
    return [Advice(c) for c in codes if c in SENTENCES and not (c == "over_range" and heard)]


def _or_full(score: float | None) -> float:
    return 100.0 if score is None else score
