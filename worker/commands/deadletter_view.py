"""How dead letters are shown: a list of many, and one whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from worker.commands.options import age_text
from worker.commands.terminal import console, table, tick

if TYPE_CHECKING:
    from worker.deadletters import DeadLetter, Walk

Fields = dict[str, Any]
"""What a list shows of a dead letter: its body is not held, or a thousand would fill memory."""

ORDERS: Final[dict[str, Callable[[Fields], Any]]] = {
    "age": lambda fields: fields["age_s"],
    "code": lambda fields: (fields["code"] or "", fields["cause"] or "", fields["age_s"]),
    "receives": lambda fields: -fields["receive_count"],
}


def print_list(walk: Walk, found: list[Fields], *, as_json: bool) -> None:
    """Print what a walk found: a table, or a JSON line each."""
    if as_json:
        for fields in found:
            sys.stdout.write(json.dumps(fields, ensure_ascii=False) + "\n")
        return
    shown = table("AGE", "CODE", "STAGE", "TRIES", "TOLD", "JOB", "MESSAGE", right=("AGE", "TRIES"))
    for fields in found:
        shown.add_row(
            age_text(fields["age_s"]),
            _code(fields),
            fields["stage"] or "-",
            str(fields["receive_count"]),
            tick(fields["told"]),
            fields["job_id"] or "-",
            fields["message_id"],
        )
    console().print(shown)
    sys.stderr.write(f"{len(found)} shown, {walk.seen} read, of about {walk.total}.\n")


def _code(fields: Fields) -> str:
    code, cause = fields["code"], fields["cause"]
    if code is None:
        return "(moved by SQS)"
    return f"{code} < {cause}" if cause else str(code)


def fields_of(letter: DeadLetter, now: float) -> Fields:
    """What a list shows of a letter; `now` is Unix time in seconds."""
    return {
        "message_id": letter.message_id,
        "original_message_id": letter.original_message_id,
        "job_id": letter.job_id,
        "code": letter.code,
        "cause": letter.cause,
        "stage": letter.text("error_stage"),
        "reason": letter.reason or None,
        "receive_count": letter.receive_count,
        "age_s": round(now - letter.failed_at),
        "told": letter.told,
        "source_queue": letter.source_queue,
    }


def print_letter(letter: DeadLetter, now: float, *, as_json: bool) -> None:
    """Print one letter whole, with advice and with what to search the log for."""
    from worker.failures import CODES, ErrorCode

    fields = fields_of(letter, now)
    log_hints = [f"original message_id={letter.original_message_id}"]
    if letter.job_id:
        log_hints.insert(0, f"job_id={letter.job_id}")
    real = letter.cause or letter.code
    advice = CODES[ErrorCode(real)].advice if real in set(ErrorCode) else None
    try:
        body: Any = json.loads(letter.body)
    except ValueError:
        body = letter.body
    attributes = {
        name: value.get("StringValue", "(binary)") for name, value in letter.own_attributes.items()
    }
    if as_json:
        whole = {**fields, "advice": advice, "attributes": attributes, "body": body}
        sys.stdout.write(json.dumps(whole, ensure_ascii=False, indent=2) + "\n")
        return
    lines = {
        "job": letter.job_id or "-",
        "message": letter.message_id,
        "code": _code(fields),
        "reason": letter.reason or "-",
        "advice": advice or "-",
        "stage": fields["stage"] or "-",
        "age": age_text(now - letter.failed_at),
        "tries": str(letter.receive_count),
        "consumer told": tick(letter.told),
        "source queue": letter.source_queue or "-",
        "search the log for": " or ".join(log_hints),
        "attributes": json.dumps(attributes, ensure_ascii=False),
    }
    for name, value in lines.items():
        sys.stdout.write(f"{name + ':':20}{value}\n")
    sys.stdout.write("body:\n")
    whole_body = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, indent=2)
    sys.stdout.write(whole_body + "\n")
