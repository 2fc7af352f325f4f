"""What a day's requests look like beside the listings, without keeping anybody's home.

Only counts leave a request: how many homes fell into each fifth of the trained areas and prices, how many came with
unknown fields or with warnings. docs/monitoring.md reads them.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from app.features import Home


def tally(
    bands: Mapping[str, Sequence[float]],
    homes: Sequence[Home],
    prices: Sequence[float],
    cautioned: Sequence[bool],
) -> dict[str, int | list[int]]:
    """Counts over the homes of one request.

    bands: the inner bounds of the bands of `surface` (m²) and `precio` (euro). prices: estimated, euro. cautioned:
    whether a home came with warnings.
    """
    return {
        "homes": len(homes),
        "cautioned": sum(cautioned),
        "incomplete": sum(None in home for home in homes),
        "surface_bands": _counts(bands["surface"], [home[2] for home in homes]),
        "price_bands": _counts(bands["precio"], prices),
    }


def _counts(bounds: Sequence[float], values: Sequence[float]) -> list[int]:
    bands = [bisect_right(bounds, value) for value in values]
    return [bands.count(band) for band in range(len(bounds) + 1)]
