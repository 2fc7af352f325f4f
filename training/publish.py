"""Commands that publish, promote and roll back models, and the gate that a model passes before."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.accuracy import Accuracy, accuracy
from app.errors import ArtifactError, StoreError
from app.model import Model
from training.data import Listings, read
from training.registry import Entry, Promotion, Registry, State, pointer_to

MARGIN = 0.02
"""How much worse than the current model's, as a fraction, a new model's mean absolute error may be."""

cli = typer.Typer()
console = Console(stderr=True)

To = Annotated[str, typer.Option("--to", envvar="MODEL_URI", help="Where models are kept: s3://bucket/prefix.")]


class Gate(NamedTuple):
    """What was checked, for the record, and what spoke against publishing."""

    record: dict[str, Any]
    objections: list[str]


@cli.command("publish")
def publish(
    model: Annotated[Path, typer.Argument(help="The model file that `fit` wrote.")],
    to: To,
    promote: Annotated[bool, typer.Option("--promote", help="Make it the current model at once.")] = False,
    validate: Annotated[
        Path | None, typer.Option(help="Listings on which it must not do worse than the current model.")
    ] = None,
    margin: Annotated[float, typer.Option(min=0, help="How much worse its mean absolute error may be there.")] = MARGIN,
    force: Annotated[bool, typer.Option("--force", help="Publish although a check speaks against it.")] = False,
    reason: Annotated[str, typer.Option(help="Why, for the record; goes with --force.")] = "",
) -> None:
    """Check a model and write it to S3, where nothing uses it before it is promoted."""
    if force != bool(reason.strip()):
        raise StoreError("--force and --reason go together: the reason is recorded with the model")
    data = _file(model)
    registry = Registry(to)
    with _steps() as step:
        step("reading the pointer")
        state = registry.state()
        step("checking the model")
        gate = examine(data, registry, state, _listings(validate), margin)
        if gate.objections and not force:
            raise ArtifactError(
                f"not published: {'; '.join(gate.objections)} (--force --reason '...' publishes it anyway)"
            )
        pointer = pointer_to(data)
        step(f"writing {len(data) / 1e6:.1f} MB and reading it back")
        forced = reason.strip() if gate.objections else ""
        new = registry.publish(data, gate.record | ({"forced": forced} if forced else {}))
        console.print(
            f"{pointer.version} {'published' if new else 'was published before'} in {registry.uri}", highlight=False
        )
        for objection in gate.objections:
            console.print(f"although {objection}: {forced}", highlight=False)
        if promote:
            step("promoting it")
            _promote(registry, data, state, forced)
    print(pointer.version)


@cli.command("promote")
def promote_command(version: Annotated[str, typer.Argument(help="As `list` shows it.")], to: To) -> None:
    """Make a published model the current one; functions serve it as soon as they look (MODEL_REFRESH_SECONDS)."""
    registry = Registry(to)
    with _steps() as step:
        step(f"checking {version}")
        state = registry.state()
        data = registry.fetch(version)
        Model.load(data)
        step("promoting it")
        _promote(registry, data, state, str(registry.publication(pointer_to(data).version).get("forced", "")))


@cli.command("rollback")
def rollback(to: To) -> None:
    """Make the model promoted before the current one current again; once more goes one further back."""
    registry = Registry(to)
    with _steps() as step:
        step("reading the pointer")
        state = registry.state()
        if state.previous:
            version = state.previous[0].pointer.version
            step(f"checking {version}")
            registry.fetch(version)
        after = registry.roll_back(state)
    _say_current(after, f"rolled back from {state.current.pointer.version if state.current else 'nothing'}")


@cli.command("list")
def list_command(to: To) -> None:
    """List the published models, the latest first."""
    registry = Registry(to)
    state = registry.state()
    table = Table("version", "published (UTC)", "MB", "", box=None)
    for entry in registry.entries():
        table.add_row(
            entry.version,
            f"{entry.published.astimezone(UTC):%Y-%m-%d %H:%M}",
            f"{entry.size / 1e6:.1f}",
            _mark(entry, state),
        )
    if table.row_count:
        Console().print(table)
    else:
        console.print(f"no models in {registry.uri} yet", highlight=False)


@cli.command("status")
def status(to: To) -> None:
    """Show the current model, how it got there, and where a rollback would lead."""
    registry = Registry(to)
    state = registry.state()
    if state.current is None:
        what = "a pointer that is none of ours: promote a model to replace it" if state.etag else "no current model"
        raise StoreError(f"{registry.uri} has {what}")
    current = state.current.pointer
    table = Table(box=None, show_header=False)
    table.add_row("current", current.version)
    table.add_row("promoted", state.current.at)
    table.add_row("SHA-256", current.sha256)
    table.add_row("size", f"{current.size / 1e6:.1f} MB")
    record = registry.publication(current.version)
    for name, value in record.items():
        table.add_row(name, _in_words(value))
    if state.current.reason and "forced" not in record:
        table.add_row("forced", state.current.reason)
    table.add_row("rollback to", state.previous[0].pointer.version if state.previous else "nothing earlier")
    Console().print(table)


def examine(data: bytes, registry: Registry, state: State, listings: Listings | None, margin: float) -> Gate:
    """Hold a model against what a published one must be.

    Raises:
        ArtifactError: it can't be served at all: damaged, of another schema, or not reproducing its golden
            rows. No reason makes up for that, as every function would refuse it too.
    """
    model = Model.load(data)
    objections = []
    verified = model.metadata.get("verified")
    if not isinstance(verified, dict) or not verified.get("rows") or not verified.get("scikit-learn"):
        verified = None
        objections.append("there is no record that `fit` verified it against scikit-learn")
    record: dict[str, Any] = {
        "published": datetime.now(UTC).isoformat(timespec="seconds"),
        "golden rows": len(model.metadata["golden"]),
        "verified": verified,
    }
    if listings is not None:
        new = _accuracy(model, listings)
        record["validated"] = {"n": new.n, "mae": round(new.mae, 2), "medape": round(new.medape, 4)}
        if state.current:
            old = _accuracy(Model.load(registry.fetch(state.current.pointer.version)), listings)
            record["validated"]["current"] = {"version": state.current.pointer.version, "mae": round(old.mae, 2)}
            verdict = f"its mean absolute error is {new.mae:,.0f} € where the current model's is {old.mae:,.0f} €"
            if new.mae > old.mae * (1 + margin):
                objections.append(f"{verdict}, more than {margin:.0%} worse")
            else:
                console.print(f"on {new.n} listings {verdict}", highlight=False)
    return Gate(record, objections)


def _accuracy(model: Model, listings: Listings) -> Accuracy:
    return accuracy(listings.prices.tolist(), [estimate["precio"] for estimate in model.price(listings.homes)])


def _promote(registry: Registry, data: bytes, state: State, reason: str) -> None:
    pointer = pointer_to(data)
    if state.current and state.current.pointer == pointer:
        console.print(f"{pointer.version} is current already", highlight=False)
        return
    _say_current(registry.promote(pointer, state, reason), "promoted")


def _say_current(state: State, how: str) -> None:
    if state.current:
        console.print(f"{how}: {state.current.pointer.version} is current now", highlight=False)


def _mark(entry: Entry, state: State) -> str:
    def has(promotion: Promotion) -> bool:
        return promotion.pointer.version == entry.version

    if state.current and has(state.current):
        return "current"
    back = next((i for i, one in enumerate(state.previous, 1) if has(one)), 0)
    return f"{back} rollback{'s' * (back > 1)} away" if back else ""


def _in_words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(one)}" for name, one in value.items())
    return str(value)


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} can't be read: {error.strerror}") from None


def _listings(path: Path | None) -> Listings | None:
    return read(path) if path else None


@contextmanager
def _steps() -> Iterator[Any]:
    """Show what is being done and for how long; gone when it is over."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    quiet = not console.is_terminal  # in a log file it would leave blank lines
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        task = progress.add_task("")
        yield lambda description: progress.update(task, description=description)
