"""Log prices and the spread of the trees -> what is answered: euro to the cent, their interval and their warnings."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any, TypedDict

from app.cautions import Caution, Cautions
from app.features import COLUMN, HEDONIC, OPTIONAL, WIDTH

_MOST = 690.0
"""The exponential of more overflows, or does so in cents."""


class Interval(TypedDict):
    """Euro bounds that hold the asking price of a home with probability `confianza`."""

    inferior: float
    superior: float
    confianza: float


class Estimate(TypedDict):
    """The price of one home in euro, as the contract has it."""

    precio: float
    intervalo: Interval | None
    avisos: list[Caution]


class Calibration:
    """How far an interval reaches: a factor for each number of unknown fields, times the spread and a floor.

    Raises KeyError, TypeError or ValueError on a description that isn't one. See `training.evaluate.calibrate`.
    """

    def __init__(self, described: Mapping[str, Any]) -> None:
        self.factors = array("d", described["factors"])
        self.floor = float(described["floor"])
        self.confidence = float(described["confianza"])
        if len(self.factors) != len(OPTIONAL) + 1:
            raise ValueError(f"{len(self.factors)} factors of the interval")


def estimates(
    rows: array[float],
    corrections: array[float],
    spreads: array[float],
    cautions: Cautions,
    calibration: Calibration | None,
) -> list[Estimate]:
    """Price the homes whose rows these are. Raises OverflowError where a price is no number of euro."""
    width, hedonic = WIDTH, HEDONIC
    age, usable, condition = [COLUMN[field] for field in OPTIONAL]
    found: list[Estimate] = []
    for i in range(len(corrections)):
        at = i * width
        log_price, spread = rows[at + hedonic] + corrections[i], spreads[i]
        interval: Interval | None = None
        if calibration is not None:
            unknown = math.isnan(rows[at + age]) + math.isnan(rows[at + usable]) + math.isnan(rows[at + condition])
            reach = calibration.factors[unknown] * (spread + calibration.floor)
            interval = {
                "inferior": euro(log_price - reach),
                "superior": euro(log_price + reach),
                "confianza": calibration.confidence,
            }
        found.append({"precio": euro(log_price), "intervalo": interval, "avisos": cautions.about(rows, at, spread)})
    return found


def euro(log_price: float) -> float:
    """The price to the cent, halves up; at a fraction of what `round` takes."""
    if not log_price < _MOST:
        raise OverflowError(f"a log price of {log_price}")
    return math.floor(100.0 * math.exp(log_price) + 0.5) / 100.0
