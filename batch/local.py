"""A run on this machine: the same steps, with processes in the place of functions.

What is done is on disk, range by range, so a run that is killed goes on where it was when it is started again.
"""

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any

from app.errors import DataError, StoreError
from app.settings import Settings
from batch import run
from batch.merge import merge
from batch.model import current
from batch.records import Range
from batch.storage import Folder, Source

RANGE_BYTES = 1 * 2**20
"""Some 13,000 rows of CSV: a second of one core, which is what a kill can lose."""
RANGE_ROWS = 16_384
"""The same for Parquet."""
UNFINISHED = "unfinished"
"""In the run's folder: the output while it is being merged."""


def price_file(
    source: Path,
    out: Path,
    settings: Settings,
    *,
    model: Path | None = None,
    processes: int | None = None,
    range_size: int | None = None,
    overwrite: bool = False,
    restart: bool = False,
    report: run.Report = lambda progress: None,
) -> dict[str, Any]:
    """Price a file into another; gives the manifest. Doing it again when it is done does nothing.

    Raises DataError for a file that can't be read as homes, or when `out` is there already (unless overwrite);
    StoreError when the disk or a process fails. After either, `out` is what it was before.
    """
    found = Source.find(str(source), settings)
    run.format_of(str(out))
    out = out.absolute()
    if not out.parent.is_dir():
        raise DataError(f"there is no folder {out.parent}")
    if out.is_dir() or str(out) == found.uri:
        raise DataError(f"{out} can't be the result: name another file")
    work = out.with_name(f"{out.name}.run")
    sidecar = out.with_name(f"{out.name}.manifest.json")
    if restart or not (work / run.PLAN).exists():
        _clear(work)  # without a plan, what is in it belongs to no run
        if out.exists() and not overwrite:
            if done := _finished(sidecar, out, found):
                return done
            raise DataError(f"{out} is there already, and it is not the result of this file: pass --overwrite")
    if range_size is None:
        range_size = RANGE_ROWS if run.format_of(found.uri) == "parquet" else RANGE_BYTES
    work.mkdir(exist_ok=True)
    folder = Folder(str(work), settings)
    try:
        planned, _ = run.plan(folder, found, current(settings, model), range_size=range_size, started=time.time())
    finally:
        if not (work / run.PLAN).exists():
            shutil.rmtree(work)
    _work(folder, planned, settings, processes or os.cpu_count() or 1, report)
    summary = run.finish(folder, planned, time.time())
    if not summary["complete"]:
        raise StoreError(f"{summary['cause']} Run the same command again.")
    merged = 0

    def advance() -> None:
        nonlocal merged
        merged += 1
        report(run.Progress(merged, len(planned.ranges)))

    rows = merge(folder, planned, run.receipts(folder, planned), out, work / UNFINISHED, advance)
    if rows != summary["counts"]["rows"]:
        raise StoreError(f"{out} has {rows} rows and the ranges have {summary['counts']['rows']}")
    manifest = summary | {"source": planned.source, "etag": planned.etag, "out": str(out), "bytes": out.stat().st_size}
    Folder(str(out.parent), settings).write(sidecar.name, json.dumps(manifest, indent=1).encode())
    (work / run.PLAN).unlink()
    shutil.rmtree(work)
    return manifest


def _clear(work: Path) -> None:
    """Remove what a run left; DataError when there is anything else in the folder, which isn't ours to remove."""
    if not work.exists():
        return
    ours = {run.PLAN, run.RANGES, run.MODEL, run.PARTS, run.MANIFEST, UNFINISHED}
    # a write that was killed leaves NAME#1
    if strangers := [path.name for path in work.iterdir() if path.name.partition("#")[0] not in ours]:
        raise DataError(f"{work} holds {strangers[0]}, which is no part of a run: move it away")
    shutil.rmtree(work)


def _finished(sidecar: Path, out: Path, source: Source) -> dict[str, Any] | None:
    try:
        manifest: dict[str, Any] = json.loads(sidecar.read_bytes())
        known = (manifest["source"], manifest["etag"], manifest["bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return manifest if known == (source.uri, source.etag, out.stat().st_size) else None


def _work(folder: Folder, planned: run.Plan, settings: Settings, processes: int, report: run.Report) -> None:
    done = run.receipts(folder, planned)
    total = sum(part.end - part.start for part in planned.ranges)
    finished = sum(receipt.end - receipt.start for receipt in done.values())
    counts = run.total(done)
    report(run.Progress(finished, total, counts))
    pending = iter([part for part in planned.ranges if part.number not in done])
    first = list(islice(pending, 2 * processes))
    if not first:
        return
    with ProcessPoolExecutor(
        min(processes, len(first)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(folder.uri, settings),
    ) as pool:
        try:
            for receipt in _results(pool, first, pending):
                finished += receipt.end - receipt.start
                counts += receipt.counts
                report(run.Progress(finished, total, counts))
        except BrokenProcessPool:
            raise StoreError(
                "a worker process died, perhaps for want of memory: run the same command again, and it goes on"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _results(pool: ProcessPoolExecutor, first: list[Range], rest: Iterator[Range]) -> Iterator[run.Receipt]:
    """Receipts as they come, with few ranges on their way at a time."""
    waiting: set[Future[run.Receipt]] = {pool.submit(_price, part) for part in first}
    while waiting:
        ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        waiting |= {pool.submit(_price, part) for part in islice(rest, len(ready))}
        for future in ready:
            yield future.result()


_worker: run.Worker


def _begin(folder: str, settings: Settings) -> None:
    global _worker  # noqa: PLW0603 - what a process of a pool keeps between tasks has no other place
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends the pool
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = run.worker(folder, settings)


def _end_with_parent() -> None:
    """A killed parent closes nothing: without this its processes would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _price(part: Range) -> run.Receipt:
    return _worker.price(part)
