"""How good a recipe is on homes it hasn't seen: cross-validation by place, overall and by segment.

Homes share buildings, so a random split would let a model recognise a neighbour. Folds hold whole cells of about
100 m (both coordinates rounded to three decimals).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.accuracy import accuracy
from app.features import NAMES
from app.surface import BANDWIDTHS_KM, CHANNELS
from training.data import Listings
from training.fit import Floats, fit
from training.options import Options
from training.surface import cells

FOLDS = 5
CONFIDENCE = 0.9
MOST_UNKNOWN = 3
LEVEL = NAMES.index(f"{CHANNELS[0]}_{1000 * BANDWIDTHS_KM[1]:.0f}m")
LEAST_TO_CALIBRATE = 50
"""Listings in a group; with fewer, all of them calibrate it."""
SPREAD_FLOOR = 0.05
"""Added to the spread of the trees (log price), so that trees which agree by chance don't promise too much."""


@dataclass(frozen=True)
class OutOfFold:
    """Predictions for every listing by a model that had not seen its cell. Log prices; one row per listing."""

    mean: Floats
    spread: Floats
    unknown: npt.NDArray[np.int64]
    """How many of the optional fields are unknown."""
    level: Floats
    """Price level of the place, log euro, as the folds' surfaces have it at their middle bandwidth."""
    fold: npt.NDArray[np.int64]

    def take(self, mask: npt.NDArray[np.bool_]) -> "OutOfFold":
        """The listings of a mask."""
        return OutOfFold(self.mean[mask], self.spread[mask], self.unknown[mask], self.level[mask], self.fold[mask])


def folds_by_cell(listings: Listings, seed: int) -> npt.NDArray[np.int64]:
    """The fold of each listing: cells are shuffled, then dealt out."""
    cell = cells(np.array([home[0] for home in listings.homes]), np.array([home[1] for home in listings.homes]))
    order = np.random.default_rng(seed).permutation(cell.max() + 1)
    return (order % FOLDS)[cell]


def cross_validate(listings: Listings, options: Options, advance: Callable[[], None]) -> OutOfFold:
    """Predict every listing out of fold. `advance` is called after each of the `FOLDS` folds."""
    fold = folds_by_cell(listings, options.seed)
    mean, spread, level = np.empty(len(listings)), np.empty(len(listings)), np.empty(len(listings))
    for k in range(FOLDS):
        held_out = np.flatnonzero(fold == k)
        fitted = fit(listings.take(np.flatnonzero(fold != k)), options)
        homes = listings.take(held_out).homes
        mean[held_out], spread[held_out] = fitted.predict(homes)
        level[held_out] = fitted.matrix(homes)[:, LEVEL]
        advance()
    return OutOfFold(mean, spread, np.array([home.count(None) for home in listings.homes]), level, fold)


def calibrate(log_prices: Floats, predicted: OutOfFold) -> dict[str, Any]:
    """A conformal interval scaled by the spread of the trees: exp(log price -+ factor * (spread + floor)).

    There is a factor for each number of unknown optional fields, 0 to 3, because a home that is known better is
    priced better. A factor is the finite-sample quantile of |error| / (spread + floor) out of fold: Lei et al.,
    Distribution-Free Predictive Inference for Regression (2018), section 5.2; by group as in Vovk, Conditional
    Validity of Inductive Conformal Predictors (2012).
    """
    scores = np.abs(log_prices - predicted.mean) / (predicted.spread + SPREAD_FLOOR)
    groups = [scores[predicted.unknown == k] for k in range(MOST_UNKNOWN + 1)]
    factors = [_conformal(group if len(group) >= LEAST_TO_CALIBRATE else scores) for group in groups]
    return {"confianza": CONFIDENCE, "factors": factors, "floor": SPREAD_FLOOR}


def _conformal(scores: Floats) -> float:
    rank = int(np.ceil((len(scores) + 1) * CONFIDENCE))
    return float(np.sort(scores)[min(rank, len(scores)) - 1])


def intervals(listings: Listings, predicted: OutOfFold) -> tuple[Floats, Floats]:
    """Lower and upper bounds in euro, out of fold: each fold is calibrated on the others."""
    low, high = np.empty(len(listings)), np.empty(len(listings))
    logs = np.log(listings.prices)
    for k in range(FOLDS):
        inside, outside = predicted.fold == k, predicted.fold != k
        c = calibrate(logs[outside], predicted.take(outside))
        reach = np.array(c["factors"])[predicted.unknown[inside]] * (predicted.spread[inside] + c["floor"])
        low[inside] = np.exp(predicted.mean[inside] - reach)
        high[inside] = np.exp(predicted.mean[inside] + reach)
    return low, high


def report(listings: Listings, predicted: OutOfFold) -> dict[str, dict[str, Any]]:
    """Accuracy by segment, out of fold, interval and all."""
    low, high = intervals(listings, predicted)
    guess = np.exp(predicted.mean)
    width = (high - low) / guess
    result: dict[str, dict[str, Any]] = {}
    for name, rows in segments(listings):
        figures = accuracy(
            listings.prices[rows].tolist(),
            guess[rows].tolist(),
            list(zip(low[rows].tolist(), high[rows].tolist(), strict=True)),
        )
        result[name] = figures._asdict() | {"ancho_mediano": float(np.median(width[rows]))}
    return result


def segments(listings: Listings) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """Name and row positions of every segment that isn't empty."""
    complete = np.array([None not in home for home in listings.homes])
    masks = {"todas": np.ones(len(listings), bool), "completas": complete, "incompletas": ~complete}
    if "municipio" in listings.extra:
        capital = (listings.extra["municipio"] == "Madrid Capital").to_numpy()
        masks |= {"capital": capital, "fuera de la capital": ~capital}
    quintile = np.searchsorted(np.quantile(listings.prices, [0.2, 0.4, 0.6, 0.8]), listings.prices)
    masks |= {f"quintil de precio {q + 1}": quintile == q for q in range(5)}
    if "tipo" in listings.extra:
        kind = listings.extra["tipo"].to_numpy()
        masks |= {f"tipo {name}": kind == name for name in sorted(set(kind)) if name}
    for name, mask in masks.items():
        rows = np.flatnonzero(mask)
        if len(rows):
            yield name, rows
