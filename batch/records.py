"""What the readers of files share: a record, and a range of a file that holds whole records."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from app.records import field_name


def column_name(text: str) -> str:
    """What a column is called: the contract's name, `id` in whatever case, or its own."""
    name = field_name(text)
    return "id" if name.lower() == "id" else name


class Range(NamedTuple):
    """Records of a file: from `start` up to `end`, in bytes (text) or in rows (Parquet)."""

    number: int
    start: int
    end: int


class Record(NamedTuple):
    """One row of a file: what `Formulario` is to check, or why there is nothing to check."""

    id: str
    values: Any
    problem: str | None = None
    """What is wrong with the row as a row (Spanish: it stands where the words of a 422 stand)."""


class Reader(Protocol):
    """A file of homes. Construction raises DataError where it can't be read as one."""

    has_id: bool

    def ranges(self, size: int) -> Iterator[Range]:
        """Cut the whole file into ranges of about `size` (bytes or rows) that end where a record ends.

        Raises DataError when the file turns out to be cut short.
        """
        ...

    def records(self, part: Range) -> Iterator[Record]:
        """The rows of a range, in order; as many as there are lines, broken or not."""
        ...

    def parameters(self) -> dict[str, Any]:
        """What a worker needs to read the same file without looking at its beginning."""
        ...
