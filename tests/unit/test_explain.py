"""The explanation is the Shapley value, and it adds up."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.explain import PLAYERS, contributions, shapley
from app.features import Home
from app.model import Model
from app.schemas import Formulario


def by_orderings(worth: Sequence[float]) -> list[float]:
    """The other definition: a player's average gain over every order in which the players can arrive."""
    n = len(worth).bit_length() - 1
    gains = [0.0] * n
    orders = list(permutations(range(n)))
    for order in orders:
        coalition = 0
        for player in order:
            gains[player] += worth[coalition | 1 << player] - worth[coalition]
            coalition |= 1 << player
    return [gain / len(orders) for gain in gains]


@given(st.lists(st.floats(-1e6, 1e6), min_size=32, max_size=32))
def test_the_value_is_the_average_gain_over_all_orders_of_arrival(worth: list[float]) -> None:
    assert shapley(worth) == pytest.approx(by_orderings(worth), rel=1e-9, abs=1e-5)


def test_a_sum_of_parts_gives_each_player_its_own_part() -> None:
    parts = [3.0, -5.0, 0.0, 11.0]
    worth = [sum(part for i, part in enumerate(parts) if coalition >> i & 1) for coalition in range(16)]

    assert shapley(worth) == pytest.approx(parts)


def test_contributions_add_up_to_the_difference_to_the_cent(small_model: Model, home: dict[str, Any]) -> None:
    mine = Formulario.model_validate(home).home()

    def prices(homes: Sequence[Home]) -> list[float]:
        return [estimate["precio"] for estimate in small_model.price(homes)]

    for change in ({"surface": 40}, {"latitud": 40.5, "garaje": True}, {"condicion": None, "antiguedad": None}, {}):
        other = Formulario.model_validate(home | change).home()

        price, reference, parts = contributions(prices, mine, other)

        assert list(parts) == list(PLAYERS)
        assert round(sum(parts.values()), 2) == round(price - reference, 2)


def test_a_field_that_is_the_same_in_both_homes_explains_nothing(home: dict[str, Any]) -> None:
    mine = Formulario.model_validate(home).home()
    other = Formulario.model_validate(home | {"surface": 50}).home()

    def price(homes: Sequence[Home]) -> list[float]:
        return [3000.0 * one[2] for one in homes]

    _, _, parts = contributions(price, mine, other)

    assert parts == {player: 138_000.0 if player == "surface" else 0.0 for player in PLAYERS}
