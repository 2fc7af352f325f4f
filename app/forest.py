"""The tree kernel: walks a fitted ensemble exactly as scikit-learn does, without scikit-learn.

Only numbers live here: rows of floats in, floats out. What the columns mean is `app.features`' business,
where the arrays come from is `app.artifact`'s, what a prediction is worth is `app.model`'s.

Nodes lie in preorder: the left child of node i is i + 1, one offset leads to the right child, and offset 0
is a leaf. Every step moves forward, so every walk ends. A row becomes two float32 slots for each feature,
equal but for a missing value: NaN in the even slot (it passes no comparison, so it goes right) and -inf in
the odd one (it passes all, so it goes left). A node names the slot that sends missing values where its
training did, and the walk needs no test for them.
"""

from __future__ import annotations

import re
from array import array
from itertools import pairwise
from math import inf, isfinite, isnan, sqrt

from app.errors import ArtifactError

COMPILED = not __file__.endswith(".py")

MAX_FEATURES = 127  # two slots each and one to spare fit in a byte


class Forest:
    """An ensemble of regression trees: raw(x) = (base + the sum of leaf values in tree order) / divisor."""

    def __init__(
        self,
        slot: memoryview[int],
        right: memoryview[int],
        value: memoryview[float],
        roots: memoryview[int],
        *,
        n_features: int,
        base: float,
        divisor: float,
    ) -> None:
        """Copy the arrays of an artifact, after checking that no walk can leave them.

        slot: uint8[n_nodes], 2 * feature + (1 if a missing value goes left).
        right: uint16[n_nodes] or uint32[n_nodes], offset to the right child, 0 at a leaf.
        value: float32[n_nodes] or float64[n_nodes], an inner node's threshold (a float32), a leaf's value.
        roots: uint32[n_trees], the first node of each tree.

        Raises ArtifactError where the arrays are not a forest over n_features columns.
        """
        n_nodes = len(right)
        if not 0 < n_features <= MAX_FEATURES:
            raise ArtifactError(f"the forest reads {n_features} columns; 1 to {MAX_FEATURES} can be served")
        if not isfinite(base) or not isfinite(divisor) or divisor == 0:
            raise ArtifactError(f"the forest cannot be summed from base {base} with divisor {divisor}")
        if not len(slot) == len(value) == n_nodes:
            raise ArtifactError(f"the forest has {n_nodes} nodes, {len(slot)} slots, {len(value)} values")
        starts = [*roots, n_nodes]
        if len(starts) == 1 or starts[0] != 0 or any(start >= end for start, end in pairwise(starts)):
            raise ArtifactError(f"the forest's trees do not share out its {n_nodes} nodes")

        self.n_features = n_features
        self.n_trees = len(roots)
        self.n_nodes = n_nodes
        self._base = base
        self._divisor = divisor
        self._roots = starts[:-1]
        self._slot = slot.tobytes()
        self._right: array[int] = array(right.format, right.tobytes())
        self._value: array[float] = array(value.format, value.tobytes())
        _check_slots(self._slot, n_features)
        _check_offsets(self._right, starts)
        _check_values(self._value, self._right)

    def predict(self, rows: array[float], n_rows: int) -> array[float]:
        """Predict rows: float64[n_rows * n_features], rounded to float32 on the way -> float64[n_rows]."""
        return self.predict_spread(rows, n_rows)[0]

    def predict_spread(self, rows: array[float], n_rows: int) -> tuple[array[float], array[float]]:
        """Predict as `predict` does, and give the standard deviation of the leaf values over the trees."""
        n_features = self.n_features
        if len(rows) != n_rows * n_features:
            raise ValueError(f"{n_rows} rows of {n_features} columns are not {len(rows)} numbers")
        means = array("d", bytes(8 * n_rows))
        spreads = array("d", bytes(8 * n_rows))
        for r in range(n_rows):
            row = _slots(rows[r * n_features : (r + 1) * n_features])
            means[r], spreads[r] = self._walk(row)
        return means, spreads

    def _walk(self, row: list[float]) -> tuple[float, float]:
        slot, right, value = self._slot, self._right, self._value
        total = self._base
        # from the first leaf on: the squares of the values themselves would leave few digits to subtract
        pivot = deviation = square = 0.0
        for root in self._roots:
            i = root
            while step := right[i]:
                i += 1 if row[slot[i]] <= value[i] else step
            leaf = value[i]
            total += leaf  # never sum(): from Python 3.12 on it rounds otherwise than scikit-learn
            if root == 0:
                pivot = leaf
            leaf -= pivot
            deviation += leaf
            square += leaf * leaf
        n = self.n_trees
        return total / self._divisor, sqrt(max(0.0, (square - deviation * deviation / n) / n))


def _slots(row: array[float]) -> list[float]:
    slots: list[float] = []
    for x in array("f", row):
        slots += (x, -inf if isnan(x) else x)
    return slots


def _check_slots(slot: bytes, n_features: int) -> None:
    if slot.translate(None, delete=bytes(range(2 * n_features))):
        raise ArtifactError(f"a node of the forest reads a column beyond its {n_features}")


def _check_offsets(right: array[int], starts: list[int]) -> None:
    """Refuse a node whose right child lies outside its tree; the left child lies before the right one.

    A Python loop over half a million nodes would take longer than all else that is done to open a model.
    Here a tree's offsets are one wide integer, and so are the counts of nodes that follow each node, with
    a guard bit on top of every lane: one subtraction clears the guard bits of the offsets that are too
    large.
    """
    width = right.itemsize
    guard_bit = 1 << (8 * width - 1)
    largest = max(end - start for start, end in pairwise(starts))
    if largest > guard_bit:
        raise ArtifactError(f"a tree of the forest has {largest} nodes; its offsets reach {guard_bit}")
    following = array(right.typecode, range(guard_bit + largest - 1, guard_bit - 1, -1)).tobytes()
    guards = guard_bit.to_bytes(width, "little") * largest
    offsets = right.tobytes()
    for start, end in pairwise(starts):
        length = width * (end - start)
        guard = int.from_bytes(guards[:length], "little")
        wide = int.from_bytes(offsets[width * start : width * end], "little")
        room = int.from_bytes(following[-length:], "little")
        if wide & guard or (room - wide) & guard != guard:
            raise ArtifactError("a node of the forest has a child outside its tree")


def _check_values(value: array[float], right: array[int]) -> None:
    """Refuse NaN, and infinities in leaves. (A threshold of +inf parts missing values from all others.)"""
    top_bytes = value.tobytes()[value.itemsize - 1 :: value.itemsize]
    for suspect in re.finditer(b"[\x7f\xff]", top_bytes):  # infinities, NaN and the very hugest numbers
        i = suspect.start()
        if isnan(value[i]) or (right[i] == 0 and not isfinite(value[i])):
            raise ArtifactError("a leaf of the forest is not a finite number, or a threshold not a number")
