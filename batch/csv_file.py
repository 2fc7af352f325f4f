"""CSV: cut at the ends of records, and read range by range.

One parser finds the cuts and reads the records, so they can't disagree. It works on bytes taken for Latin-1:
quotes, commas and line ends are the same bytes in UTF-8, positions are offsets in the file, and a cell that is not
UTF-8 spoils its own row alone.

A quote that is never closed would swallow the rows that follow. A field ends somewhere within `FIELD_LIMIT`, and
its closing quote stands before a comma or a line end; where that doesn't hold, the line that opened the quote is a
broken row by itself, and reading goes on with the next line.
"""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from math import isfinite
from typing import Any

from app.errors import DataError
from app.features import FIELDS, OPTIONAL
from app.records import MISSING, value
from batch.records import Range, Record, column_name
from batch.storage import Source

FIELD_LIMIT = 64 * 1024  # bytes; far beyond any cell of a home, and what bounds the search for a cut
_BLOCK = 4 * 1024 * 1024
_DISTINCT = 4096  # cells of a column that are remembered with their value

_UNREADABLE = "La fila no se puede leer: unas comillas que no se cierran bien, o un salto de línea suelto."
_EMPTY = "La línea está vacía."
_NOT_UTF8 = "El texto no es UTF-8 válido."


class CsvFile:
    """A CSV file: UTF-8, commas, a header with the contract's names. Other columns are passed over."""

    def __init__(self, source: Source, parameters: dict[str, Any] | None = None) -> None:
        """Read the header, or take it from the `parameters` of a reader that has."""
        self._source = source
        if parameters is None:
            parameters = _header(source)
        self._columns: list[str] = parameters["columns"]
        self._start: int = parameters["start"]
        self._end: int = parameters["end"]
        self.has_id = "id" in self._columns

    def parameters(self) -> dict[str, Any]:
        """The header and where the rows are."""
        return {"columns": self._columns, "start": self._start, "end": self._end}

    def ranges(self, size: int) -> Iterator[Range]:
        """Cut near every multiple of `size` bytes."""
        _check_last_record(self._source, self._start, self._end, len(self._columns))
        number, start = 0, self._start
        while start < self._end:
            end = self._cut(start, start + size) if start + size < self._end else self._end
            yield Range(number, start, end)
            number, start = number + 1, end

    def records(self, part: Range) -> Iterator[Record]:
        """The rows between two byte offsets."""
        text = self._source.read(part.start, part.end).decode("latin-1")
        width = len(self._columns)
        fields = [(i, name, _reader(name)) for i, name in enumerate(self._columns) if name in FIELDS]
        id_column = self._columns.index("id") if self.has_id else -1
        for cells in _rows(_Lines([text])):
            if cells is None:
                yield Record("", None, _UNREADABLE)
                continue
            id_ = ""
            if 0 <= id_column < len(cells):
                id_ = cells[id_column]
                if not id_.isascii():
                    try:
                        id_ = id_.encode("latin-1").decode()
                    except UnicodeDecodeError:
                        yield Record("", None, f"id: {_NOT_UTF8}")
                        continue
            if len(cells) != width:
                yield Record(id_, None, _wrong_width(len(cells), width))
                continue
            yield Record(id_, {name: found for i, name, read in fields if (found := read(cells[i])) is not MISSING})

    def _cut(self, start: int, target: int) -> int:
        """The end of the first record that ends at or after `target`; `start` is the end of an earlier one.

        Without a quote in the FIELD_LIMIT bytes before it, a line end is the end of a record. With one, only
        reading from `start` can tell.
        """
        window_start = max(start, target - FIELD_LIMIT - 1)
        window = self._source.read(window_start, min(target + FIELD_LIMIT, self._end))
        before = window[: target - window_start]
        line_end = before.rfind(b"\n")
        if b'"' in before or line_end < 0:
            lines = _Lines(self._blocks(start))
        else:
            start = window_start + line_end + 1
            rest = self._blocks(window_start + len(window))
            lines = _Lines(chain([window[line_end + 1 :].decode("latin-1")], rest))
        for _ in _rows(lines):
            if start + lines.at >= target:
                break
        return start + lines.at

    def _blocks(self, start: int) -> Iterator[str]:
        size = FIELD_LIMIT
        while start < self._end:
            end = min(start + size, self._end)
            yield self._source.read(start, end).decode("latin-1")
            start, size = end, _BLOCK


def _reader(name: str) -> Callable[[str], Any]:
    """How to read the cells of a column."""
    return partial(_coordinate, name) if name in ("latitud", "longitud") else _Values(name).__getitem__


def _coordinate(name: str, cell: str) -> Any:
    """What `app.records.value` says of a number; most rows have one of their own, so it is not remembered."""
    try:
        number = float(cell)
    except ValueError:
        return value(name, cell)
    return number if isfinite(number) and "_" not in cell else value(name, cell)


