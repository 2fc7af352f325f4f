"""JSON Lines: one home a line, as `/predecir` takes it, with an `id` beside its fields if it has one."""

from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json, to_json

from app.errors import DataError
from app.schemas import mend
from batch.records import Range, Record
from batch.storage import Source

_BLOCK = 64 * 1024
_EMPTY = "La línea está vacía."
_BLANK = b" \t\r\n"


class JsonLinesFile:
    """A file of JSON objects, one a line. A line end inside a JSON string is written \\n, so every line end counts."""

    has_id = True  # any line may have one

    def __init__(self, source: Source, parameters: dict[str, Any] | None = None) -> None:
        """Look at the first line and the last, or take from `parameters` where the lines end."""
        self._source = source
        self._end: int = _end_of_data(source) if parameters is None else parameters["end"]

    def parameters(self) -> dict[str, Any]:
        """Where the lines end."""
        return {"end": self._end}

    def ranges(self, size: int) -> Iterator[Range]:
        """Cut at the first line end after every multiple of `size` bytes."""
        number = start = 0
        while start < self._end:
            end = self._line_end(start + size - 1)
            yield Range(number, start, end)
            number, start = number + 1, end

    def records(self, part: Range) -> Iterator[Record]:
        """The lines between two byte offsets."""
        lines = self._source.read(part.start, part.end).split(b"\n")
        if not lines[-1]:
            lines.pop()
        for line in lines:
            yield _record(line)

    def _line_end(self, start: int) -> int:
        while start < self._end:
            block = self._source.read(start, min(start + _BLOCK, self._end))
            if (found := block.find(b"\n")) >= 0:
                return start + found + 1
            start += len(block)
        return self._end


def _record(line: bytes) -> Record:
    if not line.strip(_BLANK):
        return Record("", None, _EMPTY)
    try:
        home = from_json(line)
    except ValueError as error:
        return Record("", None, mend({"type": "json_invalid", "loc": (), "ctx": {"error": error}, "msg": ""})["msg"])
    if not isinstance(home, dict):
        return Record("", home)
    found = home.pop("id", "")
    return Record(found if isinstance(found, str) else to_json(found).decode(), home)


def _end_of_data(source: Source) -> int:
    head = source.read(0, _BLOCK)
    first, line_end, _ = head.partition(b"\n")
    if first.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")) or b"\x00" in head:
        raise DataError(f"{source.uri} starts with a byte order mark, or has NUL bytes: save it as plain UTF-8")
    if line_end or source.size <= _BLOCK:
        try:
            if not isinstance(from_json(first), dict):
                raise DataError(f"{source.uri} has no JSON object in its first line: write one home a line")
        except ValueError as error:
            raise DataError(f"{source.uri} has no JSON in its first line: {error}") from None
    end = source.size
    tail = b""
    while end and not tail:
        begin = max(0, end - _BLOCK)
        tail = source.read(begin, end).rstrip(_BLANK)
        end = begin + len(tail)
    after = source.read(end, min(end + _BLOCK, source.size))
    if b"\n" in after:
        return end + after.index(b"\n") + 1
    if (line_start := tail.rfind(b"\n")) >= 0 or end <= _BLOCK:
        try:
            from_json(tail[line_start + 1 :])
        except ValueError:
            raise DataError(f"{source.uri} is cut short: its last line ends in the middle of a home") from None
    return source.size
