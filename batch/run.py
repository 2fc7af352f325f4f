"""The three steps of a run, on a folder of its own: plan, work (once for each range), finish.

    plan.json            what is read, with which model, how it was cut
    ranges.json          the ranges still to be priced: what the Distributed Map goes through
    model.safetensors    the run's own copy of the model, so that a promotion meanwhile changes nothing
    parts/000017.csv     the result of one range; its `fila` counts from 1 within the range
    parts/000017.json    its receipt, written after it: counts and size
    execution.txt        on AWS, the execution that works on it
    manifest.json        written by finish: what came out, or what is missing

Every step may be repeated: each writes the same objects again. A range whose receipt and result agree is done.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from app.errors import DataError, StoreError
from app.model import Model, version_of
from app.settings import Settings
from batch.csv_file import CsvFile
from batch.jsonl_file import JsonLinesFile
from batch.pricing import Counts, price
from batch.records import Range, Reader
from batch.storage import Folder, Source, Stat

PLAN, RANGES, MODEL, PARTS, MANIFEST = "plan.json", "ranges.json", "model.safetensors", "parts", "manifest.json"
SHOWN = 20
"""Missing ranges that a message names."""
_READS = 16  # receipts read at once


class Progress(NamedTuple):
    """How far a run is: what is done and what there is in all, in bytes, rows or ranges."""

    done: int
    total: int
    counts: Counts | None = None
    """Of all that is priced; None while results are merged."""
    failed: int = 0
    """Ranges given up after their retries."""


Report = Callable[[Progress], None]
"""Called first with what was done before, then whenever there is more."""


class Plan(BaseModel):
    """What a run reads and how; made once, and the same from its first range to its last."""

    model_config = ConfigDict(frozen=True)

    source: str
    size: int
    etag: str
    format: str
    parameters: dict[str, Any]
    """What its reader found at the file's two ends."""
    has_id: bool
    model: str
    """Version."""
    ranges: list[Range]
    started: float
    """Seconds since the epoch."""

    def reader(self, settings: Settings, credentials: Any = None) -> Reader:
        """The pinned file; reading it raises DataError once it has changed."""
        parent, _, name = self.source.rpartition("/")
        source = Source(Folder(parent or "/", settings, credentials), name, Stat(self.size, self.etag))
        return _reader(source, self.format, self.parameters)


class Receipt(NamedTuple):
    """What a worker says of a range it has priced."""

    number: int
    start: int
    end: int
    model: str
    bytes: int
    counts: Counts


def plan(
    run: Folder,
    source: Source,
    model: bytes,
    *,
    range_size: int,
    started: float,
) -> tuple[Plan, int]:
    """Plan a run, or take up a planned one; leaves in ranges.json what is still to be priced, and says how many.

    range_size: of a range, in bytes (in rows for Parquet).
    Raises DataError when the file can't be read as homes, or when what was planned is another file.
    """
    planned = load(run)
    if planned is None:
        reader = _reader(source, format_of(source.uri))
        Model.load(model)
        planned = Plan(
            source=source.uri,
            size=source.size,
            etag=source.etag,
            format=format_of(source.uri),
            parameters=reader.parameters(),
            has_id=reader.has_id,
            model=version_of(model),
            ranges=list(reader.ranges(range_size)),
            started=started,
        )
        run.write(MODEL, model)
        run.write(PLAN, planned.model_dump_json().encode())
    elif (planned.source, planned.size, planned.etag) != (source.uri, source.size, source.etag):
        raise DataError(
            f"{run.uri} is a run over {planned.source} as it was when it was planned, and the file is another now:"
            " start a new run"
        )
    done = receipts(run, planned)
    pending = [part._asdict() for part in planned.ranges if part.number not in done]
    run.write(RANGES, json.dumps(pending).encode())
    return planned, len(pending)


def load(run: Folder) -> Plan | None:
    """The plan of a run; None when there is none yet."""
    if run.stat(PLAN) is None:
        return None
    try:
        return Plan.model_validate_json(run.read(PLAN))
    except ValidationError as error:
        raise StoreError(
            f"{run.uri}/{PLAN} is no plan of this version, start a new run: {error.errors()[0]['msg']}"
        ) from None


class Worker:
    """Prices ranges of one run; keeps its plan and its model from one range to the next."""

    def __init__(self, run: Folder, settings: Settings) -> None:
        planned = load(run)
        if planned is None:
            raise StoreError(f"{run.uri} has no {PLAN}")
        self._run = run
        self._plan = planned
        self._reader = planned.reader(settings)
        self._model = Model.load(run.read(MODEL))
        if self._model.version != planned.model:
            raise StoreError(f"{run.uri}/{MODEL} is {self._model.version}, and the plan says {planned.model}")

    def price(self, part: Range) -> Receipt:
        """Price a range: its result, then its receipt. Again is the same as once."""
        data, counts = price(self._reader.records(part), self._model, self._plan.has_id)
        receipt = Receipt(*part, self._model.version, len(data), counts)
        self._run.write(f"{PARTS}/{_name(part)}.csv", data)
        self._run.write(f"{PARTS}/{_name(part)}.json", _RECEIPT.dump_json(receipt))
        return receipt


