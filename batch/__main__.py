"""`python -m batch`: prices for whole files, on this machine or on Step Functions."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from app.errors import PricingError
from app.settings import Settings
from batch import run
from batch.pricing import Counts

cli = typer.Typer(
    help="Price whole files of homes: CSV, JSON Lines or Parquet.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)

Machine = Annotated[
    str, typer.Option(envvar="BATCH_STATE_MACHINE", help="ARN of the state machine: the stack's BatchStateMachineArn.")
]
Which = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The run: its s3:// folder or its execution's ARN.", show_default=False),
]
Concurrency = Annotated[int, typer.Option(min=1, max=1_000, help="Functions at work at once.")]
Wait = Annotated[bool, typer.Option(help="Stay and show progress; the run goes on without you.")]


@cli.command()
def local(
    source: Annotated[Path, typer.Argument(help="Homes: .csv, .jsonl or .parquet.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="Where the prices go: .csv, .jsonl or .parquet.", show_default=False)],
    model: Annotated[Path | None, typer.Option(help="A model file; else MODEL_URI's, else the shipped one.")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Worker processes; all cores by default.")] = None,
    range_size: Annotated[
        int | None, typer.Option(min=1, help="Bytes (rows for Parquet) in a range, which is what a kill can lose.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it is there.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what an interrupted run has done.")] = False,
) -> None:
    """Price a file on this machine. Run it again after an interruption: it goes on where it was."""
    from batch.local import price_file  # noqa: PLC0415  # each command loads what it needs

    try:
        with _progress() as report:
            manifest = price_file(
                source,
                out,
                Settings.from_environment(),
                model=model,
                processes=processes,
                range_size=range_size,
                overwrite=overwrite,
                restart=restart,
                report=report,
            )
    except KeyboardInterrupt:
        console.print("interrupted: run the same command again, and it goes on from here")
        raise typer.Exit(130) from None
    _show(manifest, f"wrote {out}")


@cli.command()
def submit(
    source: Annotated[str, typer.Argument(help="s3://bucket/homes.csv (or .jsonl)", show_default=False)],
    out: Annotated[str, typer.Option(help="s3://bucket/prefix: each run gets a folder in it.", show_default=False)],
    machine: Machine,
    concurrency: Concurrency = 50,
    tolerated: Annotated[
        float, typer.Option(min=0, max=100, help="Percentage of ranges that may fail before the rest is given up.")
    ] = 5.0,
    wait: Wait = True,
) -> None:
    """Start a run on Step Functions, show how it gets on, and end with its counts."""
    from batch.cloud import Cloud  # noqa: PLC0415

    cloud = Cloud(Settings.from_environment())
    started = cloud.submit(machine, source, out, concurrency=concurrency, tolerated_failure_percentage=tolerated)
    console.print(f"started {started.uri}\n  {started.arn}", highlight=False, soft_wrap=True)
    if wait:
        _watch(cloud, started)


@cli.command()
def resume(
    which: Which,
    machine: Machine,
    concurrency: Concurrency = 50,
    wait: Wait = True,
) -> None:
    """Price the ranges that a failed run is missing, with its model."""
    from batch.cloud import Cloud  # noqa: PLC0415

    cloud = Cloud(Settings.from_environment())
    started = cloud.resume(machine, which, concurrency=concurrency)
    console.print(f"resumed {started.uri}\n  {started.arn}", highlight=False, soft_wrap=True)
    if wait:
        _watch(cloud, started)


@cli.command()
def status(
    which: Which,
) -> None:
    """Say how far a run is, as JSON."""
    from batch.cloud import Cloud  # noqa: PLC0415

    state = Cloud(Settings.from_environment()).status(which)
    print(json.dumps(state.summary(), ensure_ascii=False, indent=2))


@cli.command()
def fetch(
    which: Which,
    out: Annotated[Path, typer.Argument(help="Where the prices go: .csv, .jsonl or .parquet.", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it is there.")] = False,
) -> None:
    """Bring the results of a complete run here, as one file in input order."""
    from batch.cloud import Cloud  # noqa: PLC0415

    with _progress() as report:
        manifest = Cloud(Settings.from_environment()).fetch(which, out, overwrite=overwrite, report=report)
    _show(manifest, f"wrote {out}")


def _watch(cloud: Any, started: Any) -> None:
    try:
        with _progress() as report:
            state = cloud.wait(started.arn, report)
    except KeyboardInterrupt:
        console.print(f"the run goes on: python -m batch status {started.uri}", highlight=False, soft_wrap=True)
        raise typer.Exit(130) from None
    if not state.succeeded:
        console.print(f"[red]{state.state.lower()}:[/red]", Text(state.cause), soft_wrap=True)
        raise typer.Exit(1)
    _show(state.manifest, f"complete: python -m batch fetch {state.uri} OUT.csv")


def _show(manifest: dict[str, Any], done: str) -> None:
    """End with the counts: for people on stderr, for programs on stdout."""
    counts = Counts(**manifest["counts"])
    console.print(
        f"{done}\n{counts.rows:,} rows: {counts.priced:,} priced ({counts.warned:,} with warnings),"
        f" {counts.refused:,} refused; model {manifest['model']}",
        highlight=False,
        soft_wrap=True,
    )
    print(json.dumps({**manifest["counts"], "model": manifest["model"]}))


@contextmanager
def _progress() -> Iterator[run.Report]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,  # what stays is the message at the end
    ) as bars:
        task = bars.add_task("planning", total=None, said="")
        begin: tuple[int, float] | None = None  # rows done before, and when this began

        def report(now: run.Progress) -> None:
            nonlocal begin
            if now.counts is None:
                bars.update(task, description="merging", completed=now.done, total=now.total)
                return
            begin = begin or (now.counts.rows, time.monotonic())
            rate = (now.counts.rows - begin[0]) / max(time.monotonic() - begin[1], 1)
            said = f"{now.counts.rows:,} rows, {now.counts.refused:,} refused, {rate:,.0f}/s"
            if now.failed:
                said += f", {now.failed:,} ranges failed"
            bars.update(task, description="pricing", completed=now.done, total=now.total, said=said)

        yield report


def main() -> None:
    """Run the command line; what is wrong is one message and an exit status of 1."""
    try:
        cli(standalone_mode=True)
    except (PricingError, OSError) as error:
        console.print("[red]error:[/red]", Text(str(error)), soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
