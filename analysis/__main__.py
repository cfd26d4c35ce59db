"""The command ``python -m analysis``: score a recording, draw its report, warm the caches."""

from __future__ import annotations

import json
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    from analysis.reference import Reference
    from analysis.result import AnalysisResult

app = typer.Typer(
    name="analysis",
    help="Scores spoken English against an actor's line, or against its text.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# The exit codes that a shell script tells apart.
EXIT_BAD_INPUT = 2


class ProfileName(StrEnum):
    """The profiles of `analysis.Options`."""

    accurate = "accurate"
    fast = "fast"


class LanguageName(StrEnum):
    """The languages that feedback is told in."""

    en = "en"
    ko = "ko"


@app.command()
def score(
    recording: Annotated[Path, typer.Argument(help="The recording: any common audio format.")],
    textgrid: Annotated[
        Path | None, typer.Argument(help="The actor's TextGrid; leave it out with --text.")
    ] = None,
    pitch: Annotated[Path | None, typer.Argument(help="The actor's pitch.json.")] = None,
    *,
    text: Annotated[
        str | None, typer.Option(help="The line itself, when there is no TextGrid.")
    ] = None,
    reference_audio: Annotated[
        Path | None, typer.Option(help="The actor's recording, for loudness and spectrum.")
    ] = None,
    profile: Annotated[ProfileName, typer.Option(help="How much to compute.")] = (
        ProfileName.accurate
    ),
    language: Annotated[LanguageName, typer.Option(help="Of the feedback.")] = LanguageName.en,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Score a recording and print the result."""
    from analysis.audio import Recording
    from analysis.scoring import Options
    from analysis.scoring import score as score_recording

    if (textgrid is None) == (text is None):
        raise typer.BadParameter("give a TextGrid or --text, one of the two")
    try:
        started = time.perf_counter()
        spoken = Recording.from_file(recording)
        reference = _read_reference(textgrid, pitch, text, reference_audio)
        decode_ms = 1000.0 * (time.perf_counter() - started)
        result = score_recording(
            spoken, reference, options=Options(profile=profile.value, language=language.value)
        )
    except OSError as error:
        raise _refused(f"{error.filename}: {error.strerror}") from error
    except AnalysisError as error:
        raise _refused(f"{error.code}: {error.message}") from error
    result = result.model_copy(
        update={"timings_ms": {"decode": round(decode_ms, 1), **result.timings_ms}}
    )
    if as_json:
        sys.stdout.write(result.model_dump_json(indent=1) + "\n")
        return
    from analysis.table import print_result

    print_result(result)


@app.command()
def report(
    results: Annotated[
        list[Path], typer.Argument(help="Results or events as JSON; each becomes two files.")
    ],
    *,
    audio: Annotated[
        Path | None, typer.Option(help="The recording, to be heard in the page (one result only).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write to; beside each result if not given.")
    ] = None,
    language: Annotated[LanguageName, typer.Option(help="Of the page.")] = LanguageName.en,
) -> None:
    """Draw results: a self-contained HTML page and a PNG for each."""
    try:
        from analysis.report import write_report
    except ModuleNotFoundError as error:
        raise _refused(
            f"{error.name} is not installed: pip install 'analysis-worker[report]'"
        ) from error
    if audio is not None and len(results) > 1:
        raise typer.BadParameter("--audio goes with one result")
    for path in results:
        try:
            result = _read_result(path.read_bytes())
            sound = audio.read_bytes() if audio is not None else None
        except OSError as error:
            raise _refused(f"{error.filename}: {error.strerror}") from error
        except ValueError as error:
            raise _refused(f"{path} is not a result: {error}") from error
        folder = out or path.parent
        folder.mkdir(parents=True, exist_ok=True)
        for written in write_report(
            result, folder / path.stem, language=language.value, audio=sound
        ):
            typer.echo(written)


@app.command()
def warmup(
    *,
    reference_audio: Annotated[
        bool, typer.Option(help="Also compile what jobs with the actor's audio use.")
    ] = True,
) -> None:
    """Load every model and compile every cache, as an install or an image build should."""
    from analysis.scoring import warm_up

    started = time.perf_counter()
    warm_up()
    typer.echo(f"models loaded and run: {time.perf_counter() - started:.1f} s")
    if reference_audio:
        started = time.perf_counter()
        warm_up(reference_audio=True)
        spent = time.perf_counter() - started
        typer.echo(f"librosa loaded and its numba code compiled: {spent:.1f} s")


def _read_reference(
    textgrid: Path | None, pitch: Path | None, text: str | None, audio: Path | None
) -> Reference:
    from analysis.audio import Recording
    from analysis.reference import Reference

    if textgrid is None:
        return Reference.from_text(text or "")
    return Reference.from_textgrid(
        textgrid.read_bytes(),
        pitch=pitch.read_bytes() if pitch is not None else None,
        audio=Recording.from_file(audio) if audio is not None else None,
    )


def _read_result(data: bytes) -> AnalysisResult:
    """Read a result, or the result inside an event.

    Raises
    ------
    ValueError
        The JSON is neither.
    """
    from analysis.result import AnalysisResult

    document = json.loads(data)
    if isinstance(document, dict) and "data" in document:
        document = document["data"].get("result")
        if document is None:
            raise ValueError("the event has no result")
    return AnalysisResult.model_validate(document)


def _refused(message: str) -> typer.Exit:
    typer.echo(message, err=True)
    return typer.Exit(EXIT_BAD_INPUT)


if __name__ == "__main__":
    app()
