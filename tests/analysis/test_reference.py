"""A TextGrid of any of its writers becomes a `Reference`."""

from __future__ import annotations

import codecs
import json
import time

import numpy as np
import pytest

from analysis.contour import PitchContour
from analysis.errors import AudioError, ReferenceFormatError
from analysis.reference import Reference
from tests.analysis.sound_files import bursts, by_soundfile
from tests.analysis.textgrids import (
    HELLO,
    HELLO_PHONES,
    GridTier,
    Marked,
    later,
    long_text,
    short_text,
    words_and_phones,
)

WORDS = GridTier("words", HELLO)
PHONES = GridTier("phones", HELLO_PHONES)
POINTS = GridTier("tones", points=((0.3, "H*"), (0.8, 'L"L%')))


def read(text: str) -> Reference:
    return Reference.from_textgrid(text.encode())


def spans(reference: Reference) -> list[tuple[str, float | None, float | None]]:
    return [(word.text, word.start, word.end) for word in reference.words]


EXPECTED = [("Hello", 0.2, 0.6), ("you", 0.6, 1.0)]


@pytest.mark.parametrize(
    "data",
    [
        words_and_phones().encode(),
        codecs.BOM_UTF8 + words_and_phones().encode(),
        words_and_phones().encode("utf-16"),
        codecs.BOM_UTF16_BE + words_and_phones().encode("utf-16-be"),
        words_and_phones().encode("utf-16-le"),
        words_and_phones().encode("utf-16-be"),
        words_and_phones().replace("\n", "\r\n").encode(),
        short_text(WORDS, PHONES).encode(),
        short_text(WORDS, PHONES).replace('"ooTextFile"', '"ooTextFile short"').encode(),
        short_text(WORDS, PHONES).replace('Object class = "TextGrid"', '"TextGrid"').encode(),
        short_text(WORDS, PHONES).replace("\n", " ").encode(),
        long_text(POINTS, WORDS, PHONES, POINTS).encode(),
        short_text(POINTS, WORDS, PHONES, POINTS).encode(),
        long_text(PHONES, WORDS).encode(),
        ("! made by hand\n" + words_and_phones()).encode(),
    ],
    ids=[
        "long",
        "utf-8 mark",
        "utf-16",
        "utf-16 big endian",
        "utf-16 little endian without mark",
        "utf-16 big endian without mark",
        "windows lines",
        "short",
        "old short",
        "bare short",
        "one line",
        "point tiers beside, long",
        "point tiers beside, short",
        "phones first",
        "comment",
    ],
)
def test_every_layout_says_the_same(data: bytes) -> None:
    reference = Reference.from_textgrid(data)
    assert spans(reference) == EXPECTED
    assert reference.words[0].pronunciation == ("HH", "AH0", "L", "OW1")
    assert reference.duration == pytest.approx(1.3)
    assert reference.is_timed


def test_phones_carry_their_time_and_stress_apart() -> None:
    phones = read(words_and_phones()).words[0].phones
    assert [phone.phone for phone in phones] == ["HH", "AH", "L", "OW"]
    assert [phone.stress for phone in phones] == [None, 0, None, 1]
    assert [(phone.start, phone.end) for phone in phones] == [
        (0.2, 0.3),
        (0.3, 0.4),
        (0.4, 0.5),
        (0.5, 0.6),
    ]


@pytest.mark.parametrize(
    ("words", "phones"),
    [
        ("words", "phones"),
        ("Words", "Phones"),
        ("WORD", "PHONE"),
        ("Anna - words", "Anna - phones"),
        ("Heath Ledger - words", "Heath Ledger - phones"),
        ("speaker_1_words", "speaker_1_phones"),
        ("배우 - words", "배우 - phones"),
        (" words ", " phones "),
        ("words", "Anna - phones"),
    ],
)
def test_tiers_are_known_in_any_case_and_with_a_speaker(words: str, phones: str) -> None:
    reference = read(long_text(GridTier(words, HELLO), GridTier(phones, HELLO_PHONES)))
    assert spans(reference) == EXPECTED
    assert reference.words[1].pronunciation == ("Y", "UW1")


def test_phones_of_another_speaker_are_not_taken() -> None:
    other = GridTier("Ben - phones", ((0.0, 1.3, "AA1"),))
    mine = GridTier("Anna - phones", HELLO_PHONES)
    reference = read(long_text(other, mine, GridTier("Anna - words", HELLO)))
    assert reference.words[0].pronunciation == ("HH", "AH0", "L", "OW1")


def test_an_aligners_empty_tiers_of_other_speakers_are_passed_over() -> None:
    silent = GridTier("Ben - words", ((0.0, 1.3, ""),))
    reference = read(long_text(silent, GridTier("Anna - words", HELLO)))
    assert spans(reference) == EXPECTED


