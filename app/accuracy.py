"""How far estimates are from real prices. One definition, used by `/evaluar` and by training."""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, median
from typing import NamedTuple

TEN_PERCENT, TWENTY_PERCENT = 0.1, 0.2


class Accuracy(NamedTuple):
    """Errors in euro; everything else a fraction. `r2` and `cobertura` are None where they don't exist."""

    n: int
    mae: float
    rmse: float
    r2: float | None
    mape: float
    medape: float
    dentro_10: float
    dentro_20: float
    cobertura: float | None


def accuracy(
    real: Sequence[float], estimated: Sequence[float], intervals: Sequence[tuple[float, float]] | None = None
) -> Accuracy:
    """Compare estimated with real prices (euro, at least one, all above zero).

    `intervals` are (lower, upper) bounds in euro, one per home, or None where the model has no calibration.
    """
    errors = [abs(guess - price) for price, guess in zip(real, estimated, strict=True)]
    shares = [error / price for error, price in zip(errors, real, strict=True)]
    squares = [error * error for error in errors]
    mean = fmean(real)
    variance = fmean((price - mean) ** 2 for price in real)
    return Accuracy(
        n=len(errors),
        mae=fmean(errors),
        rmse=sqrt(fmean(squares)),
        r2=1 - fmean(squares) / variance if variance else None,
        mape=fmean(shares),
        medape=median(shares),
        dentro_10=fmean(share <= TEN_PERCENT for share in shares),
        dentro_20=fmean(share <= TWENTY_PERCENT for share in shares),
        cobertura=None
        if intervals is None
        else fmean(low <= price <= high for price, (low, high) in zip(real, intervals, strict=True)),
    )
