"""`python -m training`: the data scientist's command line."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from app.errors import PricingError
from training import publish
from training.options import Kind, Options

cli = typer.Typer(
    help="Train, publish and roll back the price model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)

DEFAULTS = Options()


cli.add_typer(publish.cli)


@cli.command("fit")
def fit_command(
    data: Annotated[Path, typer.Option(help="Listings: CSV or Parquet with the contract's columns and `precio`.")],
    out: Annotated[Path, typer.Option(help="Where to write the model.")],
    year: Annotated[int, typer.Option(help="The year the prices are of.")] = 2023,
    estimator: Annotated[Kind, typer.Option(help="Kind of forest.")] = DEFAULTS.estimator,
    trees: Annotated[int, typer.Option(help="Trees in the forest.", min=1)] = DEFAULTS.trees,
    seed: Annotated[int, typer.Option(help="The same seed, data and versions give the same bytes.")] = DEFAULTS.seed,
    card: Annotated[Path | None, typer.Option(help="Folder for the model card and its pictures.")] = None,
    about: Annotated[Path | None, typer.Option(help="Text about the data, for the card.")] = None,
    source: Annotated[str, typer.Option(help="Where the listings come from, for the model's card.")] = "",
) -> None:
    """Fit, cross-validate, verify against scikit-learn and write a model."""
    # Here and not above: scikit-learn takes seconds to import, and who rolls back a model is in a hurry.
    from training import artifact  # noqa: PLC0415
    from training.data import read  # noqa: PLC0415
    from training.recipe import STEPS, train  # noqa: PLC0415

    listings = read(data)
    options = Options(estimator=estimator, trees=trees, seed=seed)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("cross-validation and fit", total=STEPS)
        trained = train(listings, options, year=year, source=source, advance=lambda: progress.advance(task))
    artifact.write(out, trained.data)
    if card:
        from training.card import write_card  # noqa: PLC0415 - matplotlib takes another second

        write_card(card, listings, trained, about.read_text(encoding="utf-8") if about else "")
    show(trained.evaluation)
    print(json.dumps(trained.evaluation, ensure_ascii=False, indent=2))
    console.print(f"wrote {out}: version {trained.version}, {len(trained.data) / 1e6:.1f} MB")


def show(evaluation: dict[str, dict[str, Any]]) -> None:
    """Print the evaluation as a table."""
    table = Table(title="Cross-validation by cell of about 100 m")
    for heading in (
        "segment",
        "n",
        "MAE k€",
        "median",
        "≤ 10 %",
        "≤ 20 %",
        "cover",
        "width",
    ):
        table.add_column(heading, justify="left" if heading == "segment" else "right", no_wrap=heading == "segment")
    for name, f in evaluation.items():
        table.add_row(
            name,
            f"{f['n']:,}",
            f"{f['mae'] / 1000:,.1f}",
            *(f"{f[key]:.1%}" for key in ("medape", "dentro_10", "dentro_20", "cobertura")),
            f"{f['ancho_mediano']:.2f}",
        )
    console.print(table)


if __name__ == "__main__":
    try:
        cli(standalone_mode=True)
    except PricingError as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