def test_without_phones_the_words_stand_alone() -> None:
    reference = read(long_text(WORDS))
    assert spans(reference) == EXPECTED
    assert all(word.phones == () and word.pronunciation is None for word in reference.words)


@pytest.mark.parametrize(
    "mark",
    [
        "",
        " ",
        "sil",
        "SIL",
        "sp",
        "spn",
        "h#",
        "pau",
        "EPs",
        "epi",
        "nsn",
        "<eps>",
        "[noise]",
        "{breath}",
        "(sighs)",
        "...",
        "—",
    ],
)
def test_what_is_no_word_is_left_out(mark: str) -> None:
    words = (*HELLO[:3], (1.0, 1.3, mark))
    assert spans(read(long_text(GridTier("words", words)))) == EXPECTED


NAMES_OF_SILENCE = ["silence", "Noise"]


@pytest.mark.parametrize("word", NAMES_OF_SILENCE)
def test_words_that_are_names_of_silence_elsewhere_are_words_of_a_line(word: str) -> None:
    words = (*HELLO[:3], (1.0, 1.3, word))
    assert spans(read(long_text(GridTier("words", words)))) == [*EXPECTED, (word, 1.0, 1.3)]
    said = (*HELLO_PHONES[:7], (1.0, 1.2, "N"), (1.2, 1.3, "OY1"))
    reference = read(long_text(GridTier("words", words), GridTier("phones", said)))
    assert reference.words[2].pronunciation == ("N", "OY1")
    unknown = (*HELLO_PHONES[:7], (1.0, 1.3, "spn"))
    reference = read(long_text(GridTier("words", words), GridTier("phones", unknown)))
    assert spans(reference) == [*EXPECTED, (word, 1.0, 1.3)]


@pytest.mark.parametrize("word", NAMES_OF_SILENCE)
def test_a_tier_of_nothing_else_is_that_of_another_speaker(word: str) -> None:
    silent = GridTier("Ben - words", ((0.0, 1.3, word),))
    assert spans(read(long_text(silent, GridTier("Anna - words", HELLO)))) == EXPECTED


@pytest.mark.parametrize("word", NAMES_OF_SILENCE)
def test_without_phones_they_are_pauses_where_the_tier_marks_no_others(word: str) -> None:
    edges = (0.0, 0.2, word), *HELLO[1:3], (1.0, 1.3, word)
    assert spans(read(long_text(GridTier("words", edges)))) == EXPECTED
    between = (0.0, 0.5, "Hello"), (0.5, 0.7, word), (0.7, 1.3, "you")
    assert [w.text for w in read(long_text(GridTier("words", between))).words] == ["Hello", "you"]
    gap = (0.0, 0.4, "make"), (0.5, 0.7, "some"), (0.7, 1.3, word)
    assert [w.text for w in read(long_text(GridTier("words", gap))).words][2:] == [word]
    alone = ((0.0, 1.3, word),)
    assert [w.text for w in read(long_text(GridTier("words", alone))).words] == [word]


@pytest.mark.parametrize("word", NAMES_OF_SILENCE)
def test_where_nothing_is_said_beside_them_they_are_silence(word: str) -> None:
    words = (*HELLO[:3], (1.0, 1.3, word))
    assert spans(read(long_text(GridTier("words", words), PHONES))) == EXPECTED


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Hello,", "Hello"),
        ("“Hello!”", "Hello"),
        ("don’t", "don't"),
        ("'cause", "'cause"),
        ("'Hello'", "Hello"),
        ("goin'", "goin'"),
        ("actors'", "actors"),
        ("well-known.", "well-known"),
        ("café", "café"),
        ("42", "42"),
        ("$5.", "$5"),
        ("“50%”", "50%"),
        ("$ US%", "US"),
        ('the ""king""', 'the ""king'),
    ],
)
def test_punctuation_around_a_word_is_stripped_and_inside_it_kept(given: str, kept: str) -> None:
    words = ((0.0, 1.0, given),)
    assert read(long_text(GridTier("words", words))).words[0].text == kept


def test_phones_that_straddle_a_word_boundary_belong_where_their_middle_is() -> None:
    words = ((0.0, 0.5, "at"), (0.5, 1.0, "you"))
    phones = ((0.0, 0.3, "AE1"), (0.3, 0.52, "T"), (0.52, 0.7, "Y"), (0.7, 1.02, "UW1"))
    reference = read(long_text(GridTier("words", words), GridTier("phones", phones), end=1.02))
    assert [word.pronunciation for word in reference.words] == [("AE1", "T"), ("Y", "UW1")]
    assert [(p.start, p.end) for p in reference.words[0].phones] == [(0.0, 0.3), (0.3, 0.5)]
    assert reference.words[1].phones[-1].end == 1.0


