"""The command `analysis-worker`.

Each command imports what it needs when it runs, so that asking for help or the version is quick.
"""

from __future__ import annotations

import typer

from worker.commands import about, check, deadletters, jobs, service, status, sweep, top

app = typer.Typer(
    name="analysis-worker",
    help="Takes speech-analysis jobs from SQS, scores them, and posts signed results.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(service.run)
app.command()(service.process)
app.command()(check.check)
app.command()(jobs.enqueue)
app.command()(status.status)
app.command()(top.top)
app.add_typer(deadletters.app, name="dlq")
app.command()(sweep.sweep)
app.command()(about.schema)
app.command()(about.version)
