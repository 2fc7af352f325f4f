"""A record of a text file (CSV) -> the values that `Formulario` checks. Shared by training and batches.

Text has no types, so this is where `"True"` becomes true and an empty cell unknown. What can't be read is left as
it is: the validation that follows names it.
"""

from collections.abc import Mapping
from typing import Any
from unicodedata import normalize

_FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
_BOOLEAN = frozenset({"jardin", "ascensor", "garaje"})
_TEXT = frozenset({"condicion"})
_UNKNOWN = frozenset({"", "nan", "null", "none"})
_OPTIONAL = frozenset({"antiguedad", "superficie_util", "condicion"})


def field_name(column: str) -> str:
    """The contract's name of a column: trimmed, ñ composed, `banos` as `baños`."""
    name = normalize("NFC", column.strip().removeprefix("\ufeff"))
    return "baños" if name == "banos" else name


def values(record: Mapping[str, str | None]) -> dict[str, Any]:
    """Give the cells of a record their types; empty cells of optional fields become None, others go missing."""
    typed: dict[str, Any] = {}
    for name, cell in record.items():
        text = "" if cell is None else cell.strip()
        if text.lower() in _UNKNOWN:
            if name in _OPTIONAL:
                typed[name] = None
        elif name in _TEXT:
            typed[name] = text
        elif name in _BOOLEAN:
            typed[name] = _FLAGS.get(text.lower(), text)
        else:
            typed[name] = _number(text)
    return typed


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
