"""The price surface: what the listings around a place say, looked up in grids that training smoothed.

Three bandwidths, narrow to wide, each a block-sparse regular grid of four channels. Blocks are stored only where
there are listings near, so the grids hold smoothed values and no listing.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from math import isfinite, log
from typing import Any

from app.artifact import Artifact
from app.errors import ArtifactError

SOL_LATITUDE, SOL_LONGITUDE = 40.4168, -3.7038
"""Puerta del Sol, degrees: the origin of the plane."""
KM_NORTH, KM_EAST = 111.2, 84.75
"""Kilometres a degree at that latitude."""

BANDWIDTHS_KM = (0.2, 0.8, 3.2)
"""The kernel is exp(-distance / bandwidth)."""
CHANNELS = ("nivel", "chalets", "tamano", "densidad")
"""Price level (log euro of what the home itself doesn't explain), share of detached homes, mean log of the built
area in m², and log(kernel count + COUNT_FLOOR)."""
COUNT_FLOOR = 0.1
LOG_COUNT_FLOOR = log(COUNT_FLOOR)
N_CHANNELS = len(CHANNELS)

BLOCK = 8
"""Intervals along the side of a block; it has one node more, so that a lookup never leaves its block."""
NODES = BLOCK + 1
ABSENT = 0xFFFF


def plane(latitude: float, longitude: float) -> tuple[float, float]:
    """Kilometres east and north of the Puerta del Sol."""
    return (longitude - SOL_LONGITUDE) * KM_EAST, (latitude - SOL_LATITUDE) * KM_NORTH


class Grid:
    """`CHANNELS` smoothed at one bandwidth.

    spacing: km between nodes. west, south: km, the corner. columns, rows: of blocks.
    index: uint16[rows * columns], the position of a block in `nodes`, or ABSENT.
    nodes: uint8[blocks * 9 * 9 * 4], rows from the south, columns from the west, channels together.
    low, step: float[4], the value of a channel's 0 and of one unit more.

    Raises ArtifactError where a lookup could leave the arrays.
    """

    def __init__(
        self,
        spacing: float,
        west: float,
        south: float,
        columns: int,
        rows: int,
        index: memoryview,
        nodes: memoryview,
        low: Sequence[float],
        step: Sequence[float],
    ) -> None:
        blocks = len(nodes) // (NODES * NODES * len(CHANNELS))
        if not (
            spacing > 0
            and all(map(isfinite, (spacing, west, south, *low, *step)))
            and len(low) == len(step) == len(CHANNELS)
            and len(nodes) == blocks * NODES * NODES * len(CHANNELS)
            and len(index) == columns * rows
            and all(block < blocks or block == ABSENT for block in set(index))
        ):
            raise ArtifactError("a grid of the price surface doesn't fit together")
        self.spacing, self.west, self.south = spacing, west, south
        self.columns, self.rows = columns, rows
        self.index, self.nodes = index, nodes
        self.low, self.step = array("d", low), array("d", step)

    def fill(self, x: float, y: float, out: array[float], at: int) -> bool:
        """Put the four channels at a point of the plane, bilinear, into `out` from `at` on.

        False, and nothing is put, where there is no block.
        """
        side, nodes, channels = BLOCK, NODES, N_CHANNELS  # as locals they are C integers in the compiled build
        u = (x - self.west) / self.spacing
        v = (y - self.south) / self.spacing
        if not (0 <= u < self.columns * side and 0 <= v < self.rows * side):
            return False
        i, j = int(u), int(v)
        block = self.index[j // side * self.columns + i // side]
        if block == ABSENT:
            return False
        u -= i
        v -= j
        a = ((block * nodes + j % side) * nodes + i % side) * channels
        b = a + nodes * channels
        for channel in range(channels):
            south = (1 - u) * self.nodes[a + channel] + u * self.nodes[a + channels + channel]
            north = (1 - u) * self.nodes[b + channel] + u * self.nodes[b + channels + channel]
            out[at + channel] = self.low[channel] + self.step[channel] * ((1 - v) * south + v * north)
        return True


class PriceSurface:
    """The grids, narrow to wide, and what stands where they end.

    means: `CHANNELS` but the last over all listings. coefficients: of `app.features.terms`, log euro each.
    """

    def __init__(self, grids: Sequence[Grid], means: Sequence[float], coefficients: Sequence[float]) -> None:
        self.grids = list(grids)
        self.means = array("d", means)
        self.coefficients = array("d", coefficients)

    @classmethod
    def read(cls, artifact: Artifact) -> PriceSurface:
        """The surface of an artifact. Raises ArtifactError where it has none or a damaged one."""
        try:
            described: Mapping[str, Any] = artifact.metadata["surface"]
            grids = [
                Grid(
                    **grid,
                    index=artifact.tensor(f"surface.{i}.index", "H"),
                    nodes=artifact.tensor(f"surface.{i}.nodes", "B"),
                )
                for i, grid in enumerate(described["grids"])
            ]
            surface = cls(grids, described["means"], described["coefficients"])
            finite = all(map(isfinite, (*surface.means, *surface.coefficients)))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"the model's price surface can't be read: {error!r}") from error
        if not finite or len(surface.means) != len(CHANNELS) - 1 or len(grids) != len(BANDWIDTHS_KM):
            raise ArtifactError("the model's price surface has no level where its grids end")
        return surface

    def fill(self, x: float, y: float, out: array[float], at: int) -> None:
        """Put `CHANNELS` at each of the bandwidths, narrow to wide, into `out` from `at` on: 4 floats for each grid.

        A level is shrunk towards the next wider one, so where a grid has no block the wider value stands.
        """
        channels = N_CHANNELS
        wider = -1
        for level in range(len(self.grids) - 1, -1, -1):
            here = at + level * channels
            grid = self.grids[level]
            if not grid.fill(x, y, out, here):
                for channel in range(channels - 1):
                    out[here + channel] = self.means[channel] if wider < 0 else out[wider + channel]
                out[here + channels - 1] = LOG_COUNT_FLOOR
            wider = here
