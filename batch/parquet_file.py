"""Parquet, on this machine: ranges of rows, read in batches out of their row groups."""

import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.errors import DataError
from app.features import FIELDS, OPTIONAL
from app.records import MISSING, value
from batch.csv_file import check_columns
from batch.records import Range, Record, column_name
from batch.storage import Source

_BATCH = 8_192  # rows decoded at a time


class ParquetFile:
    """A Parquet file with the contract's columns; others are ignored. Cells are typed, text cells are read as CSV's."""

    def __init__(self, source: Source, parameters: dict[str, Any] | None = None) -> None:
        """Open the file and look at its schema and its footer."""
        if source.path is None:
            raise DataError(f"{source.uri}: Parquet is priced on this machine alone; send CSV or JSON Lines to S3")
        try:
            self._file = pq.ParquetFile(source.path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{source.uri} is cut short or no Parquet file: {error}") from None
        stored = self._file.schema_arrow.names
        self._names = {column: column_name(column) for column in stored}
        check_columns(source.uri, list(self._names.values()))
        self._read = [column for column in stored if self._names[column] in FIELDS or self._names[column] == "id"]
        self._rows: int = self._file.metadata.num_rows
        if not self._rows:
            raise DataError(f"{source.uri} has columns and no rows")
        self.has_id = "id" in self._names.values()

    def parameters(self) -> dict[str, Any]:
        """Nothing: the footer says it all."""
        return {}

    def ranges(self, size: int) -> Iterator[Range]:
        """Cut row groups at every `size` rows."""
        number = start = 0
        for group in range(self._file.metadata.num_row_groups):
            group_end = start + self._file.metadata.row_group(group).num_rows
            while start < group_end:
                end = min(start + size, group_end)
                yield Range(number, start, end)
                number, start = number + 1, end

    def records(self, part: Range) -> Iterator[Record]:
        """The rows between two row numbers, counted from 0."""
        group = group_start = 0
        while group_start + (rows := self._file.metadata.row_group(group).num_rows) <= part.start:
            group, group_start = group + 1, group_start + rows
        at = group_start
        for batch in self._file.iter_batches(_BATCH, row_groups=[group], columns=self._read, use_threads=False):
            first, last = max(part.start - at, 0), min(part.end - at, batch.num_rows)
            at += batch.num_rows
            if first < last:
                for row in batch.slice(first, last - first).to_pylist():
                    yield self._record(row)
            if at >= part.end:
                return

    def _record(self, row: dict[str, Any]) -> Record:
        id_ = ""
        values = {}
        for column, cell in row.items():
            name = self._names[column]
            if name == "id":
                id_ = "" if cell is None else str(cell)
            elif (found := _value(name, cell)) is not MISSING:
                values[name] = found
        return Record(id_, values)


def _value(name: str, cell: Any) -> Any:
    if isinstance(cell, str):
        return value(name, cell)
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):  # pandas' way to say unknown
        return None if name in OPTIONAL else MISSING
    return cell
