"""What is odd about a home, and what that means for its price. People read it, so it is in Spanish.

A home that can't be is refused before it comes here. What the listings hardly know is priced, and said.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from app.features import FIELDS, NAMES, Home

_BAND_IS_OPEN = "antiguedad"  # its oldest band is «50 or more»: there is no age beyond it
_PLACE = ("latitud", "longitud")  # the coverage says more than a box around the listings
_COLUMN = {name: position for position, name in enumerate(NAMES)}

RATIOS = {
    "m2_por_habitacion": ("habitaciones", "m² construidos por habitación"),
    "m2_por_baño": ("baños", "m² construidos por baño"),
    "util_por_construido": ("superficie_util", "m² útiles por m² construido"),
}
"""Ratios whose typical range an artifact has: the field that a warning names, and the ratio in words."""


def ratios(home: Home) -> tuple[float, float, float | None]:
    """The `RATIOS` of a home; None where a field is unknown."""
    built, usable = home[2], home[7]
    return built / max(home[4], 1), built / max(home[3], 1), None if usable is None else usable / built


class Caution(NamedTuple):
    """One odd thing about a home."""

    campo: str
    mensaje: str


class Cautions:
    """What one model's listings cover. Raises KeyError, TypeError or ValueError on a description that isn't one."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        self._ranges = [
            (FIELDS.index(field), field, float(low), float(high))
            for field, (low, high) in metadata["ranges"].items()
            if field not in _PLACE
        ]
        self._box = [(float(low), float(high)) for low, high in (metadata["ranges"][field] for field in _PLACE)]
        known = metadata["ratios"]
        self._ratios = [
            (position, *words, float(known[name][0]), float(known[name][1]))
            for position, (name, words) in enumerate(RATIOS.items())
            if name in known
        ]
        self._density_column = _COLUMN[metadata["coverage"]["column"]]
        self._least_density = float(metadata["coverage"]["least"])
        self._usual_spread = float(metadata["usual_spread"])

    def about(self, home: Home, rows: Sequence[float], at: int, spread: float) -> list[Caution]:
        """All that is odd about a home, given its row, from `at` on, and the spread of its trees (log price)."""
        found = []
        # Where listings are so sparse that the least density is none at all, the box around them still says something.
        (south, north), (west, east) = self._box
        outside = not (south <= home[0] <= north and west <= home[1] <= east)
        if outside or rows[at + self._density_column] < self._least_density:
            found.append(
                Caution(
                    "latitud",
                    "El modelo no conoce viviendas en esta zona: el precio se deduce de otras más lejanas "
                    "y puede estar muy equivocado.",
                )
            )
        for position, field, low, high in self._ranges:
            value = home[position]
            if value is None or low <= value <= high:  # type: ignore[operator]  # ranges are of numbers
                continue
            if value < low:  # type: ignore[operator]
                found.append(
                    Caution(
                        field,
                        f"Ninguna vivienda conocida baja de {low:g}: el precio es el de una de {low:g} "
                        "y puede quedar demasiado alto.",
                    )
                )
            elif field != _BAND_IS_OPEN:
                found.append(
                    Caution(
                        field,
                        f"Ninguna vivienda conocida pasa de {high:g}: el precio es el de una de {high:g} "
                        "y puede quedar demasiado bajo.",
                    )
                )
        if home[7] is not None and home[7] > home[2]:
            found.append(
                Caution(
                    "superficie_util",
                    "La superficie útil es mayor que la construida: uno de los dos datos no puede ser, "
                    "y el precio depende de ambos.",
                )
            )
        of_home = ratios(home)
        for position, field, words, least, most in self._ratios:
            ratio = of_home[position]
            if ratio is not None and not least <= ratio <= most:
                found.append(
                    Caution(
                        field,
                        f"Son {ratio:.3g} {words}, cuando casi todas las viviendas conocidas tienen entre "
                        f"{least:.3g} y {most:.3g}: revisa los datos; si son correctos, el precio es poco fiable.",
                    )
                )
        if spread > self._usual_spread:
            found.append(
                Caution(
                    "precio",
                    "Los árboles del modelo discrepan aquí más que en el 99 % de las viviendas: es una vivienda "
                    "poco común y el precio es menos seguro.",
                )
            )
        return found
