"""A home -> the row of floats that the forest reads. One definition, used by training and by serving.

Plain Python on purpose: it runs where numpy is not, and gives the same floats in both places.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from math import hypot, nan  # not the C library's hypot, which rounds otherwise
from typing import TypeAlias

from app.surface import BANDWIDTHS_KM, CHANNELS, PriceSurface, plane

Home: TypeAlias = tuple[float, float, float, float, float, bool, float | None, float | None, bool, bool, str | None]
"""latitud, longitud (degrees), surface (m²), baños, habitaciones, jardin, antiguedad (years or None),
superficie_util (m² or None), ascensor, garaje, condicion (or None)."""

FIELDS = (
    "latitud",
    "longitud",
    "surface",
    "baños",
    "habitaciones",
    "jardin",
    "antiguedad",
    "superficie_util",
    "ascensor",
    "garaje",
    "condicion",
)
OPTIONAL = ("antiguedad", "superficie_util", "condicion")
"""The `FIELDS` that may be unknown."""
CONDITIONS = {"A reformar": 0.0, "En buen estado": 1.0, "Reformado": 2.0, "A estrenar": 3.0}
AGE_BANDS = (50.0, 30.0, 20.0, 10.0, 5.0, 0.0)
"""Lower bounds, in years, of the bands in which the listings state ages."""

TERMS = (
    "log_surface",
    "log_surface_2",
    "baños",
    "log_baños",
    "habitaciones",
    "jardin",
    "ascensor",
    "garaje",
    "sin_antiguedad",
    "antiguedad_0",
    "antiguedad_5",
    "antiguedad_10",
    "antiguedad_20",
    "antiguedad_50",
    "sin_condicion",
    "a_reformar",
    "reformado",
    "a_estrenar",
    "sin_util",
    "log_util",
)
"""What the hedonic score is linear in, the place apart."""

NAMES = (
    *FIELDS,
    "este_mas_norte",
    "este_menos_norte",
    "distancia_sol",
    "m2_por_habitacion",
    "util_por_construido",
    *(f"{channel}_{1000 * bandwidth:.0f}m" for bandwidth in BANDWIDTHS_KM for channel in CHANNELS),
    "hedonico",
)
"""The columns of a row."""
COLUMN = {name: position for position, name in enumerate(NAMES)}
WIDTH = len(NAMES)
N_TERMS = len(TERMS)
HEDONIC = WIDTH - 1
PLACE = COLUMN[f"{CHANNELS[0]}_{1000 * BANDWIDTHS_KM[0]:.0f}m"]
"""The first of the columns that the surface fills."""

SMALLEST, LARGEST = 15.0, 1_500.0  # m²
MOST_ROOMS = 15.0
LEAST_USABLE, MOST_USABLE = 0.3, 1.05  # of the built area
_TYPICAL_LOG_SURFACE = 4.7  # log of 110 m²; centred, the two terms of the area don't move together


def matrix(homes: Sequence[Home], surface: PriceSurface) -> array[float]:
    """The rows of homes as they are served, one after the other, in the order of `NAMES`; what is unknown is NaN."""
    width, place = WIDTH, PLACE
    table = array("d", bytes(8 * width * len(homes)))
    rows, scratch = table, array("d", bytes(8 * N_TERMS))  # in the compiled build typed, and acquired but once
    at = 0
    for home in homes:
        x, y = plane(home[0], home[1])
        surface.fill(x, y, rows, at + place)
        fill(home, x, y, surface.coefficients, scratch, rows, at)
        at += width
    return table


def fill(
    home: Home, x: float, y: float, coefficients: array[float], scratch: array[float], rows: array[float], at: int
) -> None:
    """Put the row of a home at (x, y) km into `rows` from `at` on, around what the surface has put at `PLACE`.

    The last column is the hedonic score, a first estimate of the log price: what the home is (its `TERMS`, put into
    `scratch`, times their coefficients) plus where it is (the narrowest price level). The forest corrects it.
    """
    fields(home, rows, at)
    rows[at + 11] = x + y
    rows[at + 12] = x - y
    rows[at + 13] = hypot(x, y)
    rows[at + 14] = rows[at + 2] / max(rows[at + 4], 1.0)
    rows[at + 15] = rows[at + 7] / rows[at + 2]
    place, hedonic, n_terms = PLACE, HEDONIC, N_TERMS
    terms(rows, at, scratch, 0)
    score = rows[at + place]
    for i in range(n_terms):
        score += coefficients[i] * scratch[i]
    rows[at + hedonic] = score


def fields(home: Home, rows: array[float], at: int) -> None:
    """Put the `FIELDS` of a home into `rows` from `at` on."""
    latitude, longitude, built, baths, rooms, garden, age, usable, lift, garage, condition = home
    rows[at] = latitude
    rows[at + 1] = longitude
    rows[at + 2] = built
    rows[at + 3] = baths
    rows[at + 4] = rooms
    rows[at + 5] = garden
    rows[at + 6] = nan if age is None else age_band(age)
    rows[at + 7] = nan if usable is None else usable
    rows[at + 8] = lift
    rows[at + 9] = garage
    rows[at + 10] = nan if condition is None else CONDITIONS[condition]


def terms(rows: array[float], at: int, out: array[float], to: int) -> None:
    """Put the `TERMS` of the home whose row begins at `at` into `out` from `to` on.

    They are flat beyond what listings have, as trees are.
    """
    built, baths, rooms, age, usable, condition = (
        rows[at + 2],
        rows[at + 3],
        rows[at + 4],
        rows[at + 6],
        rows[at + 7],
        rows[at + 10],
    )
    size = math.log(min(max(built, SMALLEST), LARGEST)) - _TYPICAL_LOG_SURFACE
    out[to] = size
    out[to + 1] = size * size
    out[to + 2] = min(baths, MOST_ROOMS)
    out[to + 3] = math.log(min(max(baths, 1.0), MOST_ROOMS))
    out[to + 4] = min(rooms, MOST_ROOMS)
    out[to + 5] = rows[at + 5]
    out[to + 6] = rows[at + 8]
    out[to + 7] = rows[at + 9]
    out[to + 8] = math.isnan(age)
    out[to + 9] = age == 0
    out[to + 10] = age == 5
    out[to + 11] = age == 10
    out[to + 12] = age == 20
    out[to + 13] = age == 50
    out[to + 14] = math.isnan(condition)
    out[to + 15] = condition == 0
    out[to + 16] = condition == 2
    out[to + 17] = condition == 3
    out[to + 18] = math.isnan(usable)
    out[to + 19] = 0.0 if math.isnan(usable) else math.log(min(max(usable / built, LEAST_USABLE), MOST_USABLE))


def reach(surface: PriceSurface) -> float:
    """The farthest from 0 that a home's score, or what the surface puts into its row, can be; may be infinite."""
    ends = (
        low + step * unit
        for grid in surface.grids
        for low, step in zip(grid.low, grid.step, strict=True)
        for unit in (0, 255)
    )
    # no term is greater than MOST_ROOMS
    return max(map(abs, (*ends, *surface.means))) + MOST_ROOMS * sum(map(abs, surface.coefficients))


def age_band(years: float) -> float:
    """The lower bound of an age's band in years, as the listings have it. `years` is 0 or more."""
    for band in AGE_BANDS:
        if years >= band:
            return band
    raise ValueError(f"an age of {years} years")