@pytest.mark.parametrize("mark", ["spn", "həloʊ", "HHH", "X9"])
def test_a_word_whose_phones_are_not_arpabet_is_left_to_the_dictionary(mark: str) -> None:
    phones = ((0.2, 0.6, mark), (0.6, 0.7, "Y"), (0.7, 1.0, "UW1"))
    reference = read(long_text(WORDS, GridTier("phones", phones)))
    assert reference.words[0].pronunciation is None
    assert reference.words[0].phones == ()
    assert reference.words[1].pronunciation == ("Y", "UW1")


def test_a_tier_of_another_alphabet_is_left_to_the_dictionary_whole() -> None:
    # "shut the love" in SAMPA: S, V and l are phones of ARPAbet too, but not those.
    words = ((0.0, 0.3, "shut"), (0.3, 0.5, "the"), (0.5, 0.8, "love"), (0.8, 1.0, "now"))
    marks = ("S", "V", "t", "D", "@", "l", "V", "v", "n", "aU")
    phones = [(i / 10, (i + 1) / 10, mark) for i, mark in enumerate(marks)]
    reference = read(long_text(GridTier("words", words), GridTier("phones", phones)))
    assert [word.pronunciation for word in reference.words] == [None] * 4
    assert all(word.phones == () for word in reference.words)


def test_a_word_without_a_vowel_among_others_keeps_its_phones() -> None:
    words = ((0.0, 0.3, "hmm"), *HELLO[2:3])
    phones = ((0.0, 0.2, "HH"), (0.2, 0.3, "M"), (0.6, 0.7, "Y"), (0.7, 1.0, "UW1"))
    reference = read(long_text(GridTier("words", words), GridTier("phones", phones)))
    assert [word.pronunciation for word in reference.words] == [("HH", "M"), ("Y", "UW1")]


def phones_of(*words: str) -> list[tuple[str, ...] | None]:
    """What is read of a line whose words have these phones, "SH_IY"; the words are called w."""
    tiers: tuple[list[Marked], list[Marked]] = [], []
    at = 0.0
    for word in words:
        begin = at
        for mark in word.split("_"):
            tiers[1].append((at, round(at + 0.1, 1), mark))
            at = round(at + 0.1, 1)
        tiers[0].append((begin, at, "w"))
    text = long_text(GridTier("words", tiers[0]), GridTier("phones", tiers[1]), end=at)
    return [word.pronunciation for word in read(text).words]


def test_timits_closures_are_silent() -> None:
    read_ = phones_of("bcl_b_ae_dcl_d", "kcl_k_ae_tcl", "gcl_g_eh_q", "pcl_p_eh_tcl_t")
    assert read_ == [("B", "AE", "D"), ("K", "AE"), ("G", "EH"), ("P", "EH", "T")]


def test_a_line_of_short_words_without_a_vowel_keeps_its_phones() -> None:
    assert phones_of("SH", "M") == [("SH",), ("M",)]
    assert phones_of("HH_M", "SH", "Y_UW1") == [("HH", "M"), ("SH",), ("Y", "UW1")]


def test_words_without_a_vowel_are_foreign_where_a_mark_cannot_be_read_or_they_are_long() -> None:
    assert phones_of("S_V_t", "l_V_v") == [None, None]
    assert phones_of("S_V", "V_S", "D_@") == [None, None, None]


def test_other_spellings_of_arpabet_are_folded() -> None:
    phones = ((0.2, 0.4, "hh_B"), (0.4, 0.6, "AX"), (0.6, 0.8, "el"), (0.8, 1.0, "UX1_E"))
    reference = read(long_text(WORDS, GridTier("phones", phones)))
    assert reference.words[0].pronunciation == ("HH", "AH")
    assert reference.words[1].pronunciation == ("AH", "L", "UW1")
    assert [(p.start, p.end) for p in reference.words[1].phones][:2] == [(0.6, 0.7), (0.7, 0.8)]


def test_a_mark_with_line_breaks_is_one_mark() -> None:
    comment = GridTier("comments", ((0.0, 1.3, 'first\nsecond "quoted"\u2028third'),))
    assert spans(read(long_text(comment, WORDS))) == EXPECTED


def film(offset: float, **tier: float) -> str:
    return long_text(
        GridTier("words", later(HELLO, offset)),
        GridTier("phones", later(HELLO_PHONES, offset)),
        **{"start": offset, "end": 1.3 + offset} | tier,
    )


