"""What docs/batch.md's figures come from: made-up homes, a measured run, kills, and the calculation for the cloud.

python -m bench.batch generate homes.csv --rows 1000000    # 1 % of the rows broken in ten ways
python -m bench.batch chaos homes.csv                      # killed at random moments, resumed, every row checked
python -m bench.batch report                               # generates, measures, and writes docs/batch.md's tables
"""

import csv
import json
import os
import platform
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

from batch.steps import RANGE_BYTES

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "batch.md"
BEGIN, END = "<!-- figures: python -m bench.batch report -->", "<!-- end of figures -->"
HEADER = "id,latitud,longitud,surface,baños,habitaciones,jardin,antiguedad,superficie_util,ascensor,garaje,condicion"
SEED = 20_231_101

cli = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(stderr=True)


class Line(NamedTuple):
    """A row of a made-up file."""

    text: str
    id: str
    """As it should come back; empty where the row is too broken to have one."""
    broken: bool


def homes(rows: int, broken: float = 0.01, seed: int = SEED) -> Iterator[Line]:
    """Made-up homes around Madrid, the same for the same arguments."""
    r = random.Random(seed)  # noqa: S311  # no secrets
    for i in range(rows):
        built = r.randint(25, 260)
        cells = [
            f"{min(max(r.gauss(40.42, 0.08), 39.9), 41.1):.5f}",
            f"{min(max(r.gauss(-3.70, 0.08), -4.5), -3.1):.5f}",
            str(built),
            str(1 + built // 90),
            str(1 + built // 40),
            "True" if r.random() < 0.2 else "False",
            r.choice(["", "", "", "0", "5", "17", "30", "62"]),
            r.choice(["", str(round(built * 0.85))]),
            "True" if r.random() < 0.6 else "False",
            "True" if r.random() < 0.4 else "False",
            r.choice(["", "A reformar", "En buen estado", "Reformado", "A estrenar"]),
        ]
        if r.random() >= broken:
            if r.random() < 0.001:  # a valid id, quoted for its line break and its quotes
                yield Line(",".join([f'"h{i} ""A""\nand B"', *cells]), f'h{i} "A"\nand B', False)
            else:
                yield Line(",".join([f"h{i}", *cells]), f"h{i}", False)
            continue
        yield _broken(i, cells, r.randrange(10))


def _broken(i: int, cells: list[str], kind: int) -> Line:
    id_ = f"b{i}"
    if kind == 0:
        return Line("", "", True)
    if kind == 1:
        return Line(f'"{id_},' + ",".join(cells), "", True)  # quotes that are never closed
    if kind == 2:
        return Line(",".join([id_, *cells[:5]]), id_, True)  # cut short
    if kind == 3:
        return Line(",".join([id_, *cells, "and", "more"]), id_, True)
    column, text = [(2, ""), (2, "-80"), (0, "95"), (4, "three"), (10, "Nuevo"), (5, "quizás")][kind - 4]
    cells[column] = text
    return Line(",".join([id_, *cells]), id_, True)


def write_homes(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(HEADER + "\n")
        file.writelines(line.text + "\n" for line in homes(rows))


def verify(prices: Path, rows: int) -> int:
    """Hold a result against what was made up: every row there once, in order, priced or refused as it should be."""
    refused = 0
    with prices.open(newline="", encoding="utf-8") as file:
        for number, line, row in zip(count(1), homes(rows), csv.DictReader(file), strict=False):
            found = (row["fila"], row["id"], bool(row["error"]), bool(row["precio"]))
            if found != (str(number), line.id, line.broken, not line.broken):
                raise SystemExit(f"row {number}: {line!r} came back as {row!r}")
            refused += line.broken
    if number != rows:
        raise SystemExit(f"{number} of {rows} rows came back")
    return refused


class Run(NamedTuple):
    """A measured run of the command line."""

    seconds: float
    cpu_seconds: float
    peak_mebibytes: float
    """The most that all its processes held at once; shared pages counted once."""


def command(source: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "batch", "local", str(source), str(out)]


def measure(source: Path, out: Path) -> Run:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin, peak = time.perf_counter(), 0.0
    with subprocess.Popen(command(source, out), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
        while run.poll() is None:
            peak = max(peak, held_mebibytes(run.pid))
            time.sleep(0.25)
        if run.returncode:
            raise SystemExit(run.stderr.read().decode() if run.stderr else "failed")
    seconds = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak)


def family(pid: int) -> list[int]:
    """A process and those it started, at any depth."""
    found = [pid]
    for member in found:
        try:
            text = Path(f"/proc/{member}/task/{member}/children").read_text()
        except OSError:
            continue
        found += map(int, text.split())
    return found


def held_mebibytes(pid: int) -> float:
    total = 0
    for member in family(pid):
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has just ended
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


@cli.command()
def generate(path: Path, rows: Annotated[int, typer.Option(min=1)] = 1_000_000) -> None:
    """Write a CSV of made-up homes, 1 % of them broken."""
    write_homes(path, rows)


@cli.command()
def chaos(
    rows: Annotated[int, typer.Option(min=1)] = 1_000_000,
    kills: Annotated[int, typer.Option(min=0)] = 10,
    seed: Annotated[int | None, typer.Option(help="Of the moments; by chance without.")] = None,
) -> None:
    """Kill a run at random moments, start it again each time, and check every row of what comes out."""
    moments = random.Random(seed)  # noqa: S311  # no secrets
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "homes.csv"), Path(folder, "prices.csv")
        write_homes(source, rows)
        done = 0
        while done < kills:
            with subprocess.Popen(command(source, out), cwd=ROOT, stdout=subprocess.DEVNULL) as run:
                try:
                    run.wait(moments.uniform(0.5, 8))
                    console.print(f"ended by itself after {done} kills")
                    break
                except subprocess.TimeoutExpired:
                    victims = [run.pid] if moments.random() < 0.5 else family(run.pid)
                    for victim in victims:
                        try:
                            os.kill(victim, signal.SIGKILL)
                        except ProcessLookupError:
                            continue
            done += 1
            parts = len(list(Path(f"{out}.run", "parts").glob("*.json")))
            console.print(f"kill {done}: {'all processes' if len(victims) > 1 else 'the parent'}; {parts} ranges done")
        subprocess.run(command(source, out), cwd=ROOT, check=True)
        refused = verify(out, rows)
        print(
            json.dumps(
                {
                    "rows": rows,
                    "refused": refused,
                    "kills": done,
                    "files": sorted(path.name for path in Path(folder).iterdir()),
                }
            )
        )


# --- the cloud, by calculation

MEMORY_GB = 1769 / 1024
LAMBDA_USD_PER_GB_SECOND = 0.0000166667  # x86, first tier
LAMBDA_USD_PER_REQUEST = 0.20 / 1e6
STEP_USD_PER_TRANSITION = 25 / 1e6  # standard workflows
S3_USD_PER_PUT, S3_USD_PER_GET = 5 / 1e6, 0.4 / 1e6
TRANSITIONS_PER_RANGE = 3  # start, task, end: at most
SLOWER = 0.5
"""A vCPU of Lambda against a core of the machine measured: taken for half as fast, to be on the safe side."""
S3_BYTES_PER_SECOND = 60e6  # one stream of one function
COLD_SECONDS = 3.0
PLAN_SECONDS_PER_CUT = 0.04


def plan(
    rows: int, bytes_per_row: float, cpu_us_per_row: float, out_bytes_per_row: float, concurrency: int
) -> list[str]:
    ranges = max(1, round(rows * bytes_per_row / RANGE_BYTES + 0.5))
    rows_each = rows / ranges
    traffic = rows_each * (bytes_per_row + out_bytes_per_row) / S3_BYTES_PER_SECOND
    seconds = rows_each * cpu_us_per_row / 1e6 / SLOWER + traffic
    waves = -(-ranges // concurrency)
    total = waves * seconds + COLD_SECONDS + ranges * PLAN_SECONDS_PER_CUT + 5
    gb_seconds = (ranges * seconds + min(ranges, concurrency) * COLD_SECONDS) * MEMORY_GB
    usd = (
        gb_seconds * LAMBDA_USD_PER_GB_SECOND
        + ranges * (LAMBDA_USD_PER_REQUEST + TRANSITIONS_PER_RANGE * STEP_USD_PER_TRANSITION)
        + ranges * (2 * S3_USD_PER_PUT + 6 * S3_USD_PER_GET)
    )
    return [
        f"{rows / 1e6:,.0f} million",
        f"{rows * bytes_per_row / 1e9:,.2f} GB",
        f"{ranges:,}",
        f"{concurrency:,}",
        f"{seconds:.0f} s",
        f"{total / 60:.1f}",
        f"{usd:,.3f}",
    ]


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "|".join(["---"] * len(heads)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


RANGE_CODE = """
import json, resource, sys, time
from pathlib import Path
from app.settings import Settings
from batch import run
from batch.model import current
from batch.storage import Folder, Source
settings = Settings()
source = Source.find(sys.argv[1], settings)
folder = Folder(sys.argv[2], settings)
planned, _ = run.plan(folder, source, current(settings), range_size=int(sys.argv[3]), started=time.time())
worker = run.Worker(folder, settings)
begin = time.process_time()
receipt = worker.price(planned.ranges[0])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"rows": receipt.counts.rows, "out": receipt.bytes, "cpu": time.process_time() - begin, "peak": peak}))
"""


@cli.command()
def report(
    sizes: Annotated[str, typer.Option(help="Rows of the files to measure.")] = "100000,1000000,4000000",
) -> None:
    """Measure runs of several sizes and one range of the cloud's size, and write the tables of docs/batch.md."""
    measured: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        bytes_per_row = per_core = 0.0
        for rows in map(int, sizes.split(",")):
            source, out = Path(folder, f"{rows}.csv"), Path(folder, f"{rows}-prices.csv")
            write_homes(source, rows)
            load = os.getloadavg()[0]
            run = measure(source, out)
            refused = verify(out, rows)
            measured.append(
                [
                    f"{rows:,}",
                    f"{source.stat().st_size / 1e6:,.0f} MB",
                    f"{refused:,}",
                    f"{run.seconds:,.1f} s",
                    f"{rows / run.seconds:,.0f}",
                    f"{rows / run.cpu_seconds:,.0f}",
                    f"{run.peak_mebibytes:,.0f} MiB",
                    f"{load:.1f}",
                ]
            )
            console.print(measured[-1])
            per_core = round(rows / run.cpu_seconds, -3)
            bytes_per_row = source.stat().st_size / rows
            out.unlink()
        Path(folder, "run").mkdir()
        ended = subprocess.run(
            [sys.executable, "-c", RANGE_CODE, source, Path(folder, "run"), str(RANGE_BYTES)],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        one: dict[str, Any] = json.loads(ended.stdout)
    us = one["cpu"] / one["rows"] * 1e6
    heads = ["rows", "file", "refused", "time", "rows/s", "rows/s and core", "peak memory", "load before"]
    cloud = [
        plan(rows, bytes_per_row, us, one["out"] / one["rows"], concurrency)
        for rows, concurrency in ((10**6, 10), (10**7, 10), (10**7, 50), (10**9, 50), (10**9, 900))
    ]
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    text = "\n".join(
        [
            BEGIN,
            "",
            f"`batch local`, CSV to CSV, {os.cpu_count()} cores ({model[0] if model else platform.machine()},"
            f" shared with other work: see the load), Python {platform.python_version()}, one run of each size, every"
            " row checked:",
            "",
            table(heads, measured),
            "",
            "«Rows/s and core» is rows by seconds of processor time, all processes and all phases together: what the"
            f" load takes away is no part of it. {os.cpu_count()} cores with nothing else to do make it at most"
            f" {(os.cpu_count() or 1) * per_core:,.0f} rows/s, by calculation.",
            "",
            f"One range of the cloud's size ({RANGE_BYTES // 2**20} MiB) in one process: {one['rows']:,} rows,"
            f" {one['cpu']:.1f} s of processor time ({us:.0f} µs a row), {one['peak']:.0f} MiB at its peak with"
            f" model and interpreter; {bytes_per_row:.0f} bytes a row come in, {one['out'] / one['rows']:.0f} go out.",
            "",
            "On AWS, by calculation from there:",
            "",
            table(["rows", "file", "ranges", "at once", "a range takes", "minutes", "USD"], cloud),
            "",
            END,
        ]
    )
    document = DOCUMENT.read_text()
    before, _, rest = document.partition(BEGIN)
    DOCUMENT.write_text(before + text + rest.partition(END)[2])


if __name__ == "__main__":
    cli()
