"""The results of a run as one file, in input order, its rows numbered through."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from app.errors import DataError, StoreError
from batch.pricing import columns
from batch.run import Plan, Receipt, format_of, part_of
from batch.storage import Folder

Write = Callable[[bytes, int], int]
"""Takes a result and how many rows came before it; gives how many it has."""


def merge(
    run: Folder,
    planned: Plan,
    done: dict[int, Receipt],
    out: Path,
    unfinished: Path,
    advance: Callable[[], None],
) -> int:
    """Write the results of a complete run to `out` (CSV, JSON Lines or Parquet by its ending); gives the rows.

    `out` gets its name when it is whole, counted and on the disk; until then it is `unfinished`, on the same disk.
    Memory holds one result at a time.
    Raises StoreError when the rows are not those of the receipts.
    """
    if missing := [part.number for part in planned.ranges if part.number not in done]:
        raise DataError(f"{run.uri} lacks {len(missing)} of {len(planned.ranges)} ranges: there is nothing whole yet")
    try:
        rows = 0
        with _writer(unfinished, format_of(str(out)), planned) as write:
            for part in planned.ranges:
                expected = done[part.number].counts.rows
                written = write(part_of(run, part), rows)
                if written != expected:
                    raise StoreError(f"the result of range {part.number} has {written} rows, its receipt {expected}")
                rows += written
                advance()
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(out)
    except OSError as error:
        raise StoreError(f"{out} can't be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return rows


def _writer(path: Path, name: str, planned: Plan) -> AbstractContextManager[Write]:
    return {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[name](path, columns(planned.has_id))


@contextmanager
def _csv(path: Path, names: tuple[str, ...]) -> Iterator[Write]:
    with path.open("wb") as file:
        file.write(",".join(names).encode() + b"\n")

        def write(data: bytes, before: int) -> int:
            n, quoted = before, False
            numbered = []
            for line in data.split(b"\n")[1:-1]:
                if quoted:  # a line break inside an id
                    numbered.append(line)
                else:
                    n += 1
                    numbered.append(b"%d,%b" % (n, line[line.index(b",") + 1 :]))
                if b'"' in line:
                    quoted ^= line.count(b'"') % 2 == 1  # exact, since these quotes are our own
            file.write(b"\n".join([*numbered, b""]))
            return n - before

        yield write


@contextmanager
def _jsonl(path: Path, names: tuple[str, ...]) -> Iterator[Write]:
    numbers = {"precio", "inferior", "superior", "confianza"}
    with path.open("w", encoding="utf-8", newline="\n") as file:

        def write(data: bytes, before: int) -> int:
            n = before
            for n, row in enumerate(csv.DictReader(io.StringIO(data.decode(), newline="")), before + 1):
                line = {
                    name: (float(cell) if name in numbers else cell) if cell else None for name, cell in row.items()
                }
                file.write(json.dumps(line | {"fila": n}, ensure_ascii=False) + "\n")
            return n - before

        yield write


@contextmanager
def _parquet(path: Path, names: tuple[str, ...]) -> Iterator[Write]:
    import pyarrow as pa  # noqa: PLC0415  # half a second, and 100 MB, for those who ask for Parquet
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.csv as pacsv  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    numbers = dict.fromkeys(("precio", "inferior", "superior", "confianza"), pa.float64())
    types = {name: numbers.get(name, pa.string()) for name in names} | {"fila": pa.int64()}
    schema = pa.schema([(name, types[name]) for name in names])
    with pq.ParquetWriter(path, schema) as file:

        def write(data: bytes, before: int) -> int:
            table = pacsv.read_csv(
                io.BytesIO(data),
                parse_options=pacsv.ParseOptions(newlines_in_values=True),
                convert_options=pacsv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=[""]),
            )
            table = table.set_column(0, "fila", pc.add(table["fila"], before))
            file.write_table(table.cast(schema))
            return int(table.num_rows)

        yield write
