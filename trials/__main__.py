"""`python -m trials NAME`: put the service through a trial, print what came of it, and fail if it broke."""

from pathlib import Path
from random import SystemRandom
from types import ModuleType
from typing import Annotated, Any, NoReturn

import typer
from rich.progress import Progress

from bench.report import fill

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"

trials = typer.Typer(no_args_is_help=True, help=__doc__, pretty_exceptions_show_locals=False)


@trials.callback()
def _several() -> None:
    """Without this, typer would make a single trial the whole command."""


def _conclude(trial: ModuleType, found: Any, docs: bool) -> NoReturn:
    """Keep and show what a trial found, and fail if something broke."""
    trial.save(found)
    table = trial.table(found)
    print(table)
    if docs:
        fill(PAGE, {trial.__name__.removeprefix("trials."): table})
    for broken in found.broken:
        print(broken)
    raise typer.Exit(bool(found.broken))


@trials.command()
def inputs(
    cases: Annotated[int, typer.Option(help="Requests to send at least.", min=1)] = 10_000,
    seed: Annotated[int | None, typer.Option(help="Which; without it, others each time.")] = None,
    docs: Annotated[bool, typer.Option(help="Put the table into docs/reliability.md as well.")] = False,
) -> None:
    """Send what schemathesis makes of the OpenAPI document, right and wrong, to the server and to the handler."""
    from trials import inputs as trial  # noqa: PLC0415 # schemathesis, which no other trial needs

    seed = SystemRandom().randrange(1 << 31) if seed is None else seed
    with Progress() as progress:
        task = progress.add_task(f"cases, seed {seed}", total=cases)
        found = trial.measure(cases, seed, advance=lambda: progress.advance(task))
    _conclude(trial, found, docs)


@trials.command()
def artifacts(
    mutations: Annotated[int, typer.Option(help="Models to damage.", min=1)] = 100_000,
    seed: Annotated[int | None, typer.Option(help="Which; without it, others each time.")] = None,
    docs: Annotated[bool, typer.Option(help="Put the table into docs/reliability.md as well.")] = False,
) -> None:
    """Damage model files; each is refused, or served safely and alike by every build."""
    from trials import artifacts as trial  # noqa: PLC0415 # scikit-learn, which no other trial needs

    seed = SystemRandom().randrange(1 << 31) if seed is None else seed
    with Progress() as progress:
        task = progress.add_task(f"mutations, seed {seed}", total=mutations * trial.n_builds())
        found = trial.measure(mutations, seed, trial.small_model(), advance=lambda: progress.advance(task))
    _conclude(trial, found, docs)


@trials.command()
def load(
    seconds: Annotated[int, typer.Option(help="For each number of callers.", min=1)] = 20,
    soak: Annotated[float, typer.Option(help="Minutes; 0 leaves it out.", min=0)] = 10,
    docs: Annotated[bool, typer.Option(help="Put the tables into docs/reliability.md as well.")] = False,
) -> None:
    """Ask the local server and a pool of runtime clients for prices, while models come and go."""
    from trials import load as trial  # noqa: PLC0415

    with Progress() as progress:
        task = progress.add_task("starting", total=seconds * 2 * len(trial.CALLERS) + soak * 60)
        found = trial.measure(
            seconds, soak, lambda what, passed: progress.update(task, advance=passed, description=what)
        )
    _conclude(trial, found, docs)


if __name__ == "__main__":
    trials()