def pitch_from(start: float, *, hz: float = 120.0) -> bytes:
    times = np.round(start + np.arange(13) * 0.1, 3)
    return json.dumps([{"time": t, "hz": hz} for t in times.tolist()]).encode()


@pytest.mark.parametrize("pitch_start", [5025.5, 0.0], ids=["film time", "clip time"])
def test_film_time_is_moved_to_the_start_of_the_clip(pitch_start: float) -> None:
    reference = Reference.from_textgrid(film(5025.5).encode(), pitch=pitch_from(pitch_start))
    assert spans(reference) == EXPECTED
    assert reference.words[0].phones[0].start == 0.2
    assert reference.duration == pytest.approx(1.3)
    assert reference.pitch is not None
    np.testing.assert_allclose(reference.pitch.times[[0, -1]], [0.0, 1.2], atol=1e-9)


def test_film_time_of_the_tier_alone_is_moved_too() -> None:
    text = film(5025.5, start=0.0, tier_start=5025.5)
    assert spans(read(text)) == EXPECTED


def test_film_time_without_a_start_begins_with_the_first_word() -> None:
    words = GridTier("words", [i for i in later(HELLO, 5025.5) if i[2]])
    reference = Reference.from_textgrid(
        long_text(words, start=0.0, end=7200.0).encode(), pitch=pitch_from(5025.7)
    )
    assert spans(reference) == [("Hello", 0.0, 0.4), ("you", 0.4, 0.8)]
    assert reference.duration == pytest.approx(0.8)
    assert reference.pitch is not None
    assert reference.pitch.times[0] == pytest.approx(0.0)


@pytest.mark.parametrize("pitch_start", [0.5, 0.0])
def test_a_small_offset_is_told_from_clip_time_by_where_the_pitch_begins(
    pitch_start: float,
) -> None:
    reference = Reference.from_textgrid(film(0.5).encode(), pitch=pitch_from(pitch_start))
    assert reference.pitch is not None
    assert reference.pitch.times[0] == pytest.approx(0.0)


def test_a_pitch_that_fits_both_ways_counts_as_the_file_does() -> None:
    entries = [{"time": t / 10, "hz": 120.0} for t in range(4, 9)]
    reference = Reference.from_textgrid(film(0.2).encode(), pitch=json.dumps(entries).encode())
    assert reference.pitch is not None
    np.testing.assert_allclose(reference.pitch.times, [0.2, 0.3, 0.4, 0.5, 0.6])


def test_pitch_of_another_clip_is_refused() -> None:
    with pytest.raises(ReferenceFormatError, match="not of the same clip") as caught:
        Reference.from_textgrid(words_and_phones().encode(), pitch=pitch_from(5025.5))
    assert caught.value.code == "pitch_invalid"


def test_pitch_may_be_a_contour_and_audio_bytes() -> None:
    contour = PitchContour.from_json(pitch_from(0.0))
    flac = by_soundfile(bursts(16000), 16000, "FLAC", "PCM_16")
    reference = Reference.from_textgrid(words_and_phones().encode(), pitch=contour, audio=flac)
    assert reference.pitch is not None
    assert reference.audio is not None
    assert reference.audio.duration == 2.0
    with pytest.raises(AudioError):
        Reference.from_textgrid(words_and_phones().encode(), audio=b"no sound")


@pytest.mark.parametrize("xmin", [0.0, 55.0])
def test_audio_that_ends_before_the_first_word_is_left_out(xmin: float) -> None:
    flac = by_soundfile(bursts(16000), 16000, "FLAC", "PCM_16")
    words = GridTier("words", later(HELLO, 60.0))
    text = long_text(words, start=xmin, end=62.0)
    reference = Reference.from_textgrid(text.encode(), audio=flac)
    assert reference.audio is None
    assert [word.text for word in reference.words] == ["Hello", "you"]


def test_pitch_that_ends_before_the_words_begin_is_refused() -> None:
    words = GridTier("words", later(HELLO, 60.0))
    with pytest.raises(ReferenceFormatError, match="not of the same clip") as caught:
        Reference.from_textgrid(long_text(words, end=62.0).encode(), pitch=pitch_from(0.0))
    assert caught.value.code == "pitch_invalid"
    assert "covers 0–1.2 s and the words 60.2–61 s" in str(caught.value)


def test_the_largest_line_is_read_in_time() -> None:
    words = [(i / 10, (i + 1) / 10, "word") for i in range(999)]
    phones = [(i / 40, (i + 1) / 40, "AH0") for i in range(3996)]
    data = long_text(GridTier("words", words), GridTier("phones", phones), end=99.9).encode()
    start = time.process_time()
    assert len(Reference.from_textgrid(data).words) == 999
    assert time.process_time() - start < 1.0
