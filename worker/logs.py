"""The log: one JSON line an event, short enough to keep and safe enough to show.

Every line, those of libraries too, passes the same processors: query strings and secrets go (a
signed URL is a key), exceptions become data without their local variables, and a line longer
than `MAX_LINE_BYTES` is shortened where it is longest. The fields: docs/operations.md.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, TextIO

import orjson
import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars, clear_contextvars

from worker.locations import SIGNATURE_FIELDS

if TYPE_CHECKING:
    from worker.settings import Settings

MAX_LINE_BYTES: Final = 8 * 1024
MAX_FRAMES: Final = 20
LIBRARY_LEVEL: Final = logging.WARNING
"""What botocore, httpx, aiohttp and asyncio have to say is worth a line from here on."""

OUR_LOGGERS: Final = ("worker", "analysis")

_URL_TAIL: Final = re.compile(
    r"(?P<url>\b[a-z][a-z0-9+.-]*://[^\s?#\"'<>]*)[?#][^\s\"'<>]*", re.IGNORECASE
)
# A password may hold a slash or an @, where a client did not care.
_USERINFO: Final = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)"
    r"(?:[^\s/?#\"'<>]*@|[^\s/@?#\"'<>:]{0,256}:[^\s@?#\"'<>]{0,256}@)",
    re.IGNORECASE,
)
# A query may follow a blank, which keys may hold, or stand in a URL without a scheme.
_KEY_FIELD: Final = re.compile(
    rf"(?:[?&#]|%3F|%26|%23)(?:{SIGNATURE_FIELDS}|Expires|sig|(?:[a-z]+_)?token|api_?key|password|secret)"
    r"(?:=|%3D)[^\s\"'<>]*",
    re.IGNORECASE,
)
_SECRET: Final = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")

_SHRINK_STEPS: Final = ((2000, 40), (500, 20), (120, 6), (40, 2))
"""Longest text (characters) and longest list, tried in turn until a line fits."""

_CORE_FIELDS: Final = (
    *("timestamp", "level", "event", "logger", "job_id", "message_id", "receive_count"),
    *("stage", "code", "duration_ms"),
)
"""What a line begins with, and all that is left of one that cannot be made short enough."""

EventDict = MutableMapping[str, Any]


def configure(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Set logging up as the settings say; may be called again.

    Parameters
    ----------
    stream
        Standard output unless given; commands whose output is data log to standard error.
    """
    setup(settings.log_level, settings.log_format, stream=stream)


def setup(level: str, log_format: str, *, stream: TextIO | None = None) -> None:
    """Set logging up; `log_format` is `json` or `console`."""
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(
                show_locals=False, max_frames=MAX_FRAMES, use_rich=False
            )
        ),
        slim_exception,
        drop_queries,
    ]
    after: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta
    ]
    if log_format == "console":
        colors = bool(getattr(stream or sys.stdout, "isatty", lambda: False)())
        after += [flatten_exception, structlog.dev.ConsoleRenderer(colors=colors)]
    else:
        after += [cut_line, render_json]

    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # A logger that is made anew for each line costs more than one whose level is off.
        cache_logger_on_first_use=True,
    )
    handler = _StandardStream(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=[]), *before], processors=after
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LIBRARY_LEVEL)
    logging.captureWarnings(True)
    set_level(level)


class _StandardStream(logging.StreamHandler[TextIO]):
    """Writes to what standard output or standard error is at the time, or to a stream given."""

    def __init__(self, stream: TextIO | None) -> None:
        self._given = None if stream in (None, sys.stdout, sys.stderr) else stream
        self._is_error = stream is sys.stderr
        super().__init__()

    @property
    def stream(self) -> TextIO:
        """Where lines go."""
        return self._given or (sys.stderr if self._is_error else sys.stdout)

    @stream.setter
    def stream(self, value: TextIO) -> None:
        pass  # the base class sets what is found anew at each line


def set_level(level: str) -> None:
    """Change the least level of our own lines, in a running worker too."""
    for name in OUR_LOGGERS:
        logging.getLogger(name).setLevel(level)


