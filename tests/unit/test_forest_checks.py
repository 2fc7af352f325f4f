"""The kernel refuses arrays that a walk could leave, in both builds."""

from __future__ import annotations

from array import array
from math import inf, nan
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from app.errors import ArtifactError


def _arrays(**changed: array[Any]) -> dict[str, Any]:
    """Two trees over two columns: a root with two leaves, then a single leaf."""
    whole: dict[str, array[Any]] = {
        "slot": array("B", [3, 0, 0, 0]),
        "right": array("H", [2, 0, 0, 0]),
        "value": array("d", [0.5, 1.0, 2.0, 3.0]),
        "roots": array("I", [0, 3]),
    }
    return {name: memoryview(values) for name, values in (whole | changed).items()}


@pytest.mark.parametrize("offsets", ["H", "I"])
@pytest.mark.parametrize("values", ["f", "d"])
def test_whole_arrays_are_a_forest(kernel: ModuleType, offsets: str, values: str) -> None:
    arrays = _arrays(right=array(offsets, [2, 0, 0, 0]), value=array(values, [0.5, 1.0, 2.0, 3.0]))
    forest = kernel.Forest(**arrays, n_features=2, base=0.0, divisor=2.0)

    assert (forest.n_features, forest.n_trees, forest.n_nodes) == (2, 2, 4)
    prices = forest.predict(array("d", [9.0, 0.5, 9.0, 0.75, 9.0, float("nan")]), 3)
    assert prices.tolist() == [2.0, 2.5, 2.0]


DAMAGE: dict[str, dict[str, array[Any]]] = {
    "a column beyond the last": {"slot": array("B", [4, 0, 0, 0])},
    "a leaf with a column beyond the last": {"slot": array("B", [3, 255, 0, 0])},
    "a child in the next tree": {"right": array("H", [3, 0, 0, 0])},
    "a child beyond the end": {"right": array("H", [2, 0, 0, 1])},
    "a child far beyond the end": {"right": array("H", [2, 0, 0, 65535])},
    "a child half the range beyond the end": {"right": array("H", [2, 32768, 0, 0])},
    "a wide child beyond the end": {"right": array("I", [2, 0, 0, 4294967295])},
    "a wide child in the next tree": {"right": array("I", [2, 0, 1, 0])},
    "too few slots": {"slot": array("B", [3, 0, 0])},
    "too many slots": {"slot": array("B", [3, 0, 0, 0, 0])},
    "too few offsets": {"right": array("H", [2, 0, 0])},
    "too few values": {"value": array("d", [0.5, 1.0, 2.0])},
    "too many values": {"value": array("d", [0.5, 1.0, 2.0, 3.0, 4.0])},
    "a leaf that is NaN": {"value": array("d", [0.5, 1.0, nan, 3.0])},
    "a leaf that is infinite": {"value": array("d", [0.5, 1.0, 2.0, inf])},
    "a short leaf that is infinite": {"value": array("f", [0.5, 1.0, -inf, 3.0])},
    "a threshold that is NaN": {"value": array("d", [nan, 1.0, 2.0, 3.0])},
    "a threshold between two float32s": {"value": array("d", [0.1, 1.0, 2.0, 3.0])},
    "a threshold beyond the float32s": {"value": array("d", [1e300, 1.0, 2.0, 3.0])},
    "no tree": {"roots": array("I", [])},
    "no node": {"slot": array("B"), "right": array("H"), "value": array("d"), "roots": array("I")},
    "nodes before the first tree": {"roots": array("I", [1, 3])},
    "trees out of order": {"roots": array("I", [0, 3, 2])},
    "two trees in one place": {"roots": array("I", [0, 3, 3])},
    "a tree beyond the end": {"roots": array("I", [0, 3, 4])},
    "a tree far beyond the end": {"roots": array("I", [0, 4294967295])},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_arrays_are_refused(kernel: ModuleType, damage: str) -> None:
    with pytest.raises(ArtifactError, match="forest"):
        kernel.Forest(**_arrays(**DAMAGE[damage]), n_features=2, base=0.0, divisor=2.0)


@pytest.mark.parametrize("multiple", [1, 2, 255])
def test_offsets_that_pack_to_what_a_leaf_packs_to_are_refused(kernel: ModuleType, multiple: int) -> None:
    n = 200_000  # so many that writing them beyond an array would be noticed
    arrays: dict[str, array[Any]] = {
        "slot": array("B", [4]) * n,
        "right": array("I", [multiple << 24]) * n,
        "value": array("d", [1.0]) * n,
        "roots": array("I", [0]),
    }

    with pytest.raises(ArtifactError, match="forest"):
        kernel.Forest(**{name: memoryview(one) for name, one in arrays.items()}, n_features=2, base=0.0, divisor=2.0)


@pytest.mark.parametrize(
    ("n_features", "base", "divisor"),
    [
        (0, 0.0, 2.0),
        (-1, 0.0, 2.0),
        (128, 0.0, 2.0),
        (2, nan, 2.0),
        (2, inf, 2.0),
        (2, 0.0, 0.0),
        (2, 0.0, nan),
        (2, 0.0, inf),
    ],
)
def test_a_sum_that_cannot_be_made_is_refused(kernel: ModuleType, n_features: int, base: float, divisor: float) -> None:
    with pytest.raises(ArtifactError, match="forest"):
        kernel.Forest(**_arrays(), n_features=n_features, base=base, divisor=divisor)


def test_a_threshold_of_plus_infinity_parts_missing_values_from_all_others(kernel: ModuleType) -> None:
    arrays = _arrays(slot=array("B", [2, 0, 0, 0]), value=array("d", [inf, 1.0, 2.0, 3.0]))
    forest = kernel.Forest(**arrays, n_features=2, base=0.0, divisor=2.0)

    assert forest.predict(array("d", [0.0, inf, 0.0, 1e300, 0.0, nan]), 3).tolist() == [2.0, 2.0, 2.5]


def test_random_arrays_are_refused_or_walked_to_an_end(kernel: ModuleType) -> None:
    r = np.random.default_rng(19)
    accepted = 0
    for _ in range(3000):
        n = int(r.integers(1, 8))
        arrays: dict[str, Any] = {
            "slot": r.integers(0, 5, n).astype(np.uint8).data,
            "right": r.integers(0, 4, n).astype(np.uint16).data,
            "value": r.normal(size=n).astype(np.float32).astype(float).data,
            "roots": np.unique(np.append(0, r.integers(0, n, 2))).astype(np.uint32).data,
        }
        try:
            forest = kernel.Forest(**arrays, n_features=2, base=0.0, divisor=1.0)
        except ArtifactError:
            continue
        accepted += 1
        assert np.isfinite(forest.predict(array("d", r.normal(size=20)), 10)).all()
    assert accepted > 100


@pytest.mark.parametrize("values", ["f", "d"])
def test_a_forest_says_how_far_from_zero_it_can_get(kernel: ModuleType, values: str) -> None:
    # the thresholds 900 and infinity are no leaves
    arrays = _arrays(
        slot=array("B", [3, 1, 0, 0, 0, 0]),
        right=array("H", [4, 2, 0, 0, 0, 0]),
        value=array(values, [900.0, inf, 1.5, -2.75, 2.0, 0.0]),
        roots=array("I", [0, 5]),
    )

    assert kernel.Forest(**arrays, n_features=2, base=-1.0, divisor=-0.5).reach == (1 + 2 * 2.75) / 0.5
    assert kernel.Forest(**arrays, n_features=2, base=0.0, divisor=1e9).reach == 2.75
