"""What the settings of the forest bring: `python -m bench.choices LISTINGS` prints a table for docs/decisions.md.

Each row is cross-validated by cell over several deals of the cells into folds, because one deal moves the median error
of the 2,330 complete rows by a tenth of a point.
"""

import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.progress import track

from training.data import read
from training.evaluate import cross_validate, report
from training.options import Kind, Options

SHIPPED = Options()
CHOICES = {
    "shipped": SHIPPED,
    "random forest": replace(SHIPPED, estimator=Kind.RANDOM_FOREST),
    "random forest, leaves of 3, a third of the columns": replace(
        SHIPPED, estimator=Kind.RANDOM_FOREST, leaf=3, columns=0.35
    ),
    "100 trees, leaves of 3, half the columns": replace(SHIPPED, trees=100, leaf=3, columns=0.5),
    "200 trees, leaves of 3, half the columns": replace(SHIPPED, trees=200, leaf=3, columns=0.5),
    "40 trees": replace(SHIPPED, trees=40),
}
DEALS = (0, 1, 2)
PARTS = ("todas", "completas")


def main(path: Path) -> None:
    """Print one row for each choice: means over the deals."""
    listings = read(path)
    print("| forest | MAE, k€, all / complete | median error, % | coverage | width |\n|---|--:|--:|--:|--:|")
    for name, options in track(CHOICES.items(), description="choices", console=Console(stderr=True)):
        runs = [report(listings, cross_validate(listings, replace(options, seed=seed), lambda: None)) for seed in DEALS]
        mae, error = (
            " / ".join(f"{scale * fmean(run[part][figure] for run in runs):.{digits}f}" for part in PARTS)
            for figure, scale, digits in (("mae", 1e-3, 1), ("medape", 100, 2))
        )
        coverage, width = (fmean(run["todas"][figure] for run in runs) for figure in ("cobertura", "ancho_mediano"))
        print(f"| {name} | {mae} | {error} | {coverage:.1%} | {width:.2f} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
