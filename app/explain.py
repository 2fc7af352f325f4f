"""Why a home costs what it does: exact Shapley values in euro against a reference home.

Each player is a field (both coordinates are one player, the place). A coalition is a hybrid home that has its
members' fields from the home and all others from the reference; what it is worth is its price. With ten players
there are 1,024 hybrids, so nothing needs to be sampled: they are one batch.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from math import factorial

from app.features import FIELDS, Home

PLAYERS = ("ubicacion", *FIELDS[2:])


def contributions(
    price: Callable[[Sequence[Home]], Sequence[float]], home: Home, reference: Home
) -> tuple[float, float, dict[str, float]]:
    """Prices of the home and of the reference, and what each player adds to the difference: euro, to the cent.

    The contributions add up to the difference exactly, whatever the rounding.
    """
    worth = price([_hybrid(home, reference, coalition) for coalition in range(1 << len(PLAYERS))])
    # Running totals are rounded, not the parts: their steps then add up to the rounded difference.
    totals = [round(total, 2) for total in accumulate(shapley(worth), initial=worth[0])]
    totals[-1] = round(worth[-1], 2)
    parts = [round(after - before, 2) for before, after in pairwise(totals)]
    return totals[-1], totals[0], dict(zip(PLAYERS, parts, strict=True))


def shapley(worth: Sequence[float]) -> list[float]:
    """The Shapley value of each of n players, from what each of the 2**n coalitions is worth.

    Bit i of a coalition's index says whether player i is in it. Shapley, A Value for n-Person Games (1953).
    """
    n = len(worth).bit_length() - 1
    weights = [factorial(size) * factorial(n - size - 1) / factorial(n) for size in range(n)]
    return [
        sum(
            weights[coalition.bit_count()] * (worth[coalition | 1 << player] - worth[coalition])
            for coalition in range(len(worth))
            if not coalition >> player & 1
        )
        for player in range(n)
    ]


def _hybrid(home: Home, reference: Home, coalition: int) -> Home:
    chosen = [home if coalition >> player & 1 else reference for player in range(len(PLAYERS))]
    fields = (source[position] for position, source in enumerate(chosen[1:], start=2))
    return (chosen[0][0], chosen[0][1], *fields)  # type: ignore[return-value]  # one of two homes, field by field