@lru_cache(maxsize=1)
def worker(run: str, settings: Settings) -> Worker:
    """The worker of a run, kept while ranges of the same run come."""
    return Worker(Folder(run, settings), settings)


def receipts(run: Folder, planned: Plan, known: dict[int, Receipt] | None = None) -> dict[int, Receipt]:
    """The receipts of the ranges that are done: written for this range, and with a result of the size they state.

    known: receipts that were read before, which are not read again.
    """
    sizes = run.sizes(PARTS)
    found = dict(known or {})
    written = [
        part
        for part in planned.ranges
        if part.number not in found and {f"{_name(part)}.csv", f"{_name(part)}.json"} <= sizes.keys()
    ]
    with ThreadPoolExecutor(_READS) as threads:
        for part, receipt in zip(written, threads.map(lambda part: _receipt(run, part), written), strict=True):
            expected = (*part, planned.model, sizes[f"{_name(part)}.csv"])
            if receipt and receipt[:-1] == expected:
                found[part.number] = receipt
    return found


def total(done: dict[int, Receipt]) -> Counts:
    """The counts of all of them."""
    return sum((receipt.counts for receipt in done.values()), Counts())


def finish(run: Folder, planned: Plan, finished: float) -> dict[str, Any]:
    """Count what came out and write the manifest; `complete` says whether every row is there once.

    Every range of the plan has one result, the ranges cover the file without gap or overlap, and rows are priced
    or refused. A run with missing ranges has a manifest too, with complete = false and the ranges' numbers.
    """
    done = receipts(run, planned)
    missing = [part.number for part in planned.ranges if part.number not in done]
    wrong = [r.number for r in done.values() if r.counts.rows != r.counts.priced + r.counts.refused]
    contiguous = all(a.end == b.start for a, b in zip(planned.ranges, planned.ranges[1:], strict=False))
    complete = not missing and not wrong and contiguous
    counts = total(done)
    parts, first = [], 1
    for part in planned.ranges:
        if part.number not in done:
            break  # where the rows of later parts begin isn't known
        parts.append({"name": f"{PARTS}/{_name(part)}.csv", "first_row": first, **done[part.number].counts._asdict()})
        first += done[part.number].counts.rows
    summary = {
        "complete": complete,
        "counts": counts._asdict(),
        "ranges": len(planned.ranges),
        "missing": missing[:SHOWN],
        "model": planned.model,
        "run": run.uri,
        "cause": "" if complete else _cause(missing, wrong, len(planned.ranges)),
    }
    details = {"source": planned.source, "started": planned.started, "finished": finished, "has_id": planned.has_id}
    run.write(MANIFEST, json.dumps(summary | details | {"missing": missing, "parts": parts}, indent=1).encode())
    return summary


def part_of(run: Folder, part: Range) -> bytes:
    """The result of a range."""
    return run.read(f"{PARTS}/{_name(part)}.csv")


def format_of(uri: str) -> str:
    """How to read a file, by the ending of its name. Raises DataError for an ending without a reader."""
    for ending, name in ((".csv", "csv"), (".jsonl", "jsonl"), (".ndjson", "jsonl"), (".parquet", "parquet")):
        if uri.lower().endswith(ending):
            return name
    raise DataError(f"{uri}: its name should end in .csv, .jsonl or .parquet, so that it is clear how to read it")


def _reader(source: Source, name: str, parameters: dict[str, Any] | None = None) -> Reader:
    if name == "csv":
        return CsvFile(source, parameters)
    if name == "jsonl":
        return JsonLinesFile(source, parameters)
    from batch.parquet_file import ParquetFile  # noqa: PLC0415  # pyarrow is not in the image

    return ParquetFile(source, parameters)


_RECEIPT = TypeAdapter(Receipt)


def _receipt(run: Folder, part: Range) -> Receipt | None:
    try:
        return _RECEIPT.validate_json(run.read(f"{PARTS}/{_name(part)}.json"))
    except ValidationError:
        return None  # not ours, or of another version: the range is priced again


def _name(part: Range) -> str:
    return f"{part.number:06d}"


def _cause(missing: list[int], wrong: list[int], total: int) -> str:
    if not missing:
        return f"The counts of {len(wrong)} ranges don't add up: {wrong[:SHOWN]}."
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    return f"{len(missing)} of {total} ranges are missing: {', '.join(map(str, missing[:SHOWN]))}{more}."
