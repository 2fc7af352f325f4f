# cython: boundscheck=False, wraparound=False, initializedcheck=False, infer_types=True
# The compiled build trusts its indices, because the constructor has checked them. What C needs is in forest.pxd.
"""The tree kernel: walks a fitted ensemble exactly as scikit-learn does, without scikit-learn.

Only numbers live here: rows of floats in, floats out. What the columns mean is `app.features`' business,
where the arrays come from is `app.artifact`'s, what a prediction is worth is `app.model`'s.

Nodes lie in preorder: the left child of node i is i + 1, one offset leads to the right child, and offset 0
is a leaf. Every step moves forward, so every walk ends. A row becomes two float32 slots for each feature,
equal but for a missing value: NaN in the even slot (it passes no comparison, so it goes right) and -inf in
the odd one (it passes all, so it goes left). A node names the slot that sends missing values where its
training did, and the walk needs no test for them.

This file runs as it is, and many times faster where Cython has compiled it. The two builds give the same
bits and refuse the same arrays; they differ in how they hold the nodes and in which order they visit them.
"""

from __future__ import annotations

import math
import re
from array import array
from itertools import compress

from app.errors import ArtifactError

COMPILED = not __file__.endswith(".py")

MAX_FEATURES = 127  # two slots each, and one to spare, fit in a byte
MAX_NODES = 1 << 24  # a float32 counts that far, and a word has 24 bits beside the slot
GOES_RIGHT = float("nan")
GOES_LEFT = float("-inf")
UNSOUND_NODE = "a node of the forest reads no column of it, leads out of its tree or holds a number that none may"


