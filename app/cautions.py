"""What is odd about a home, and what that means for its price. People read it, so it is in Spanish.

A home that can't be is refused before it comes here. What the listings hardly know is priced, and said.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any, TypedDict

from app.features import COLUMN, FIELDS

_BAND_IS_OPEN = "antiguedad"  # its oldest band is «50 or more»: there is no age beyond it, and none before the first
_PLACE = ("latitud", "longitud")  # the coverage says more than a box around the listings

RATIOS = {
    "m2_por_habitacion": ("habitaciones", "m² construidos por habitación", "surface", "habitaciones"),
    "m2_por_baño": ("baños", "m² construidos por baño", "surface", "baños"),
    "util_por_construido": ("superficie_util", "m² útiles por m² construido", "superficie_util", "surface"),
}
"""Ratios whose typical range an artifact has: the field that a warning names, the ratio in words, what is divided by
what. A studio may have no bedroom, so a divisor counts as 1 at least."""


class Caution(TypedDict):
    """One odd thing about a home."""

    campo: str
    mensaje: str


class Cautions:
    """What one model's listings cover. Raises KeyError, TypeError or ValueError on a description that isn't one."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        ranges = {field: (float(low), float(high)) for field, (low, high) in metadata["ranges"].items()}
        self.box = array("d", [bound for field in _PLACE for bound in ranges[field]])
        self.fields = [field for field in FIELDS if field in ranges and field not in (*_PLACE, _BAND_IS_OPEN)]
        self.columns = array("q", [COLUMN[field] for field in self.fields])
        self.lows = array("d", [ranges[field][0] for field in self.fields])
        self.highs = array("d", [ranges[field][1] for field in self.fields])
        known = metadata["ratios"]
        self.ratios = [name for name in RATIOS if name in known]
        self.over = array("q", [COLUMN[RATIOS[name][2]] for name in self.ratios])
        self.under = array("q", [COLUMN[RATIOS[name][3]] for name in self.ratios])
        self.least = array("d", [float(known[name][0]) for name in self.ratios])
        self.most = array("d", [float(known[name][1]) for name in self.ratios])
        self.density_column = COLUMN[metadata["coverage"]["column"]]
        self.least_density = float(metadata["coverage"]["least"])
        self.usual_spread = float(metadata["usual_spread"])

    def about(self, rows: array[float], at: int, spread: float) -> list[Caution]:
        """All that is odd about the home whose row begins at `at`, given the spread of its trees (log price)."""
        found: list[Caution] = []
        # Where listings are so sparse that the least density is none at all, the box around them still says something.
        latitude, longitude = rows[at], rows[at + 1]
        covered = self.box[0] <= latitude <= self.box[1] and self.box[2] <= longitude <= self.box[3]
        if not covered or rows[at + self.density_column] < self.least_density:
            found.append(
                {
                    "campo": "latitud",
                    "mensaje": "El modelo no conoce viviendas en esta zona: el precio se deduce de otras más lejanas "
                    "y puede estar muy equivocado.",
                }
            )
        for i in range(len(self.columns)):
            value = rows[at + self.columns[i]]  # NaN where it is unknown, which is neither too little nor too much
            if value < self.lows[i]:
                found.append(_beyond(self.fields[i], "baja", self.lows[i], "alto"))
            elif value > self.highs[i]:
                found.append(_beyond(self.fields[i], "pasa", self.highs[i], "bajo"))
        built, usable = rows[at + 2], rows[at + 7]
        if usable > built:
            found.append(
                {
                    "campo": "superficie_util",
                    "mensaje": "La superficie útil es mayor que la construida: uno de los dos datos no puede ser, "
                    "y el precio depende de ambos.",
                }
            )
        for i in range(len(self.over)):
            ratio = rows[at + self.over[i]] / max(rows[at + self.under[i]], 1.0)
            if ratio < self.least[i] or ratio > self.most[i]:
                field, words, _, _ = RATIOS[self.ratios[i]]
                found.append(
                    {
                        "campo": field,
                        "mensaje": f"Son {_words(ratio)} {words}, cuando casi todas las viviendas conocidas tienen "
                        f"entre {_words(self.least[i])} y {_words(self.most[i])}: revisa los datos; si son correctos, "
                        "el precio es poco fiable.",
                    }
                )
        if spread > self.usual_spread:
            found.append(
                {
                    "campo": "precio",
                    "mensaje": "Los árboles del modelo discrepan aquí más que en el 99 % de las viviendas: es una "
                    "vivienda poco común y el precio es menos seguro.",
                }
            )
        return found


def _beyond(field: str, goes: str, bound: float, wrong: str) -> Caution:
    words = _words(bound)
    return {
        "campo": field,
        "mensaje": f"Ninguna vivienda conocida {goes} de {words}: el precio es el de una de {words} y puede quedar "
        f"demasiado {wrong}.",
    }


def _words(number: float) -> str:
    """A number to two decimals as people write it in Spain: 1500, 15,1, 0,4."""
    return f"{number:.2f}".rstrip("0").rstrip(".").replace(".", ",")
