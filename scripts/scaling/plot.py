"""The picture of a day: arrivals and completions, backlog, tasks, latency."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scripts.scaling.fleet import Day, Task
from scripts.scaling.policy import Policy

MINUTE_S: Final = 60


def _by_minute(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values.reshape(-1, MINUTE_S).mean(axis=1))


def draw_day(
    day: Day,
    task: Task,
    policy: Policy,
    title: str,
    path: Path,
    *,
    hours_shown: tuple[float, float] = (0.0, 24.0),
) -> None:
    """Write a PNG or SVG, by the path's ending."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    hours = np.arange(len(day.arrivals) // MINUTE_S) / 60
    figure, axes = plt.subplots(4, 1, figsize=(10, 10), sharex=True, layout="constrained")
    figure.suptitle(title)

    axes[0].plot(hours, _by_minute(day.arrivals.astype(float)) * MINUTE_S, label="arrive")
    capacity = _by_minute(day.running.astype(float)) * task.jobs_per_second * MINUTE_S
    axes[0].plot(hours, capacity, label="could be done", alpha=0.7)
    axes[0].set_ylabel("jobs a minute")

    axes[1].fill_between(hours, _by_minute(day.waiting), step="mid", alpha=0.6)
    axes[1].set_ylabel("jobs waiting")

    axes[2].step(hours, _by_minute(day.billed.astype(float)), label="paid for", where="mid")
    axes[2].step(hours, _by_minute(day.running.astype(float)), label="running", where="mid")
    axes[2].axhline(policy.max_tasks, color="grey", linestyle=":", label="maximum")
    axes[2].set_ylabel("tasks")

    present = ~np.isnan(day.latency_s)
    seconds = np.flatnonzero(present)
    axes[3].plot(seconds / 3600, day.latency_s[present], ".", markersize=1.5)
    for percent, style in ((50, ":"), (95, "--"), (99, "-")):
        value = day.percentile_s(percent)
        label = f"p{percent} of the day {value:.1f} s"
        axes[3].axhline(value, linewidth=0.9, linestyle=style, label=label, color="grey")
    axes[3].set_yscale("log")
    axes[3].set_ylabel("sent to delivered (s)")
    axes[3].set_xlabel("hour of the day")

    for axis in (axes[0], axes[2], axes[3]):
        axis.legend(loc="upper right", fontsize="small")
    for axis in axes:
        axis.set_xlim(*hours_shown)
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)
