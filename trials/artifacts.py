"""Damaged models: each mutation is refused with an ArtifactError or served safely, alike by every build of the kernels.

The builds are run in processes of their own, by `trials.examine`: as served, as plain Python, and compiled with a
check of every index, so that a read outside an array is an IndexError and not a number that happens to be there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic

import app.forest
from app.store import EMBEDDED
from bench.report import markdown
from tests.conftest import made_up_listings
from training.data import read
from training.options import Options
from training.recipe import train
from trials.examine import LARGE_EVERY, mutated

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
AT_A_TIME = 5_000
"""Mutations that one process opens; what leaks shows, and doesn't reach the next."""
SERVED, PLAIN, CHECKED = "compiled", "plain Python", "compiled, every index checked"
WORDS = ("refused", "served", "unproven", "broke")


@dataclass
class Trial:
    """What came of a trial: counts by what was damaged and by verdict, of the first build; all that broke."""

    seed: int
    mutations: int
    builds: list[str]
    verdicts: dict[str, dict[str, int]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    peak_mebibytes: float = 0.0
    seconds: float = 0.0


def measure(
    mutations: int, seed: int, small: bytes, *, check_indices: bool = True, advance: Callable[[], None] = lambda: None
) -> Trial:
    """Damage a small model, and now and then the shipped one; `advance` is called for each mutation in each build."""
    began = monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "small").write_bytes(small)
        homes_of_builds = _builds(folder, check_indices)
        trial = Trial(seed, mutations, list(homes_of_builds))
        agreed: dict[int, tuple[str, str, str]] = {}
        for build, home in homes_of_builds.items():
            for number, *found in _examined(home, seed, mutations, folder / "small", trial):
                kind, word, detail = found
                first = agreed.setdefault(number, (kind, word, detail))
                if word == "broke":
                    _remember(trial, number, f"{build}: {kind}: {detail}", folder / "small")
                elif first[1:] != (word, detail) and first[1] != "broke":
                    _remember(
                        trial, number, f"{build}: {word} {detail}, but {trial.builds[0]}: {first}", folder / "small"
                    )
                advance()
    counts = Counter((kind, word) for kind, word, _ in agreed.values())
    trial.verdicts = {
        kind: {word: counts[kind, word] for word in WORDS} for kind in sorted({kind for kind, _ in counts})
    }
    trial.seconds = monotonic() - began
    return trial


def small_model() -> bytes:
    """A model of made-up listings, small enough to be opened hundreds of times a second."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "listings.csv"
        made_up_listings().to_csv(table, index=False)
        return train(read(table), Options(trees=10, jobs=1), year=2020, source="made up").data


def _remember(trial: Trial, number: int, what: str, small: Path) -> None:
    RESULTS.mkdir(exist_ok=True)
    saved = RESULTS / f"artifact-{trial.seed}-{number}.safetensors"
    saved.write_bytes(mutated(trial.seed, number, small.read_bytes(), EMBEDDED.read_bytes())[1])
    trial.broken.append(f"{saved.name}: {what}")


def n_builds() -> int:
    """How many builds there are here: without a C compiler only the plain one."""
    return 3 if app.forest.COMPILED else 1


def _builds(folder: Path, check_indices: bool) -> dict[str, Path]:
    """Folders that have an `app` in the builds there are, by name."""
    builds = {SERVED: ROOT} if app.forest.COMPILED else {}
    builds[PLAIN] = _copied(folder / "plain")
    if check_indices and app.forest.COMPILED:
        builds[CHECKED] = _checked(folder / "checked")
    return builds


def _copied(folder: Path) -> Path:
    shutil.copytree(ROOT / "app", folder / "app", ignore=shutil.ignore_patterns("*.so", "*.c", "web", "embedded"))
    return folder


def _checked(folder: Path) -> Path:
    """The sources compiled without the directives that leave out checks."""
    _copied(folder)
    for source in (folder / "app").glob("*.py"):
        source.write_text(re.sub(r"\A# cython: .*\n", "# cython: infer_types=True\n", source.read_text()))
    for types in (folder / "app").glob("*.pxd"):
        types.write_text(types.read_text().replace(" noexcept", " except *"))  # which would swallow an IndexError
    shutil.copy(ROOT / "setup.py", folder)
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"], cwd=folder, check=True, capture_output=True
    )
    missing = {path.stem for path in (folder / "app").glob("*.pxd")} - {
        path.name.partition(".")[0] for path in (folder / "app").glob("*.so")
    }
    if missing:
        raise RuntimeError(f"{missing} could not be compiled with checks")
    return folder


def _examined(build: Path, seed: int, mutations: int, small: Path, trial: Trial) -> Iterator[tuple[int, str, str, str]]:
    """Number, what was damaged, verdict and detail of each mutation in turn, whatever becomes of the processes."""
    number = 1
    while number <= mutations:
        last = min(number + AT_A_TIME, mutations + 1)
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                [sys.executable, "-m", "trials.examine", *map(str, (seed, number, last, small, EMBEDDED))],
                cwd=build,
                env=os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process,
        ):
            assert process.stdout is not None  # noqa: S101 # it was asked for
            for line in process.stdout:
                name, *found = line.rstrip("\n").split("\t")
                if name == "peak":
                    trial.peak_mebibytes = max(trial.peak_mebibytes, int(found[0]) / 1024)
                    continue
                kind, word, detail = found
                yield number, kind, word, detail
                number += 1
            process.wait()
            if number < last:
                errors.seek(0)
                yield number, "?", "broke", _ending(process.returncode, errors.read().decode(errors="replace"))
                number += 1


def _ending(code: int, written: str) -> str:
    if code == -signal.SIGALRM:
        return "an endless loop"
    if code < 0:
        return f"the interpreter crashed: {signal.Signals(-code).name}"
    return f"the process ended with {code}: {written[-300:]}"


def table(trial: Trial) -> str:
    """The section of docs/reliability.md."""
    heads = ["damaged", "mutations", "refused", "served", "served but for its golden rows", "broke"]
    rows = [
        [kind, *(f"{count:,}" for count in (sum(by.values()), *(by[word] for word in WORDS)))]
        for kind, by in trial.verdicts.items()
    ]
    totals = [sum(by[word] for by in trial.verdicts.values()) for word in WORDS]
    rows.append(["**all**", *(f"**{count:,}**" for count in (sum(totals), *totals))])
    return (
        markdown([heads, *rows])
        + f"\nSeed {trial.seed}; every {LARGE_EVERY}th of the shipped model, the others of one "
        f"of ten trees. Opened and asked by {len(trial.builds)} builds ({'; '.join(trial.builds)}), whose verdicts and "
        f"answers were compared bit for bit; {len(trial.broken)} broke or differed. Most memory that a process "
        f"held: {trial.peak_mebibytes:.0f} MiB. {trial.seconds / 60:.0f} minutes on one core.\n"
    )


def save(trial: Trial) -> None:
    """Keep what came of it as JSON."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "artifacts.json").write_text(json.dumps(asdict(trial), indent=1, ensure_ascii=False))
