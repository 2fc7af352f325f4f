"""Rows in, rows out: prices a stream of records and writes one CSV line for each, refused or not."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from pydantic import ValidationError

from app.estimate import Estimate
from app.features import Home
from app.model import Model
from app.schemas import Formulario, mend
from batch.records import Record

CHUNK = 2_048
"""Homes priced at once: enough for the kernel to walk a tree for many rows while it is in the cache."""

COLUMNS = ("fila", "id", "precio", "inferior", "superior", "confianza", "avisos", "error", "modelo")


class Counts(NamedTuple):
    """What became of the rows of a range."""

    rows: int = 0
    priced: int = 0
    refused: int = 0
    warned: int = 0
    """Priced rows with warnings."""

    def __add__(self, other: "Counts") -> "Counts":  # type: ignore[override]  # counts add up, they don't append
        return Counts(*map(sum, zip(self, other, strict=True)))


def columns(has_id: bool) -> tuple[str, ...]:
    """The columns of a result; without an id in the file there is none in the result."""
    return COLUMNS if has_id else tuple(name for name in COLUMNS if name != "id")


def price(records: Iterator[Record], model: Model, has_id: bool) -> tuple[bytes, Counts]:
    """Price records; gives a CSV with header, its rows numbered from 1, and their counts."""
    lines = [",".join(columns(has_id))]
    counts = Counts()
    while chunk := list(islice(records, CHUNK)):
        counts += _price(chunk, model, has_id, counts.rows + 1, lines)
    return ("\n".join(lines) + "\n").encode(), counts


def _price(chunk: list[Record], model: Model, has_id: bool, first: int, lines: list[str]) -> Counts:
    homes: list[Home] = []
    problems: list[str | None] = []
    validate = Formulario.__pydantic_validator__.validate_python
    for record in chunk:
        problem = record.problem
        if problem is None:
            try:
                homes.append(validate(record.values).home())
            except ValidationError as error:
                problem = _words(error)
        problems.append(problem)
    estimates = iter(model.price(homes))
    warned = 0
    version = model.version
    for number, (record, problem) in enumerate(zip(chunk, problems, strict=True), first):
        start = f"{number},{_cell(record.id)}," if has_id else f"{number},"
        if problem is not None:
            lines.append(f"{start},,,,,{_cell(problem)},{version}")
            continue
        estimate = next(estimates)
        warned += bool(estimate["avisos"])
        lines.append(f"{start}{_estimate(estimate)},{version}")
    return Counts(len(chunk), len(homes), len(chunk) - len(homes), warned)


def _estimate(estimate: Estimate) -> str:
    interval, warnings = estimate["intervalo"], estimate["avisos"]
    bounds = f"{interval['inferior']},{interval['superior']},{interval['confianza']}" if interval else ",,"
    said = _cell(" ".join(f"{one['campo']}: {one['mensaje']}" for one in warnings)) if warnings else ""
    return f"{estimate['precio']},{bounds},{said},"


def _words(error: ValidationError) -> str:
    """What `/predecir` would answer: each field at fault, and what to mend in it."""
    problems = (mend(dict(problem)) for problem in error.errors(include_url=False, include_input=False))
    return " ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" if p["loc"] else p["msg"] for p in problems)


def _cell(text: str) -> str:
    if "," in text or '"' in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text
