"""The JSON Schemas of what other teams touch: the job, the event, the result, the error codes.

Written from the models, so that they say what the worker does, and kept in docs/schemas/ (a test
keeps those in step). `analysis-worker schema` prints them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from worker.contract import (
    JOB_ID_PATTERN,
    OLDER_NAMES,
    AnalysisJob,
    EventStatus,
    EventType,
    ResultEvent,
)
from worker.failures import CODES

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def schema_of(name: str) -> Schema:
    """The schema of `job`, `event`, `result` or `errors` (the last is a table, not a schema).

    Raises
    ------
    KeyError
        There is no such schema.
    """
    return _SCHEMAS[name]()


def _job() -> Schema:
    schema = _dressed(AnalysisJob.model_json_schema(), "job")
    properties = schema["properties"]
    for name, older in OLDER_NAMES.items():
        properties[older] = {
            **properties[name],
            "description": f"The older name of `{name}`, used where that is missing or null.",
            "deprecated": True,
        }
    properties["metadata"] = {"anyOf": [properties["metadata"], {"type": "null"}]}
    schema["additionalProperties"] = True
    return schema


def _event() -> Schema:
    schema = ResultEvent.model_json_schema(mode="serialization")
    result = _result()
    definitions: Schema = schema["$defs"] | result.pop("$defs")
    _relax(result, definitions)
    for superfluous in ("$schema", "$id"):
        del result[superfluous]
    definitions["AnalysisResult"] = result
    data = definitions["EventData"]["properties"]
    definitions["EventData"]["required"] = [
        name for name in data if name not in ("result", "error")
    ]
    data["job_id"]["pattern"] = JOB_ID_PATTERN
    data["result"] = {
        "description": "In analysis.completed. An event over 64 kB goes without phones, contours "
        "and waveform: see result_location.",
        "$ref": "#/$defs/AnalysisResult",
    }
    data["error"] = {"description": "In analysis.failed.", "$ref": "#/$defs/EventError"}
    schema["$defs"] = definitions
    schema["allOf"] = [
        _when(EventType.COMPLETED, EventStatus.COMPLETED, needs="result", progress=100),
        _when(EventType.FAILED, EventStatus.FAILED, needs="error", progress=100),
        _when(EventType.PROGRESS, EventStatus.PROCESSING),
    ]
    return _dressed(schema, "event")


def _result() -> Schema:
    # Imported here: nothing else of the I/O process knows of phones and pitch.
    from analysis.result import AnalysisResult

    return _dressed(AnalysisResult.model_json_schema(mode="serialization"), "result")


def _errors() -> Schema:
    return {
        code.value: {
            "stage": info.stage.value,
            "policy": info.policy.value,
            "advice": info.advice,
        }
        for code, info in CODES.items()
    }


_SCHEMAS: Final[dict[str, Callable[[], Schema]]] = {
    "job": _job,
    "event": _event,
    "result": _result,
    "errors": _errors,
}

NAMES: Final = tuple(_SCHEMAS)


def _dressed(schema: Schema, name: str) -> Schema:
    """The schema with its dialect and name first, and without the titles that repeat names."""
    plain: Schema = _untitled(schema)
    return {"$schema": DIALECT, "$id": f"urn:analysis-worker:{name}:1"} | plain


def _untitled(node: Any, *, is_properties: bool = False) -> Any:
    if isinstance(node, dict):
        return {
            key: _untitled(value, is_properties=key in ("properties", "$defs"))
            for key, value in node.items()
            # A property may itself be called "title".
            if is_properties or key != "title" or not isinstance(value, str)
        }
    return [_untitled(item) for item in node] if isinstance(node, list) else node


def _when(
    event_type: EventType, status: EventStatus, *, needs: str | None = None, progress: int = 0
) -> Schema:
    """What holds for events of one type."""
    data: Schema = {"properties": {"status": {"const": status.value}}}
    if needs:
        data["required"] = [needs]
    data["properties"]["progress"] = (
        {"const": progress} if progress else {"minimum": 1, "maximum": 99}
    )
    return {
        "if": {"properties": {"type": {"const": event_type.value}}},
        "then": {"properties": {"data": data}},
    }


def _relax(result: Schema, definitions: Schema) -> None:
    """Let the parts be absent that a too large event goes without."""
    from worker.audio_analysis import AudioAnalysis

    for path in AudioAnalysis.bulky:
        _relax_path(result, path.split("."), definitions)


def _relax_path(node: Schema, path: Sequence[str], definitions: Schema) -> None:
    first, rest = path[0], path[1:]
    if first == "*":
        _relax_path(_resolved(node["items"], definitions), rest, definitions)
    elif rest:
        _relax_path(_resolved(node["properties"][first], definitions), rest, definitions)
    elif first in node.get("required", ()):
        node["required"] = [name for name in node["required"] if name != first]


def _resolved(node: Schema, definitions: Schema) -> Schema:
    """The definition that a node refers to, itself or as one of its alternatives."""
    for candidate in (node, *node.get("anyOf", ())):
        if "$ref" in candidate:
            found: Schema = definitions[candidate["$ref"].rsplit("/", 1)[-1]]
            return found
    return node
