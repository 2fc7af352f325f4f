"""What was measured -> tables, a plot and the pages in docs/."""

import os
import platform
import re
import statistics
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench import cost

mpl.use("agg")

BASE = "constant"
HEADINGS = {
    "cold": "cold start",
    "warm": "warm `/predecir`",
    "batch": "`/predecir/lote` of 1,000",
    "memory": "peak memory",
}
UNITS = {"cold": "ms", "warm": "ms", "batch": "ms", "memory": "MiB"}
PACKAGES = ("fastapi", "pydantic", "mangum", "awslambdaric", "scikit-learn", "onnxruntime", "boto3", "obstore")


def machine(rounds: int) -> str:
    """Where and how the figures were taken, in a sentence."""
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}; medians of {rounds} interleaved rounds; load average "
        f"{os.getloadavg()[2]:.1f}. {packages}."
    )


def functions(figures: dict[str, dict[str, list[float]]]) -> list[list[str]]:
    """One row a contestant: the median round, half the rounds' range, and the median of the ratios round by round."""
    rows = [["function", *HEADINGS.values()]]
    for name, taken in figures.items():
        cells = []
        for kind, unit in UNITS.items():
            ratio = statistics.median(a / b for a, b in zip(taken[kind], figures[BASE][kind], strict=True))
            low, _, high = statistics.quantiles(taken[kind], n=4) if len(taken[kind]) > 1 else taken[kind] * 3
            cells.append(
                f"{_short(statistics.median(taken[kind]))} {unit} ({_short(low)} to {_short(high)}), **{ratio:.2f}×**"
            )
        rows.append([name, *cells])
    return rows


def kernel(figures: dict[str, Any]) -> list[list[str]]:
    """One row for each number of rows."""
    names = list(figures["rows"])
    rows = [["rows", *names, "compiled against scikit-learn", "against onnxruntime"]]
    for size in figures["rows"]["scikit-learn"]:
        taken = {name: by.get(size) for name, by in figures["rows"].items()}
        ratios = [
            statistics.median(a / b for a, b in zip(taken[name], taken["compiled kernel"], strict=True))
            for name in ("scikit-learn", "onnxruntime")
        ]
        cells = [f"{_short(statistics.median(t))} ms" if t else "" for t in taken.values()]
        rows.append([f"{int(size):,}", *cells, *(f"**{ratio:.{0 if ratio >= 20 else 1}f}×**" for ratio in ratios)])
    return rows


def growth(figures: dict[str, Any]) -> list[list[str]]:
    """One row for each number of trees."""
    rows = [["trees", "scikit-learn, 1,000 rows", "compiled kernel, 1,000 rows", "its memory", "and for 100,000 rows"]]
    for trees, taken in figures["trees"]["scikit-learn"].items():
        memory = figures["memory"][trees]
        ours = figures["trees"]["compiled kernel"][trees]
        rows.append(
            [
                f"{int(trees):,}",
                f"{_short(statistics.median(taken))} ms",
                f"{_short(statistics.median(ours))} ms",
                f"{_short(memory['forest'])} MiB",
                f"{_short(memory['most rows'])} MiB more",
            ]
        )
    return rows


def markdown(rows: list[list[str]]) -> str:
    """A table."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def plot(results: dict[str, Any], path: Path) -> None:
    """Cold start, warm request and memory of every function, and the kernels by number of rows."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    taken = results["functions"]
    for axis, kind in zip(axes.flat, ("cold", "warm", "memory"), strict=False):
        names = list(taken)[::-1]
        values = [statistics.median(taken[name][kind]) for name in names]
        ours = [name.startswith("this project") for name in names]
        bars = axis.barh(names, values, color=["#1f6f8b" if mine else "#b8b8b8" for mine in ours])
        axis.bar_label(bars, [_short(value) for value in values], padding=3)
        axis.set(title=f"{HEADINGS[kind].replace('`', '')}, {UNITS[kind]}", xscale="log")
        axis.margins(x=0.15)
    for name, by_size in results["kernel"]["rows"].items():
        sizes = [int(size) for size in by_size]
        axes[1, 1].plot(sizes, [statistics.median(by_size[size]) for size in by_size], marker="o", label=name)
    axes[1, 1].set(title="one call of the forest, ms", xlabel="rows", xscale="log", yscale="log")
    axes[1, 1].legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def fill(page: Path, sections: dict[str, str]) -> None:
    """Put each text between its markers in a page: <!-- NAME --> ... <!-- / -->."""
    text = page.read_text(encoding="utf-8")
    for name, content in sections.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- / -->)", re.DOTALL)
        found = pattern.search(text)
        if found is None:
            raise ValueError(f"{page} has no place for {name}")
        text = text[: found.start()] + found[1] + content + found[2] + text[found.end() :]
    page.write_text(text, encoding="utf-8")


def costs(figures: dict[str, dict[str, list[float]]]) -> str:
    """The table of costs."""
    medians = {
        name: {kind: statistics.median(values) for kind, values in taken.items()} for name, taken in figures.items()
    }
    return markdown(cost.table(medians, [name for name in ("this project, S3", "scikit-learn, S3") if name in medians]))


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
