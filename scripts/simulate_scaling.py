"""How many workers, when, and for how much: play a day against the autoscaling policy.

    python scripts/simulate_scaling.py day --curve morning --jobs 100000 --plot day.png
    python scripts/simulate_scaling.py propose --curve spike --jobs 20000 --goal-p95 120
    python scripts/simulate_scaling.py table --markdown

docs/capacity.md quotes it; the defaults of infra/modules/autoscaling come from it.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that it runs as a file

from scripts.scaling.arrivals import CURVES, draw
from scripts.scaling.cost import Cost, PerJob, Prices, cost_of
from scripts.scaling.fleet import Day, Task, play
from scripts.scaling.plot import draw_day
from scripts.scaling.policy import Policy
from scripts.scaling.proposal import propose, target_of

app = typer.Typer(add_completion=False, help=__doc__.split("\n\n")[0] if __doc__ else None)
TABLE_JOBS: Final = (10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)

Curve = Annotated[str, typer.Option(help=f"When jobs come: {', '.join(CURVES)}.")]
Jobs = Annotated[float, typer.Option(help="Jobs a day.", min=0)]
JobSeconds = Annotated[float, typer.Option(help="Seconds that a job keeps a slot.", min=0.001)]
Slots = Annotated[int, typer.Option(help="Analysis processes (and vCPUs) in a task.", min=1)]
Startup = Annotated[int, typer.Option(help="Seconds until a new task takes jobs.", min=0)]
Seed = Annotated[int, typer.Option(help="Which day is drawn.")]
Goal = Annotated[float, typer.Option(help="95 % of the jobs are to be delivered within this (s).")]
NoResults = Annotated[bool, typer.Option("--no-results-bucket", help="Results are not kept.")]


def per_job_of(slots: int, no_results_bucket: bool) -> PerJob:
    """Quantities of a job, for infra's task sizes: a vCPU and 2 GiB a slot."""
    used = PerJob(vcpu_per_task=slots, gib_per_task=2 * slots)
    return replace(used, s3_puts=0, s3_gets=3) if no_results_bucket else used


@app.command()
def day(
    *,
    curve: Curve = "morning",
    jobs: Jobs = 100_000,
    job_seconds: JobSeconds = Task.job_seconds,
    slots: Slots = Task.slots,
    startup: Startup = Task.startup_seconds,
    acceptable_wait: Annotated[float, typer.Option(help="As the module's (s).")] = 20,
    min_tasks: Annotated[int, typer.Option(min=0)] = 1,
    max_tasks: Annotated[int, typer.Option(min=1)] = 20,
    no_results_bucket: NoResults = False,
    seed: Seed = 1,
    plot: Annotated[Path | None, typer.Option(help="Write a picture here.")] = None,
    from_hour: Annotated[float, typer.Option(help="Where the picture begins.")] = 0,
    to_hour: Annotated[float, typer.Option(help="Where it ends.")] = 24,
    every: Annotated[int, typer.Option(help="Minutes between lines of the table.", min=1)] = 60,
) -> None:
    """Play one day with one policy, and print it."""
    task = Task(slots=slots, job_seconds=job_seconds, startup_seconds=startup)
    policy = Policy(target_of(task, acceptable_wait), min_tasks, max_tasks)
    arrivals = draw(_known(curve), jobs, seed)
    played = play(arrivals, task, policy)
    cost = cost_of(played, task, Prices(), per_job_of(slots, no_results_bucket))
    console = Console()
    console.print(_hourly(played, every))
    console.print(_summary(played, cost, policy))
    if plot:
        title = f"{curve}, {played.jobs:,} jobs"
        draw_day(played, task, policy, title, plot, hours_shown=(from_hour, to_hour))
        console.print(f"picture: {plot}")


@app.command("propose")
def propose_command(
    *,
    curve: Curve = "morning",
    jobs: Jobs = 100_000,
    goal_p95: Goal = 60,
    job_seconds: JobSeconds = Task.job_seconds,
    slots: Slots = Task.slots,
    startup: Startup = Task.startup_seconds,
    may_sleep: Annotated[bool, typer.Option(help="A minimum of 0 is tried too.")] = False,
    no_results_bucket: NoResults = False,
    seed: Seed = 1,
) -> None:
    """Find the cheapest target, minimum and maximum that keep the goal."""
    task = Task(slots=slots, job_seconds=job_seconds, startup_seconds=startup)
    outcome = propose(
        draw(_known(curve), jobs, seed),
        task,
        Prices(),
        per_job_of(slots, no_results_bucket),
        goal_p95_s=goal_p95,
        may_sleep=may_sleep,
    )
    console = Console()
    console.print(_summary(outcome.day, outcome.cost, outcome.policy))
    console.print(
        f"acceptable_wait_s = {outcome.acceptable_wait_s:g}\n"
        f"min_tasks         = {outcome.policy.min_tasks}\n"
        f"max_tasks         = {outcome.policy.max_tasks}\n"
        f"# target {outcome.policy.target:g} jobs per task"
    )
    if not outcome.keeps_goal:
        console.print(f"The goal of {goal_p95:g} s was not reached: this is the fastest tried.")
        raise typer.Exit(1)


