"""The sentences that feedback is told in, by code and language: the one table to translate.

A sentence is filled from the item's `values`; values that are ARPAbet phones (`sound`, `said`)
become a spelling with a key word, since learners do not read ARPAbet. In Korean each value is
followed by a noun, so that no particle hangs on how an English word ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Language = Literal["en", "ko"]

SENTENCES: Final[dict[str, dict[Language, str]]] = {
    "no_speech": {
        "en": "No speech was heard. Check the microphone and record the line again.",
        "ko": "목소리가 들리지 않았어요. 마이크를 확인하고 다시 녹음해 주세요.",
    },
    "wrong_text": {
        "en": "What was said does not match the line. Listen again and say the same words.",
        "ko": "대사와 다른 말로 들렸어요. 다시 듣고 같은 말을 따라 해 보세요.",
    },
    "not_aligned": {
        "en": "The line could not be read as English, so some scores are missing.",
        "ko": "대사를 영어로 읽을 수 없어 일부 점수가 빠졌어요.",
    },
    "omitted": {
        "en": "You left out “{words}”.",
        "ko": "“{words}” 부분을 빠뜨렸어요.",
    },
    "inserted": {
        "en": "Before “{word}” you said something that is not in the line.",
        "ko": "“{word}” 단어 앞에서 대사에 없는 말이 들렸어요.",
    },
    "inserted_after": {
        "en": "After the last word you said something that is not in the line.",
        "ko": "마지막 단어 뒤에 대사에 없는 말이 들렸어요.",
    },
    "sound_replaced": {
        "en": "In “{word}”, {sound} sounded like {said}.",
        "ko": "“{word}” 단어의 {sound} 소리가 {said} 소리처럼 들렸어요.",
    },
    "sound_unclear": {
        "en": "In “{word}”, {sound} was not clear.",
        "ko": "“{word}” 단어의 {sound} 소리가 또렷하지 않았어요.",
    },
    "word_unclear": {
        "en": "“{word}” was hard to recognise. Practise it on its own.",
        "ko": "“{word}” 단어를 알아듣기 어려웠어요. 이 단어만 따로 연습해 보세요.",
    },
    "too_slow": {
        "en": "You took {percent} % longer than the actor. Say the line faster.",
        "ko": "배우보다 {percent}% 더 오래 걸렸어요. 더 빠르게 말해 보세요.",
    },
    "too_fast": {
        "en": "You took {percent} % less time than the actor. Say the line more slowly.",
        "ko": "배우보다 {percent}% 더 빨리 끝났어요. 더 천천히 말해 보세요.",
    },
    "pause_added": {
        "en": "Before “{word}” you paused {seconds} s longer than the actor. Go straight on.",
        "ko": "“{word}” 단어 앞에서 배우보다 {seconds}초 더 쉬었어요. 이어서 말해 보세요.",
    },
    "pause_missing": {
        "en": "The actor pauses before “{word}”. Wait {seconds} s longer there.",
        "ko": "배우는 “{word}” 단어 앞에서 쉬어요. {seconds}초 더 쉬어 보세요.",
    },
    "word_late": {
        "en": "“{word}” came {seconds} s late.",
        "ko": "“{word}” 단어가 {seconds}초 늦었어요.",
    },
    "word_early": {
        "en": "“{word}” came {seconds} s early.",
        "ko": "“{word}” 단어가 {seconds}초 빨랐어요.",
    },
    "word_short": {
        "en": "Hold “{word}” longer: the actor takes {times} times as long for it.",
        "ko": "“{word}” 단어를 더 길게 말해 보세요. 배우는 {times}배 길게 말해요.",
    },
    "word_long": {
        "en": "Say “{word}” more quickly: you take {times} times as long for it as the actor.",
        "ko": "“{word}” 단어를 더 짧게 말해 보세요. 배우보다 {times}배 길어요.",
    },
    "melody_flat": {
        "en": "Your voice stays flat. Go higher and lower, as the actor does.",
        "ko": "목소리 높낮이가 단조로워요. 배우처럼 높낮이를 더 크게 움직여 보세요.",
    },
    "melody_wide": {
        "en": "Your voice goes up and down more than the actor's. Keep it calmer.",
        "ko": "목소리 높낮이가 배우보다 커요. 조금 더 차분하게 말해 보세요.",
    },
    "melody_differs": {
        "en": "On “{word}” your voice moves differently from the actor's. Listen to its melody.",
        "ko": "“{word}” 단어의 억양이 배우와 달라요. 억양을 다시 들어 보세요.",
    },
    "end_should_rise": {
        "en": "The actor's voice rises on “{word}”. Let yours rise at the end too.",
        "ko": "배우는 “{word}” 단어에서 끝을 올려요. 끝을 올려 보세요.",
    },
    "end_should_fall": {
        "en": "The actor's voice falls on “{word}”. Let yours fall at the end too.",
        "ko": "배우는 “{word}” 단어에서 끝을 내려요. 끝을 내려 보세요.",
    },
    "pauses": {
        "en": "You stopped inside the line, {seconds} s in all. Try to say it in one go.",
        "ko": "대사 중간에 모두 {seconds}초 멈췄어요. 끊지 말고 이어서 말해 보세요.",
    },
    "monotone": {
        "en": "Your voice stays flat. Raise it on the words that matter.",
        "ko": "목소리 높낮이가 단조로워요. 중요한 단어에서 목소리를 높여 보세요.",
    },
    "clipping": {
        "en": "The recording is too loud and distorted. Move away from the microphone.",
        "ko": "소리가 너무 커서 깨졌어요. 마이크에서 조금 떨어져 주세요.",
    },
    "low_level": {
        "en": "The recording is very quiet. Move closer to the microphone.",
        "ko": "소리가 너무 작아요. 마이크에 더 가까이 말해 주세요.",
    },
    "over_range": {
        "en": "Part of the recording is so loud that the rest is lost. Record the line again.",
        "ko": "녹음의 일부가 지나치게 커서 나머지 소리가 들리지 않아요. 다시 녹음해 주세요.",
    },
    "very_short": {
        "en": "The recording is very short. Record the whole line.",
        "ko": "녹음이 너무 짧아요. 대사 전체를 녹음해 주세요.",
    },
    "well_done": {
        "en": "Very good: there is nothing in particular to mend.",
        "ko": "아주 좋아요. 특별히 고칠 점이 없어요.",
    },
}

# A spelling and a key word for each phone, as a learner's dictionary gives them.
SOUNDS: Final[dict[str, tuple[str, str]]] = {
    "AA": ("o", "hot"),
    "AE": ("a", "cat"),
    "AH": ("u", "cup"),
    "AO": ("aw", "law"),
    "AW": ("ow", "now"),
    "AY": ("i", "time"),
    "B": ("b", "bad"),
    "CH": ("ch", "chair"),
    "D": ("d", "day"),
    "DH": ("th", "this"),
    "EH": ("e", "bed"),
    "ER": ("er", "bird"),
    "EY": ("ay", "say"),
    "F": ("f", "five"),
    "G": ("g", "go"),
    "HH": ("h", "house"),
    "IH": ("i", "sit"),
    "IY": ("ee", "see"),
    "JH": ("j", "job"),
    "K": ("k", "key"),
    "L": ("l", "leg"),
    "M": ("m", "man"),
    "N": ("n", "no"),
    "NG": ("ng", "sing"),
    "OW": ("o", "go"),
    "OY": ("oy", "boy"),
    "P": ("p", "pen"),
    "R": ("r", "red"),
    "S": ("s", "see"),
    "SH": ("sh", "she"),
    "T": ("t", "ten"),
    "TH": ("th", "think"),
    "UH": ("oo", "book"),
    "UW": ("oo", "food"),
    "V": ("v", "very"),
    "W": ("w", "we"),
    "Y": ("y", "yes"),
    "Z": ("z", "zoo"),
    "ZH": ("s", "vision"),
}

_SOUND_VALUES = ("sound", "said")


def sentence(code: str, values: Mapping[str, str | int | float], language: Language = "en") -> str:
    """Fill the sentence of a code in a language.

    Raises
    ------
    KeyError
        When the table has no such code or language, or the sentence names a value not given.
    """
    filled = {
        name: _sound(str(value)) if name in _SOUND_VALUES else value
        for name, value in values.items()
    }
    return SENTENCES[code][language].format_map(filled)


def _sound(phone: str) -> str:
    if phone not in SOUNDS:
        return phone
    spelling, key_word = SOUNDS[phone]
    return f"“{spelling}” ({key_word})"