def get_logger(name: str = "worker") -> structlog.stdlib.BoundLogger:
    """A logger; `name` begins with `worker` or `analysis`, or only warnings are shown."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def bind(**fields: Any) -> None:
    """Add fields (job_id, message_id, receive_count) to every further line of this task."""
    bind_contextvars(**fields)


def bound(**fields: Any) -> AbstractContextManager[None]:
    """Add fields to every line within a block."""
    return bound_contextvars(**fields)


def clear() -> None:
    """Take all bound fields off again."""
    clear_contextvars()


# --- processors


def slim_exception(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Leave the empty fields of a structured exception out of the line."""
    errors = event.get("exception")
    if isinstance(errors, list):
        event["exception"] = [_slim(error) for error in errors]
    return event


def _slim(error: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in error.items() if value}
    if "exceptions" in kept:  # the parts of an ExceptionGroup, each a chain of its own
        kept["exceptions"] = [[_slim(item) for item in chain] for chain in kept["exceptions"]]
    return kept


def drop_queries(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Cut query, fragment and user name from every URL, and keys and secrets from everything."""
    # What begins with an underscore is structlog's own, and not written.
    return {
        key: value if key.startswith("_") else _without_secrets(value)
        for key, value in event.items()
    }


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str):
        if "://" in value:
            value = _URL_TAIL.sub(r"\g<url>", value)
            value = _USERINFO.sub(r"\g<scheme>", value)
        if "=" in value or "%3D" in value or "%3d" in value:
            value = _KEY_FIELD.sub("", value)
        return _SECRET.sub("whsec_…", value) if "whsec_" in value else value
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {
            _without_secrets(key) if isinstance(key, str) else key: _without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [_without_secrets(item) for item in value]
    # Bytes, sets, exceptions, URLs: written as they ever are, unless there is something to cut.
    shown = _plain(value)
    cut = _without_secrets(shown)
    return value if cut == shown else cut


def cut_line(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Shorten the longest texts and lists until the line fits `MAX_LINE_BYTES`."""
    if _size(event) <= MAX_LINE_BYTES:
        return event
    for longest_text, longest_list in _SHRINK_STEPS:
        short = {
            **{key: _shrunk(value, longest_text, longest_list) for key, value in event.items()},
            "cut": True,
        }
        if _size(short) <= MAX_LINE_BYTES:
            return short
    core = {key: _shrunk(event[key], 200, 2) for key in _CORE_FIELDS if key in event}
    return {**core, "cut": True}


def _shrunk(value: Any, longest_text: int, longest_list: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= longest_text else value[:longest_text] + "…"
    if isinstance(value, Mapping):
        items = list(value.items())[: 4 * longest_list]
        return {
            str(key)[:longest_text]: _shrunk(item, longest_text, longest_list)
            for key, item in items
        }
    if isinstance(value, list | tuple):
        # The end of a traceback is where the error is, so the last ones are kept.
        return [_shrunk(item, longest_text, longest_list) for item in value[-longest_list:]]
    if isinstance(value, int | float | bool | None):
        return value
    return _shrunk(_plain(value), longest_text, longest_list)


def _size(event: EventDict) -> int:
    return len(_dumped(event))


def _dumped(event: EventDict) -> bytes:
    try:
        return orjson.dumps(event, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a lone surrogate, an int beyond 64 bits
        return orjson.dumps(_ascii(event))


def _plain(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # a broken __str__ must not cost the line
        return f"<{type(value).__name__}>"


def _ascii(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_ascii(str(key)): _ascii(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_ascii(item) for item in value]
    if isinstance(value, bool | float | None):
        return value
    return _plain(value).encode("utf-8", "backslashreplace").decode()


def render_json(_logger: Any, _method: str, event: EventDict) -> str:
    """Write the line, who and what first; what JSON cannot hold is written as text."""
    head = {key: event[key] for key in _CORE_FIELDS if key in event}
    return _dumped({**head, **event}).decode()


def flatten_exception(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """For people: an exception as its last line and the place it came from."""
    errors = event.pop("exception", None)
    if isinstance(errors, list) and errors:
        first = errors[0]
        frames = first.get("frames") or [{}]
        where = f"{frames[-1].get('filename')}:{frames[-1].get('lineno')}"
        event["error"] = f"{first.get('exc_type')}: {first.get('exc_value')} ({where})"
    elif errors:
        event["error"] = str(errors)
    return event
