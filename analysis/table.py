"""A result as a table for a terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.result import AnalysisResult, WordResult

GOOD_FROM: Final = 80.0
FAIR_FROM: Final = 60.0


def print_result(result: AnalysisResult, console: Console | None = None) -> None:
    """Print the line's scores, its words and the feedback."""
    console = console or Console(highlight=False)
    console.print(_line_table(result))
    console.print(_word_table(result))
    for item in result.feedback:
        where = f"{item.start:5.2f} s  " if item.start is not None else "         "
        console.print(Text(f"{where}{item.message}"))
    spent = sum(result.timings_ms.values())
    engine = ", ".join(f"{name} {value}" for name, value in result.engine.items())
    console.print(
        Text(f"{result.audio.duration_s:.1f} s of audio in {spent:.0f} ms; {engine}", "dim"),
        soft_wrap=True,
    )


def _line_table(result: AnalysisResult) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    names = list(type(result.scores).model_fields)
    for name in names:
        table.add_column(name, justify="right")
    table.add_row(*(_number(getattr(result.scores, name)) for name in names))
    return table


def _word_table(result: AnalysisResult) -> Table:
    table = Table(pad_edge=False)
    for name in ("word", "said at", "overall", "pron.", "timing", "pitch", "phones"):
        table.add_column(name, justify="left" if name in ("word", "phones") else "right")
    for word in result.words:
        table.add_row(
            Text(word.word),
            f"{word.user.start:.2f}–{word.user.end:.2f}" if word.user else "–",
            _number(word.scores.overall),
            _number(word.scores.pronunciation),
            _number(word.scores.timing),
            _number(word.scores.pitch),
            _phones(word),
        )
    return table


def _phones(word: WordResult) -> Text:
    if word.status == "omitted":
        return Text("left out", "red")
    line = Text()
    for phone in word.phones:
        said = f"→{phone.said}" if phone.said else ""
        line.append(f"{phone.phone}{said} ", _style(phone.score))
    return line


def _number(score: float | None) -> Text:
    return Text("–", "dim") if score is None else Text(f"{score:.0f}", _style(score))


def _style(score: float | None) -> str:
    if score is None:
        return "dim"
    return "green" if score >= GOOD_FROM else "yellow" if score >= FAIR_FROM else "red"