class _Values(dict[str, Any]):
    """What the cells of one column mean; most columns have few different ones."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __missing__(self, cell: str) -> Any:
        found = value(self._name, cell)
        if len(self) >= _DISTINCT:
            self.clear()
        self[cell] = found
        return found


class _Lines:
    """Lines of a text that comes in blocks, with their ends; `at` is where the next one begins and can be set back."""

    def __init__(self, blocks: Iterable[str]) -> None:
        self._blocks = iter(blocks)
        self._text = ""
        self._base = 0  # offset of _text in the whole
        self._keep = 0  # offset of the oldest line that may be asked for again
        self.at = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        begin = self.at - self._base
        while (end := self._text.find("\n", begin)) < 0:
            block = next(self._blocks, None)
            if block is None:
                if begin == len(self._text):
                    raise StopIteration
                end = len(self._text) - 1
                break
            kept = self._keep - self._base
            self._text, self._base, begin = self._text[kept:] + block, self._keep, begin - kept
        self.at = self._base + end + 1
        return self._text[begin : end + 1]

    def mark(self) -> None:
        """Promise not to go back before `at`."""
        self._keep = self.at

    def after_first_line(self) -> None:
        """Go back to the second line after the mark."""
        self.at = self._keep
        next(self)


def _rows(lines: _Lines) -> Iterator[list[str] | None]:
    """The cells of each record; None for a line with a stray quote. An empty line is a row without cells."""
    csv.field_size_limit(FIELD_LIMIT)
    reader = csv.reader(lines, strict=True)
    while True:
        lines.mark()
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            lines.after_first_line()
            yield None


def _wrong_width(found: int, expected: int) -> str:
    return _EMPTY if not found else f"La fila tiene {found} celdas y la cabecera {expected}."


def _header(source: Source) -> dict[str, Any]:
    head = source.read(0, FIELD_LIMIT)
    _check_text(source.uri, head)
    lines = _Lines([head.decode("latin-1")])
    cells = next(_rows(lines), None)
    try:
        columns = [column_name(cell.encode("latin-1").decode()) for cell in cells or []]
    except UnicodeDecodeError:
        raise DataError(f"{source.uri}: the header is not UTF-8; save the file as «CSV UTF-8»") from None
    check_columns(source.uri, columns)
    end = _end_of_data(source, lines.at)
    if end <= lines.at:
        raise DataError(f"{source.uri} has a header and no rows")
    return {"columns": columns, "start": lines.at, "end": end}


_MAGIC = {b"\x1f\x8b": "gzip", b"PK": "a ZIP or Excel file", b"PAR1": "Parquet", b"\x28\xb5\x2f\xfd": "zstd"}


def _check_text(uri: str, head: bytes) -> None:
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            raise DataError(f"{uri} is {kind} and no CSV: unpack it, or give it its own ending")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in head:
        raise DataError(f"{uri} has NUL bytes: it is UTF-16 or no text; save it as «CSV UTF-8»")
    if b"\n" not in head:
        reason = "its lines end with CR alone" if b"\r" in head else f"its first {len(head)} bytes have no line end"
        raise DataError(f"{uri} has no rows below a header: {reason}")


def check_columns(uri: str, columns: list[str]) -> None:
    """Refuse columns that are not those of a home. Raises DataError."""
    known = [name for name in columns if name in FIELDS]
    if len(columns) == 1:
        for delimiter, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if delimiter in columns[0]:
                raise DataError(f"{uri} is separated by {name}: separate by commas, with a point for decimals")
    if not known:
        raise DataError(f"{uri} has no header: its first line should name the columns {', '.join(FIELDS)}")
    if repeated := sorted({name for name in columns if columns.count(name) > 1 and (name in FIELDS or name == "id")}):
        raise DataError(f"{uri} has the column {repeated[0]} twice")
    missing = [name for name in FIELDS if name not in columns]
    unknown = [name for name in columns if name not in FIELDS and name != "id"]
    if required := [name for name in missing if name not in OPTIONAL]:
        shown = f"; it has {', '.join(unknown)[:200]} instead" if unknown else ""
        raise DataError(f"{uri} lacks the column{'s' * (len(required) > 1)} {', '.join(required)}{shown}")
    if missing and unknown:
        # a misspelt optional column must not quietly change every price
        raise DataError(
            f"{uri} lacks {', '.join(missing)} and has {', '.join(unknown)[:200]}, which is no column of a home:"
            " correct its name, or remove it"
        )


def _end_of_data(source: Source, start: int) -> int:
    """Where the last line with anything in it ends."""
    end = source.size
    while end > start:
        begin = max(start, end - FIELD_LIMIT)
        tail = source.read(begin, end)
        text = tail.rstrip(b"\r\n \t")
        if text:
            line_end = re.match(rb"[ \t]*\r?\n?", tail[len(text) :])
            return begin + len(text) + (line_end.end() if line_end else 0)
        end = begin
    return end


def _check_last_record(source: Source, start: int, end: int, width: int) -> None:
    """Refuse a file whose last line was cut short: the rest of it is missing too."""
    begin = max(start, end - 2 * FIELD_LIMIT)
    tail = source.read(begin, end).decode("latin-1")
    if tail.endswith("\n"):
        return
    if begin > start:
        tail = tail.partition("\n")[2]
    last = deque(_rows(_Lines([tail])), maxlen=1).pop()
    if last is None or len(last) < width:
        raise DataError(f"{source.uri} is cut short: its last line ends in the middle of a row")
