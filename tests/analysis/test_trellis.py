"""The best path of a line through posteriors that were laid out by hand."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.phones import PHONE_INDEX, PHONES, SILENCE
from analysis.trellis import (
    EXTRA_COST,
    LEAST_EXTRA_FRAMES,
    Path,
    Placement,
    best_part,
    best_path,
    best_places,
    log_evidence,
)

FLAT = np.log(np.full(len(PHONES) + 1, 1 / (len(PHONES) + 1)))
THE, CAT, SAT, BIG = ("DH", "AH"), ("K", "AE", "T"), ("S", "AE", "T"), ("B", "IH", "G")


def evidence(
    words: Sequence[Sequence[str]], *, each: int = 5, silence: int = 8
) -> NDArray[np.float64]:
    """Posteriors of the words said one after another, `each` frames a phone."""
    order = [SILENCE] * silence
    for word in words:
        for phone in word:
            order += [PHONE_INDEX[phone]] * each
    order += [SILENCE] * silence
    posteriors = np.full((len(order), len(PHONES) + 1), 0.003, np.float32)
    posteriors[np.arange(len(order)), order] = 0.9
    return log_evidence(posteriors / posteriors.sum(axis=1, keepdims=True), FLAT)


def path_through(found: NDArray[np.float64], words: Sequence[Sequence[str]]) -> Path:
    """The best path of a line that has one."""
    path = best_path(found, words)
    assert path is not None
    return path


def test_each_phone_lies_where_it_was_said() -> None:
    path = path_through(evidence([THE, CAT, SAT]), [THE, CAT, SAT])
    assert path.spans[:, 0].tolist() == [8 + 5 * phone for phone in range(8)]
    assert (path.spans[:, 1] - path.spans[:, 0] == 5).all()


def test_words_that_were_said_are_present() -> None:
    path = path_through(evidence([THE, CAT, SAT]), [THE, CAT, SAT])
    assert (path.presence > 10).all()


@pytest.mark.parametrize("place", range(4))
def test_a_word_that_was_not_said_is_absent_wherever_it_should_have_been(place: int) -> None:
    text = [THE, CAT, SAT]
    text.insert(place, BIG)
    path = path_through(evidence([THE, CAT, SAT]), text)
    assert path.presence[place] < 0
    assert (np.delete(path.presence, place) > 10).all()


def test_a_pause_between_words_belongs_to_no_phone() -> None:
    words = evidence([THE]), evidence([CAT])
    path = path_through(np.concatenate(words), [THE, CAT])
    assert path.spans[1, 1] == 18
    assert path.spans[2, 0] == len(words[0]) + 8


def test_a_single_word_may_be_the_whole_line() -> None:
    path = path_through(evidence([CAT]), [CAT])
    assert path.presence[0] > 10


def test_the_path_score_is_the_sum_of_what_it_passes() -> None:
    found = evidence([THE, CAT])
    assert path_through(found, [THE, CAT]).score == pytest.approx(found.max(axis=1).sum())


def test_fewer_frames_than_phones_have_no_path() -> None:
    assert best_path(evidence([CAT])[:2], [CAT]) is None


@pytest.mark.parametrize("place", range(4))
def test_a_word_that_is_not_in_the_line_is_found_where_it_was_said(place: int) -> None:
    said = [THE, CAT, SAT]
    said.insert(place, BIG)
    path = path_through(evidence(said), [THE, CAT, SAT])
    assert int(path.extra.argmax()) == place
    assert path.extra[place] > 30
    start = 8 + 5 * sum(len(word) for word in said[:place])
    assert path.extra_spans[place].tolist() == [start, start + 15]


def test_a_line_said_as_it_stands_wins_nothing_by_other_speech() -> None:
    path = path_through(evidence([THE, CAT, SAT]), [THE, CAT, SAT])
    assert (path.extra < 0).all()


def test_what_other_speech_wins_is_the_best_of_all_ways_to_place_it() -> None:
    found = evidence([THE, BIG, CAT], each=4, silence=2)
    found += np.random.default_rng(3).normal(0.0, 0.5, found.shape)
    words = [THE, CAT]
    speech = found[:, :SILENCE].max(axis=1) - EXTRA_COST
    path = path_through(found, words)

    def alone(frames: NDArray[np.float64], some: Sequence[Sequence[str]]) -> float:
        if not some:
            return float(frames[:, SILENCE].sum())
        best = best_path(frames, some)
        return -np.inf if best is None else best.score

    for gap in range(len(words) + 1):
        ways = [
            alone(found[:start], words[:gap])
            + float(speech[start:end].sum())
            + alone(found[end:], words[gap:])
            for start in range(len(found))
            for end in range(start + LEAST_EXTRA_FRAMES, len(found) + 1)
        ]
        assert path.extra[gap] == pytest.approx(max(ways) - path.score)


def test_a_recording_shorter_than_any_word_holds_no_other_speech() -> None:
    path = path_through(evidence([THE], each=2, silence=1), [THE])
    assert (path.extra < -1e6).all()


def in_states(found: NDArray[np.float64], each: int) -> NDArray[np.float64]:
    """The same evidence where a phone has several states, all alike."""
    return np.concatenate((np.repeat(found[:, :SILENCE], each, axis=1), found[:, SILENCE:]), axis=1)


def places(found: NDArray[np.float64], words: Sequence[Sequence[str]]) -> Placement:
    """Where a line has its phones, of three states each."""
    placed = best_places(found, words, 3)
    assert placed is not None
    return placed


def test_a_phone_of_several_states_lies_where_it_was_said() -> None:
    found, text = evidence([THE, CAT, SAT]), [THE, CAT, SAT]
    one, three = path_through(found, text), places(in_states(found, 3), text)
    assert three.spans.tolist() == one.spans.tolist()
    assert three.score == pytest.approx(one.score)


@pytest.mark.parametrize("seed", range(5))
def test_places_are_those_of_the_best_path(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(60, len(PHONES) + 1))
    words = [[PHONES[phone] for phone in rng.integers(0, len(PHONES), 3)] for _ in range(5)]
    path, placed = best_path(found, words), best_places(found, words, 1)
    assert path is not None
    assert placed is not None
    assert placed.spans.tolist() == path.spans.tolist()
    assert placed.score == path.score


def test_states_are_passed_in_their_order() -> None:
    """The last state comes too early: the phone begins where its first state is."""
    found = in_states(evidence([CAT], each=9), 3)
    vowel = 3 * PHONE_INDEX["AE"]
    start = 8 + 9
    for state, frames in ((2, range(3)), (0, range(3, 6)), (1, range(6, 8)), (2, range(8, 9))):
        for frame in frames:
            others = [vowel + one for one in range(3) if one != state]
            found[start + frame, others] = -20.0
    assert places(found, [CAT]).spans[1].tolist() == [start + 3, start + 9]


def test_no_phone_is_shorter_than_its_states() -> None:
    spans = places(in_states(evidence([THE, CAT], each=2), 3), [THE, CAT]).spans
    assert (spans[:, 1] - spans[:, 0]).min() >= 3
    assert best_places(in_states(evidence([CAT], each=1, silence=2), 3), [CAT], 3) is None


def test_the_fit_is_a_frame_of_speech_s_share_of_what_the_text_lacks() -> None:
    found = evidence([THE, CAT])
    path = path_through(found, [THE, CAT])
    assert path.fit == pytest.approx(0.0)
    assert path.speech_share == pytest.approx(25 / 41)
    other = path_through(found, [THE, BIG])
    lacking = found.max(axis=1).sum() - other.score
    assert other.fit == pytest.approx(-lacking / 25)


LINE = [THE, CAT, SAT, BIG, THE, BIG]


@pytest.mark.parametrize(("first", "past"), [(0, 3), (0, 1), (3, 6), (2, 5), (0, 6)])
def test_the_part_that_was_said_is_found_wherever_it_stands(first: int, past: int) -> None:
    found = evidence(LINE[first:past])
    part = best_part(found, LINE)
    assert part is not None
    assert part.fit == pytest.approx(0.0)
    assert [*LINE[part.first : part.past]] == LINE[first:past]


def test_a_part_is_found_where_there_are_fewer_frames_than_phones() -> None:
    found = evidence([THE], each=2, silence=1)
    assert best_path(found, LINE) is None
    part = best_part(found, LINE)
    assert part is not None
    assert LINE[part.first : part.past] == [THE]


def test_silence_is_no_part_of_a_line() -> None:
    assert best_part(evidence([]), LINE) is None


@pytest.mark.parametrize("said", [slice(0, 4), slice(2, 6)], ids=["no end", "no beginning"])
def test_a_line_wins_by_leaving_out_what_one_of_its_ends_lacks(said: slice) -> None:
    assert path_through(evidence(LINE[said]), LINE).shortened > 15.0


def test_a_line_that_was_said_to_its_ends_wins_nothing() -> None:
    assert path_through(evidence(LINE), LINE).shortened < 0.0
    assert path_through(evidence([CAT]), [CAT]).shortened == 0.0
