"""`python -m bench`: measure, print the tables, write them with a plot to bench/results."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import functions, kernel, parts, report, start

FOLDER = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"


def main(
    rounds: Annotated[int, typer.Option(help="Rounds that count.", min=1)] = 9,
    only: Annotated[str, typer.Option(help="Only functions whose name contains this, and no kernels.")] = "",
    reuse: Annotated[
        bool, typer.Option(help="Measure nothing: use bench/results/results.json of this version.")
    ] = False,
    docs: Annotated[bool, typer.Option(help="Put the tables and the plot into docs/ as well.")] = False,
) -> None:
    """Measure this project against other ways to serve its forest."""
    FOLDER.mkdir(exist_ok=True)
    saved = FOLDER / "results.json"
    if reuse:
        results: dict[str, Any] = json.loads(saved.read_text())
    else:
        taken = functions.measure(rounds, only, print)
        results = {"functions": {name: asdict(figures) for name, figures in taken.items()}}
        if only:
            print(report.markdown(report.functions(results["functions"])))
            return
        results["machine"] = report.machine(rounds)
        saved.write_text(json.dumps(results, indent=1))
        results["start"] = start.measure(rounds, print)
        results["parts"] = parts.measure(rounds, print)
        results["kernel"] = kernel.measure(rounds, print)
        saved.write_text(json.dumps(results, indent=1))
        results = json.loads(saved.read_text())
    sections = {
        "functions": report.markdown(report.functions(results["functions"])),
        "start": report.markdown(start.table(results["start"])),
        "parts": report.markdown(parts.table(results["parts"])),
        "kernel": report.markdown(report.kernel(results["kernel"])),
        "growth": report.markdown(report.growth(results["kernel"])),
        "machine": f"{results['machine']} The kernels' forest has {results['kernel']['nodes']:,} nodes.\n",
    }
    costs = report.costs(results["functions"])
    text = "\n".join([*sections.values(), costs])
    (FOLDER / "report.md").write_text(text, encoding="utf-8")
    report.plot(results, FOLDER / "performance.png")
    print(text)
    if docs:
        report.fill(DOCS / "performance.md", sections)
        report.fill(DOCS / "cost.md", {"costs": costs, "machine": sections["machine"]})
        report.plot(results, DOCS / "img" / "performance.png")


if __name__ == "__main__":
    typer.run(main)
