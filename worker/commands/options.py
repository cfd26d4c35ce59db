"""Options that several commands take, and how they are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from worker.deadletters import Sieve

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)", re.IGNORECASE)


@dataclass(frozen=True)
class Age:
    """A length of time, as people write it: 90s, 15m, 2h, 7d, 4w; a bare number is seconds."""

    seconds: float

    @classmethod
    def parse(cls, text: str) -> Age:
        """Read one; raises typer.BadParameter."""
        found = _AGE.fullmatch(text.strip())
        if found is None:
            raise typer.BadParameter(f"{text!r} is no length of time; write 90s, 15m, 2h or 7d")
        return cls(float(found[1]) * _UNITS_S[found[2].lower() or "s"])


def age_text(seconds: float | None) -> str:
    """A length of time in two units at most: 42s, 3m 10s, 5h 2m, 12d 4h."""
    if seconds is None:
        return "?"
    whole = max(0, round(seconds))
    for unit, smaller in (("d", "h"), ("h", "m"), ("m", "s")):
        size = _UNITS_S[unit]
        if whole >= size:
            rest = whole % size // _UNITS_S[smaller]
            return f"{whole // size}{unit} {rest}{smaller}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"


AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON.")]
Queue = Annotated[
    str | None,
    typer.Option(
        "--dlq",
        metavar="NAME|URL",
        help="Which dead-letter queue, where the queues have more than one.",
    ),
]
Codes = Annotated[
    list[str] | None,
    typer.Option(
        "--code",
        metavar="CODE",
        help="Only these error codes or causes; `none` for what SQS moved itself. Repeatable.",
    ),
]
Text = Annotated[
    str | None, typer.Option("--text", help="Only those with this in the body or the reason.")
]
OlderThan = Annotated[
    Age | None,
    typer.Option("--older-than", metavar="AGE", parser=Age.parse, help="Such as 2h or 7d."),
]
NewerThan = Annotated[
    Age | None,
    typer.Option("--newer-than", metavar="AGE", parser=Age.parse, help="Such as 15m."),
]
Workers = Annotated[
    list[str] | None,
    typer.Option(
        "--worker",
        metavar="URL",
        help="A worker's health address, such as http://10.0.0.7:8080. Repeatable.",
    ),
]


def sieve_of(
    codes: list[str] | None,
    text: str | None,
    older_than: Age | None,
    newer_than: Age | None,
    ids: list[str] | None = None,
) -> Sieve:
    """The sieve that the options describe."""
    from worker.deadletters import Sieve

    return Sieve(
        codes=frozenset(codes or ()),
        text=text,
        older_than_s=older_than.seconds if older_than else None,
        newer_than_s=newer_than.seconds if newer_than else None,
        ids=frozenset(ids or ()),
    )
