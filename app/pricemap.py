"""What the model thinks of each place: the price per m² of one home, the reference, moved all over the map.

It asks the model as any caller would and so follows whatever model is served: a place that the model itself
warns of lies outside the area that the listings cover, and stays empty.
"""

from math import ceil, cos, radians
from threading import Lock
from typing import Any

from pydantic_core import to_json

from app.features import FIELDS, Home
from app.model import Model

_KM_PER_DEGREE = 111.195  # of latitude
_PLACE = frozenset(FIELDS[:2])

# One file of two grids rather than tiles: a dozen requests at once would start a dozen cold functions.
REGION_STEP_KM = 1.2  # the points of half the listings are known to 1.2 km
CITY_STEP_KM = 0.4
CITY_REACH_KM = 10.0  # from the reference home, the median of the listings, to each side
MOST_CELLS = 200  # to a side: listings spread wider than a region get a coarser map, not a larger one
_BATCH = 500  # homes; keeps each call short for the other threads


class PriceMap:
    """The map of the model being served, as JSON; made when first asked for and again when the model changes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._made: tuple[str, bytes] = ("", b"")

    def of(self, model: Model) -> bytes:
        """The map of a model. Takes as long as pricing some thousands of homes the first time, then nothing."""
        with self._lock:  # whoever comes second waits instead of doing it all again
            version, content = self._made
            if version != model.version:
                content = to_json(price_map(model))
                self._made = (model.version, content)
            return content


def price_map(model: Model) -> dict[str, Any]:
    """Both grids of a model: the whole region, and the city in more detail.

    A grid spans `sur` to `norte` and `oeste` to `este` (degrees); `euros_m2` holds its cells row by row from the
    north-west on, in euro per m², null where the listings don't reach.
    """
    reference = model.reference
    south, north = model.metadata["ranges"]["latitud"]
    west, east = model.metadata["ranges"]["longitud"]
    reach_north, reach_east = CITY_REACH_KM / _KM_PER_DEGREE, CITY_REACH_KM / _km_per_degree_east(reference[0])
    return {
        "modelo": model.version,
        "vivienda": dict(zip(FIELDS, reference, strict=True)),
        "rejillas": [
            _grid(model, (south, west, north, east), REGION_STEP_KM),
            _grid(
                model,
                (
                    max(south, reference[0] - reach_north),
                    max(west, reference[1] - reach_east),
                    min(north, reference[0] + reach_north),
                    min(east, reference[1] + reach_east),
                ),
                CITY_STEP_KM,
            ),
        ],
    }


def _grid(model: Model, box: tuple[float, float, float, float], step_km: float) -> dict[str, Any]:
    south, west, north, east = box
    rows = _cells((north - south) * _KM_PER_DEGREE / step_km)
    columns = _cells((east - west) * _km_per_degree_east((south + north) / 2) / step_km)
    rest = model.reference[2:]
    homes: list[Home] = [
        (north - (row + 0.5) * (north - south) / rows, west + (column + 0.5) * (east - west) / columns, *rest)
        for row in range(rows)
        for column in range(columns)
    ]
    cells: list[int | None] = []
    for start in range(0, len(homes), _BATCH):
        for estimate in model.price(homes[start : start + _BATCH]):
            outside = any(caution["campo"] in _PLACE for caution in estimate["avisos"])
            cells.append(None if outside else round(estimate["precio"] / model.reference[2]))
    return {
        "sur": south,
        "oeste": west,
        "norte": north,
        "este": east,
        "filas": rows,
        "columnas": columns,
        "euros_m2": cells,
    }


def _cells(steps: float) -> int:
    return min(max(1, ceil(steps)), MOST_CELLS)


def _km_per_degree_east(latitude: float) -> float:
    return _KM_PER_DEGREE * cos(radians(latitude))
