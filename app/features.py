"""A home -> the row of floats that the forest reads. One definition, used by training and by serving.

Plain Python on purpose: it runs where numpy is not, and gives the same floats in both places.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import hypot, log, nan
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
WIDTH = len(NAMES)
HEDONIC = WIDTH - 1
PLACE = NAMES.index(f"{CHANNELS[0]}_{1000 * BANDWIDTHS_KM[0]:.0f}m")
"""The first of the columns that the surface fills."""

SMALLEST, LARGEST = 15, 1_500  # m²
MOST_ROOMS = 15
LEAST_USABLE, MOST_USABLE = 0.3, 1.05  # of the built area
_TYPICAL_LOG_SURFACE = 4.7  # log of 110 m²; centred, the two terms of the area don't move together


def matrix(homes: Sequence[Home], surface: PriceSurface) -> array[float]:
    """The rows of homes as they are served, one after the other, in the order of `NAMES`; what is unknown is NaN."""
    width, place = WIDTH, PLACE
    rows = array("d", bytes(8 * width * len(homes)))
    at = 0
    for home in homes:
        x, y = plane(home[0], home[1])
        surface.fill(x, y, rows, at + place)
        fill(home, x, y, surface.coefficients, rows, at)
        at += width
    return rows


def fill(home: Home, x: float, y: float, coefficients: array[float], rows: array[float], at: int) -> None:
    """Put the row of a home at (x, y) km into `rows` from `at` on, around what the surface has put at `PLACE`.

    The last column is the hedonic score, a first estimate of the log price: what the home is (terms and their
    coefficients) plus where it is (the narrowest price level). The forest corrects it.
    """
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
    rows[at + 11] = x + y
    rows[at + 12] = x - y
    rows[at + 13] = hypot(x, y)
    rows[at + 14] = built / max(rooms, 1)
    rows[at + 15] = nan if usable is None else usable / built
    place, hedonic = PLACE, HEDONIC
    score = rows[at + place]
    for i, term in enumerate(terms(home)):
        score += coefficients[i] * term
    rows[at + hedonic] = score


def terms(home: Home) -> list[float]:
    """The home's `TERMS`; flat beyond what listings have, as trees are."""
    _, _, built, baths, rooms, garden, age, usable, lift, garage, condition = home
    size = log(min(max(built, SMALLEST), LARGEST)) - _TYPICAL_LOG_SURFACE
    band = -1.0 if age is None else age_band(age)
    return [
        size,
        size * size,
        min(baths, MOST_ROOMS),
        log(min(max(baths, 1), MOST_ROOMS)),
        min(rooms, MOST_ROOMS),
        garden,
        lift,
        garage,
        age is None,
        band == 0,
        band == 5,  # noqa: PLR2004  # the bands by name
        band == 10,  # noqa: PLR2004
        band == 20,  # noqa: PLR2004
        band == 50,  # noqa: PLR2004
        condition is None,
        condition == "A reformar",
        condition == "Reformado",
        condition == "A estrenar",
        usable is None,
        0.0 if usable is None else log(min(max(usable / built, LEAST_USABLE), MOST_USABLE)),
    ]


def age_band(years: float) -> float:
    """The lower bound of an age's band in years, as the listings have it. `years` is 0 or more."""
    for band in AGE_BANDS:
        if years >= band:
            return band
    raise ValueError(f"an age of {years} years")
