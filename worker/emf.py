"""CloudWatch's Embedded Metric Format: metrics as log lines, for fleets without Prometheus.

CloudWatch turns each line into metrics as the log group takes it in. Numbers are added up here
and written once in `FLUSH_INTERVAL_S`, one line for each set of dimensions, so that neither the
log nor the bill grows with the number of jobs.
Source: CloudWatch User Guide, "Specification: Embedded metric format".
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final, Literal, TextIO

import orjson

NAMESPACE: Final = "AnalysisWorker"
FLUSH_INTERVAL_S: Final = 60.0
MAX_VALUES: Final = 100
"""CloudWatch takes at most this many values of one metric in a line."""

Unit = Literal["Count", "Seconds", "None"]
Dimensions = tuple[tuple[str, str], ...]


class EmfWriter:
    """Adds numbers up and writes them as lines of JSON.

    Parameters
    ----------
    stream
        Where the lines go; standard output unless given.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._sums: dict[tuple[Dimensions, str], float] = {}
        self._values: dict[tuple[Dimensions, str], list[float]] = {}
        self._gauges: dict[tuple[Dimensions, str], float] = {}
        self._units: dict[str, Unit] = {}
        self._flushed_at = clock()

    def count(self, name: str, amount: float = 1, **dimensions: str) -> None:
        """Add to a sum that starts again at nought with each flush."""
        key = (tuple(dimensions.items()), name)
        self._units[name] = "Count"
        self._sums[key] = self._sums.get(key, 0.0) + amount
        self._flush_if_due()

    def observe(self, name: str, seconds: float, **dimensions: str) -> None:
        """Keep one value of a distribution; a full line's worth is written at once."""
        key = (tuple(dimensions.items()), name)
        self._units[name] = "Seconds"
        values = self._values.setdefault(key, [])
        values.append(seconds)
        if len(values) >= MAX_VALUES:
            self._write(key[0], {name: self._values.pop(key)})
        self._flush_if_due()

    def gauge(self, name: str, value: float, **dimensions: str) -> None:
        """Remember the latest value; each flush repeats it."""
        self._units[name] = "None"
        self._gauges[(tuple(dimensions.items()), name)] = value
        self._flush_if_due()

    def flush(self) -> None:
        """Write what has come together: one line for each set of dimensions."""
        self._flushed_at = self._clock()
        lines: dict[Dimensions, dict[str, Any]] = {}
        for source in (self._sums, self._values, self._gauges):
            for (dimensions, name), value in source.items():
                lines.setdefault(dimensions, {})[name] = value
        self._sums.clear()
        self._values.clear()
        for dimensions, metrics in lines.items():
            self._write(dimensions, metrics)

    def _flush_if_due(self) -> None:
        if self._clock() - self._flushed_at >= FLUSH_INTERVAL_S:
            self.flush()

    def _write(self, dimensions: Dimensions, metrics: dict[str, Any]) -> None:
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [[name for name, _ in dimensions]],
            "Metrics": [{"Name": name, "Unit": self._units[name]} for name in metrics],
        }
        document = {
            "_aws": {
                "Timestamp": int(self._clock() * 1000),
                "CloudWatchMetrics": [directive],
            },
            **dict(dimensions),
            **metrics,
        }
        stream = self._stream or sys.stdout
        stream.write(orjson.dumps(document).decode() + "\n")
        stream.flush()
