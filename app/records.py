"""A record of a text file (CSV) -> the values that `Formulario` checks. Shared by training and batches.

Text has no types, so this is where `"True"` becomes true and an empty cell unknown. What can't be read is left as
it is: the validation that follows names it.
"""

from collections.abc import Mapping
from typing import Any, Final
from unicodedata import normalize

from app.features import OPTIONAL

_FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
_BOOLEAN = frozenset({"jardin", "ascensor", "garaje"})
_TEXT = frozenset({"condicion"})
_UNKNOWN = frozenset({"", "nan", "null", "none"})

MISSING: Final = object()
"""What an empty cell of a field that is not optional holds: nothing, so the field is left out."""


def field_name(column: str) -> str:
    """The contract's name of a column: trimmed, ñ composed, `banos` as `baños`."""
    name = normalize("NFC", column.strip().removeprefix("\ufeff"))
    return "baños" if name == "banos" else name


def value(name: str, cell: str) -> Any:
    """Give one cell of a field its type: None where it may be unknown and is, MISSING where it may not."""
    text = cell.strip()
    if text.lower() in _UNKNOWN:
        return None if name in OPTIONAL else MISSING
    if name in _TEXT:
        return text
    if name in _BOOLEAN:
        return _FLAGS.get(text.lower(), text)
    return _number(text)


def values(record: Mapping[str, str | None]) -> dict[str, Any]:
    """Give the cells of a record their types; empty cells of optional fields become None, others go missing."""
    typed = {name: value(name, cell or "") for name, cell in record.items()}
    return {name: found for name, found in typed.items() if found is not MISSING}


def _number(text: str) -> float | str:
    try:
        return text if "_" in text else float(text)  # 1_000 is a number to Python alone
    except ValueError:
        return text