class Forest:
    """An ensemble of regression trees: raw(x) = (base + the sum of leaf values in tree order) / divisor.

    No prediction, leaf or spread is further from 0 than `reach`, which may be infinite.
    """

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
        if not 0 < n_nodes <= MAX_NODES:
            raise ArtifactError(f"the forest has {n_nodes} nodes; 1 to {MAX_NODES} can be served")
        if not math.isfinite(base) or not math.isfinite(divisor) or divisor == 0:
            raise ArtifactError(f"the forest cannot be summed from base {base} with divisor {divisor}")
        if not len(slot) == len(value) == n_nodes:
            raise ArtifactError(f"the forest has {n_nodes} nodes, {len(slot)} slots, {len(value)} values")
        ends = array("I", [*roots[1:], n_nodes])
        if not len(roots) or roots[0] or any(start >= end for start, end in zip(roots, ends, strict=True)):
            raise ArtifactError(f"the forest's trees do not share out its {n_nodes} nodes")

        self.n_features = n_features
        self.n_trees = len(roots)
        self.n_nodes = n_nodes
        self.reach = 0.0
        self._base = base
        self._divisor = divisor
        self._roots = array("I", roots)
        if COMPILED:
            none = memoryview(b"")
            near, far = (right, none.cast("I")) if right.format == "H" else (none.cast("H"), right)
            short, full = (value, none.cast("d")) if value.format == "f" else (none.cast("f"), value)
            self._pack(slot, near, far, short, full, ends)
        else:
            self._slot = slot.tobytes()
            self._right: array[int] = array(right.format, right.tobytes())
            self._value: array[float] = array(value.format, value.tobytes())
            self._check(ends)
        self.reach = max(self.reach, (abs(base) + self.n_trees * self.reach) / abs(divisor))

    def predict(self, rows: array[float], n_rows: int) -> array[float]:
        """Predict rows: float64[n_rows * n_features], rounded to float32 on the way -> float64[n_rows]."""
        return self.predict_spread(rows, n_rows)[0]

    def predict_spread(self, rows: array[float], n_rows: int) -> tuple[array[float], array[float]]:
        """Predict as `predict` does, and give the standard deviation of the leaf values over the trees."""
        if len(rows) != n_rows * self.n_features:
            raise ValueError(f"{n_rows} rows of {self.n_features} columns are not {len(rows)} numbers")
        means = array("d", bytes(8 * n_rows))
        spreads = array("d", bytes(8 * n_rows))
        if COMPILED:
            block = min((n_rows + 7) // 8 * 8, 1024)  # what is read again for each tree stays in the cache
            slots = array("f", bytes(4 * block * (2 * self.n_features + 1)))
            sums = array("d", bytes(8 * block * 4))
            for first in range(0, n_rows, 1024):
                self._walk_abreast(rows, first, min(n_rows - first, 1024), slots, sums, means, spreads)
        else:
            self._walk(rows, n_rows, means, spreads)
        return means, spreads

    # The plain build holds the artifact's arrays as they are and walks one row down one tree at a time.

    def _walk(self, rows: array[float], n_rows: int, means: array[float], spreads: array[float]) -> None:
        n_features, n_trees = self.n_features, self.n_trees
        slot, right, value = self._slot, self._right, self._value
        for r in range(n_rows):
            row: list[float] = []
            for x in array("f", rows[r * n_features : (r + 1) * n_features]):
                row += (GOES_RIGHT, GOES_LEFT) if math.isnan(x) else (x, x)
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
            means[r] = total / self._divisor
            spreads[r] = math.sqrt(max(0.0, (square - deviation * deviation / n_trees) / n_trees))

    def _check(self, ends: array[int]) -> None:
        """Refuse a node that a walk could not pass, or could not end at.

        There is no Python loop over the nodes: with half a million it would take longer than all else that is
        done to open a model. A tree's offsets make one wide integer, and so do the counts of nodes that
        follow each node, with a guard bit on top of every lane. One subtraction clears the guard bits of the
        offsets that lead too far.
        """
        if self._slot.translate(None, delete=bytes(range(2 * self.n_features))):
            raise ArtifactError(UNSOUND_NODE)

        largest = max(end - start for start, end in zip(self._roots, ends, strict=True))
        offsets = self._right if largest <= 1 << 15 else array("I", self._right)
        width = offsets.itemsize
        guard_bit = 1 << (8 * width - 1)
        following = array(offsets.typecode, range(guard_bit + largest - 1, guard_bit - 1, -1)).tobytes()
        guards = guard_bit.to_bytes(width, "little") * largest
        lanes = offsets.tobytes()
        for start, end in zip(self._roots, ends, strict=True):
            guard = int.from_bytes(guards[: width * (end - start)], "little")
            steps = int.from_bytes(lanes[width * start : width * end], "little")
            room = int.from_bytes(following[-width * (end - start) :], "little")
            if steps & guard or (room - steps) & guard != guard:
                raise ArtifactError(UNSOUND_NODE)

        top_bytes = self._value.tobytes()[self._value.itemsize - 1 :: self._value.itemsize]
        for suspect in re.finditer(b"[\x7f\xff]", top_bytes):  # NaN, infinities and the very hugest numbers
            i = suspect.start()
            if not math.isfinite(self._value[i]) and (self._right[i] == 0 or math.isnan(self._value[i])):
                raise ArtifactError(UNSOUND_NODE)

        if self._value.typecode == "d":  # thresholds are float32s all the same: the compiled build keeps no more
            thresholds = array("d", compress(self._value, self._right))
            if array("d", array("f", thresholds)) != thresholds:
                raise ArtifactError(UNSOUND_NODE)

        self.reach = self._largest_leaf(top_bytes)

    def _largest_leaf(self, top_bytes: bytes) -> float:
        """The greatest distance of a leaf's value from 0, looked for among the leaves of the greatest top byte."""
        lanes, width = self._right.tobytes(), self._right.itemsize
        zero = b"\x7f" + bytes(255)  # a leaf's offset is 0 in all of its bytes: keep all but the sign of its value
        kept = int.from_bytes(top_bytes, "little")
        for byte in range(width):
            kept &= int.from_bytes(lanes[byte::width].translate(zero), "little")
        magnitudes = kept.to_bytes(self.n_nodes, "little")
        greatest = next(byte for byte in range(127, -1, -1) if byte in magnitudes)
        return max(
            abs(self._value[found.start()])
            for found in re.finditer(re.escape(bytes([greatest])), magnitudes)
            if self._right[found.start()] == 0
        )

    # The compiled build packs a node into two words and walks eight at a time, so that the processor fetches
    # eight nodes at once rather than wait for each. In plain Python this would be slower.

    def _pack(
        self,
        slot: memoryview[int],
        near: memoryview[int],
        far: memoryview[int],
        short: memoryview[float],
        full: memoryview[float],
        ends: array[int],
    ) -> None:
        """Check the nodes and pack them. Offsets are either near or far, values short or full; the other is empty.

        Offset and slot share a node's first word, its threshold is the second. A leaf's slot is one that holds
        NaN in every row, so it sends its walker right, by 0: there it stays while others walk on. Its second
        word is its value where that is short, else its number among the leaves. (As a float, too: an integer's
        bits would be a denormal number, and comparing one of those costs a hundred cycles.)
        """
        no_slot = 2 * self.n_features
        is_near = len(near) > 0
        n_leaves = 0
        unsound = False
        self._words = memoryview(bytearray(8 * self.n_nodes)).cast("I")
        self._floats = memoryview(self._words).cast("B").cast("f")
        for tree in range(self.n_trees):
            end = ends[tree]
            for i in range(self._roots[tree], end):
                step = near[i] if is_near else far[i]
                unsound |= (slot[i] >= no_slot) | (step >= end - i)
                n_leaves += step == 0
                self._words[2 * i] = step << 8 | (slot[i] if step else no_slot)
        if unsound:  # now, because what follows takes a word that packed wrongly for a leaf that nobody has counted
            raise ArtifactError(UNSOUND_NODE)
        self._leaves = memoryview(bytearray(0 if len(short) else 8 * n_leaves)).cast("d")
        n_leaves = 0
        largest = 0.0
        for i in range(self.n_nodes):
            number = short[i] if len(short) else full[i]
            is_leaf = self._words[2 * i] == no_slot
            unsound |= (number != number) | (is_leaf & (number - number != 0))  # NaN, or an infinite leaf
            if is_leaf and math.fabs(number) > largest:
                largest = math.fabs(number)
            if is_leaf and not len(short):
                self._leaves[n_leaves] = number
                number = n_leaves
                n_leaves += 1
            self._floats[2 * i + 1] = number
            unsound |= self._floats[2 * i + 1] != number  # a threshold that is no float32
        self.reach = largest
        if unsound:
            raise ArtifactError(UNSOUND_NODE)

    def _walk_abreast(
        self,
        rows: array[float],
        first: int,
        n: int,
        slots: array[float],
        sums: array[float],
        means: array[float],
        spreads: array[float],
    ) -> None:
        """Predict n rows from the first on. Sums holds total, pivot, deviation and square of each, as in _walk.

        Many rows go down a tree together, while its nodes are in the cache; a single one goes down many trees.
        """
        width = 2 * self.n_features + 1
        at = [0, 0, 0, 0, 0, 0, 0, 0]
        row = [0, 0, 0, 0, 0, 0, 0, 0]
        self._fill(rows, first, n, slots, sums)
        if n < 8:
            for r in range(n):
                for lane in range(8):
                    row[lane] = r * width
                for tree in range(0, self.n_trees, 8):
                    for lane in range(8):
                        at[lane] = self._roots[min(tree + lane, self.n_trees - 1)]
                    self._settle(slots, at, row)
                    for lane in range(min(8, self.n_trees - tree)):
                        self._add(sums, r, tree + lane, at[lane])
        else:
            for tree in range(self.n_trees):
                for r in range(0, n, 8):
                    for lane in range(8):
                        at[lane] = self._roots[tree]
                        row[lane] = (r + lane) * width
                    self._settle(slots, at, row)
                    for lane in range(8):
                        self._add(sums, r + lane, tree, at[lane])
        for r in range(n):
            deviation = sums[4 * r + 2]
            variance = (sums[4 * r + 3] - deviation * deviation / self.n_trees) / self.n_trees
            means[first + r] = sums[4 * r] / self._divisor
            spreads[first + r] = math.sqrt(max(0.0, variance))

    def _fill(self, rows: array[float], first: int, n: int, slots: array[float], sums: array[float]) -> None:
        """Start the slots and sums of n rows, and of the row that fills up the last eight."""
        k = 0
        for r in range((n + 7) // 8 * 8):
            for column in range(self.n_features):
                slots[k] = rows[(first + min(r, n - 1)) * self.n_features + column]
                slots[k + 1] = slots[k] if slots[k] == slots[k] else GOES_LEFT
                k += 2
            slots[k] = GOES_RIGHT
            k += 1
            sums[4 * r] = self._base
            sums[4 * r + 2] = sums[4 * r + 3] = 0.0

    def _settle(self, slots: array[float], at: list[int], row: list[int]) -> None:
        """Move eight walkers on, step by step and without a branch to mispredict, until all stand at leaves."""
        moved = 1
        while moved:
            moved = 0
            for lane in range(8):
                i = at[lane]
                word = self._words[2 * i]
                left = slots[row[lane] + (word & 255)] <= self._floats[2 * i + 1]
                step = left | (word >> 8 & (left - 1))
                at[lane] = i + step
                moved |= step

    def _add(self, sums: array[float], r: int, tree: int, i: int) -> None:
        leaf = self._floats[2 * i + 1]
        if len(self._leaves):
            number = int(leaf)
            leaf = self._leaves[number]
        sums[4 * r] += leaf
        if tree == 0:
            sums[4 * r + 1] = leaf
        leaf -= sums[4 * r + 1]
        sums[4 * r + 2] += leaf
        sums[4 * r + 3] += leaf * leaf