@app.command()
def table(
    *,
    curve: Curve = "morning",
    goal_p95: Goal = 60,
    job_seconds: JobSeconds = Task.job_seconds,
    slots: Slots = Task.slots,
    no_results_bucket: NoResults = False,
    seed: Seed = 1,
    markdown: Annotated[bool, typer.Option(help="For a document.")] = False,
) -> None:
    """Propose for ten to ten million jobs a day."""
    task = Task(slots=slots, job_seconds=job_seconds)
    heads = [
        *("jobs a day", "wait", "target", "min", "max", "p50 s", "p95 s", "p99 s"),
        *("tasks at most", "Fargate", "SQS", "S3", "logs+NAT", "USD a day", "USD per 1,000"),
    ]
    rows = []
    for jobs in TABLE_JOBS:
        outcome = propose(
            draw(_known(curve), jobs, seed),
            task,
            Prices(),
            per_job_of(slots, no_results_bucket),
            goal_p95_s=goal_p95,
            may_sleep=jobs <= TABLE_JOBS[1],
        )
        cost, played = outcome.cost, outcome.day
        rows.append(
            (
                f"{jobs:,}",
                f"{outcome.acceptable_wait_s:g}",
                f"{outcome.policy.target:g}",
                f"{outcome.policy.min_tasks}",
                f"{outcome.policy.max_tasks}",
                *(f"{played.percentile_s(percent):.1f}" for percent in (50, 95, 99)),
                f"{played.running.max()}",
                *(_usd(value) for value in (cost.fargate, cost.sqs, cost.s3)),
                _usd(cost.logs + cost.nat),
                _usd(cost.total),
                f"{1000 * cost.total / max(played.jobs, 1):.3f}",
            )
        )
    if markdown:
        print("| " + " | ".join(heads) + " |")
        print("|" + " ---: |" * len(heads))
        for row in rows:
            print("| " + " | ".join(row) + " |")
        return
    shown = Table(*heads, title=f"{curve}, p95 within {goal_p95:g} s")
    for row in rows:
        shown.add_row(*row)
    Console(width=180).print(shown)


def _known(curve: str) -> str:
    if curve not in CURVES:
        raise typer.BadParameter(f"{curve} is none of {', '.join(CURVES)}")
    return curve


def _usd(value: float) -> str:
    return f"{value:,.2f}" if value >= 0.005 or value == 0 else "<0.01"


def _hourly(played: Day, every: int) -> Table:
    shown = Table("time", "jobs", "waiting", "tasks", "paid for", "latency s", title="the day")
    step = every * 60
    for start in range(0, len(played.arrivals), step):
        part = slice(start, start + step)
        jobs = played.arrivals[part]
        weighted = (played.latency_s[part][jobs > 0] * jobs[jobs > 0]).sum()
        shown.add_row(
            f"{start // 3600:02d}:{start % 3600 // 60:02d}",
            f"{jobs.sum():,}",
            f"{played.waiting[part].max():,.0f}",
            f"{played.running[part].max()}",
            f"{played.billed[part].max()}",
            f"{weighted / jobs.sum():.1f}" if jobs.sum() else "",
        )
    return shown


def _summary(played: Day, cost: Cost, policy: Policy) -> str:
    latency = ", ".join(f"p{p} {played.percentile_s(p):.1f} s" for p in (50, 95, 99))
    return (
        f"{played.jobs:,} jobs; sent to delivered: {latency}; longest queue "
        f"{played.waiting.max():,.0f}; {played.running.min()} to {played.running.max()} tasks of "
        f"{policy.max_tasks}\n"
        f"USD a day: {_usd(cost.total)} = Fargate {_usd(cost.fargate)} + SQS {_usd(cost.sqs)} + "
        f"S3 {_usd(cost.s3)} + logs {_usd(cost.logs)} + NAT data {_usd(cost.nat)}"
    )


if __name__ == "__main__":
    app()
