"""A home -> the row of floats that the forest reads. One definition, used by training and by serving.

Plain Python on purpose: it runs where numpy is not, and gives the same floats in both places.
"""

from math import cos, hypot, nan, radians
from typing import TypeAlias

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

NAMES = (
    *FIELDS,
    "este_mas_norte",
    "este_menos_norte",
    "distancia_sol",
    "m2_por_habitacion",
    "util_por_construido",
)

_SOL_LATITUDE, _SOL_LONGITUDE = 40.4168, -3.7038  # Puerta del Sol, degrees
_KM_PER_DEGREE = 111.195  # mean radius of the Earth, 6371.0088 km, times pi / 180
_KM_PER_DEGREE_EAST = _KM_PER_DEGREE * cos(radians(_SOL_LATITUDE))


def features(home: Home) -> list[float]:
    """The row for one home, in the order of `NAMES`; what is unknown is NaN."""
    latitude, longitude, built, baths, rooms, garden, age, usable, lift, garage, condition = home
    north = (latitude - _SOL_LATITUDE) * _KM_PER_DEGREE
    east = (longitude - _SOL_LONGITUDE) * _KM_PER_DEGREE_EAST
    return [
        latitude,
        longitude,
        built,
        baths,
        rooms,
        garden,
        nan if age is None else next(band for band in AGE_BANDS if age >= band),
        nan if usable is None else usable,
        lift,
        garage,
        nan if condition is None else CONDITIONS[condition],
        east + north,
        east - north,
        hypot(east, north),
        built / (rooms + 1),
        nan if usable is None else usable / built,
    ]
