"""Fit the price surface: kernel means of the listings, and the grids that serve them.

A training row is described by its neighbours without its own cell, as a home in a cell that the model hasn't
seen will be.
"""

from array import array
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.features import N_TERMS, WIDTH, Home, fields, terms
from app.surface import ABSENT, BANDWIDTHS_KM, BLOCK, COUNT_FLOOR, N_CHANNELS, NODES, Grid, PriceSurface, plane

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

SPACINGS_KM = (0.1, 0.4, 1.6)
"""Between the nodes of a grid: half of its bandwidth."""
BLUNT = 0.5
"""Bandwidths; rounds the kernel's tip, which a grid could not follow."""
REACH = 8.0
"""Bandwidths; beyond it a neighbour weighs less than 1/2000 and is left out."""
PRIOR = 2.0
"""Neighbours that the next wider level counts for."""
FAINT = 0.05
"""A block whose kernel count stays below this is not stored."""
MARGIN = 3.0
"""Bandwidths that a grid goes on beyond the outermost listing."""


def cells(latitude: Floats, longitude: Floats) -> Ints:
    """The number of each listing's cell of about 100 m: both coordinates rounded to three decimals."""
    corners = np.rint(np.stack([latitude, longitude], axis=1) * 1000).astype(np.int64)
    return np.unique(corners, axis=0, return_inverse=True)[1].reshape(-1)


def regressors(homes: Sequence[Home]) -> Floats:
    """What the homes are, their place apart: float64[n, N_TERMS]."""
    row, out = array("d", bytes(8 * WIDTH)), array("d", bytes(8 * N_TERMS * len(homes)))
    for i, home in enumerate(homes):
        fields(home, row, 0)
        terms(row, 0, out, i * N_TERMS)
    return np.array(out).reshape(len(homes), N_TERMS)


def fit_surface(
    homes: Sequence[Home], log_price: Floats, detached: npt.NDArray[np.bool_]
) -> tuple[PriceSurface, Floats]:
    """The surface to serve, and what it says at each listing with its own cell left out: float64[n, 12].

    The price level is the kernel mean of what of the log price the home itself doesn't explain. The coefficients
    of what it does come from a partially linear model: the log price is regressed on the terms, both relative to
    their local means. Robinson, Root-N-Consistent Semiparametric Regression (1988).
    """
    latitude, longitude = np.array([home[0] for home in homes]), np.array([home[1] for home in homes])
    x, y = (np.array(axis) for axis in plane(latitude, longitude))  # type: ignore[arg-type]  # arithmetic only
    cell = cells(latitude, longitude)
    design = regressors(homes)
    size = np.log(np.array([home[2] for home in homes]))
    values = np.column_stack([design, log_price, detached, size])
    k = design.shape[1]

    sums = [_kernel_sums(x, y, cell, x, y, cell, values, bandwidth) for bandwidth in BANDWIDTHS_KM]
    narrow_mean, *_ = _shrunk(sums, values.mean(axis=0))
    relative = values - narrow_mean
    a, b = relative[:, :k], relative[:, k]
    coefficients = np.linalg.solve(a.T @ a + np.eye(k), a.T @ b)

    def channels(table: Floats) -> Floats:
        """Terms, log price and what follows -> price level and what follows."""
        return np.column_stack([table[:, k] - table[:, :k] @ coefficients, table[:, k + 1 :]])

    own = channels(values)
    means = own.mean(axis=0)
    levels = [channels(level) for level in sums]
    local = np.column_stack(
        [
            column
            for mean, level in zip(_shrunk(levels, means), levels, strict=True)
            for column in (mean, np.log(level[:, -1] + COUNT_FLOOR))
        ]
    )
    return PriceSurface(_fit_grids(x, y, cell, own, means), means.tolist(), coefficients.tolist()), local


def _fit_grids(x: Floats, y: Floats, cell: Ints, values: Floats, means: Floats) -> list[Grid]:
    """One grid for each bandwidth, narrow to wide; blocks with hardly a listing near are left out."""
    grids: list[Grid] = []
    for bandwidth, spacing in zip(reversed(BANDWIDTHS_KM), reversed(SPACINGS_KM), strict=True):
        side, margin = BLOCK * spacing, MARGIN * bandwidth
        west, south = float(x.min() - margin), float(y.min() - margin)
        columns, rows = (
            int((edge + margin - corner) // side) + 1 for edge, corner in ((x.max(), west), (y.max(), south))
        )
        blocks = _blocks_near(((y - south) // side).astype(int), ((x - west) // side).astype(int), rows, columns)
        offsets = np.arange(NODES) * spacing
        shape = (len(blocks), NODES, NODES)
        node_x = np.broadcast_to(west + blocks[:, 1, None, None] * side + offsets[None, None, :], shape).reshape(-1)
        node_y = np.broadcast_to(south + blocks[:, 0, None, None] * side + offsets[None, :, None], shape).reshape(-1)

        sums = _kernel_sums(node_x, node_y, None, x, y, cell, values, bandwidth)
        kept = sums[:, -1].reshape(len(blocks), -1).max(axis=1) >= FAINT
        mask = np.repeat(kept, NODES * NODES)
        blocks, sums, node_x, node_y = blocks[kept], sums[mask], node_x[mask], node_y[mask]
        # Shrunk towards what the wider grid will say here, so that leaving a block is no jump.
        wider = PriceSurface(grids, means.tolist(), ())
        prior = _levels(wider, node_x, node_y)[:, : len(means)] if grids else means
        table = np.column_stack([_shrink(sums, prior), np.log(sums[:, -1] + COUNT_FLOOR)])

        low = table.min(axis=0)
        step = (table.max(axis=0) - low) / 255
        step[step == 0] = 1.0  # a channel that is the same everywhere
        index = np.full(rows * columns, ABSENT, np.uint16)
        index[blocks[:, 0] * columns + blocks[:, 1]] = np.arange(len(blocks))
        nodes = np.rint((table - low) / step).astype(np.uint8)
        grids.insert(
            0,
            Grid(
                spacing,
                west,
                south,
                columns,
                rows,
                memoryview(index.tobytes()).cast("H"),
                memoryview(nodes.tobytes()),
                low.tolist(),
                step.tolist(),
            ),
        )
    return grids


def _levels(surface: PriceSurface, x: Floats, y: Floats) -> Floats:
    """What a surface says at points of the plane: float64[n, 4 * grids]."""
    width = len(surface.grids) * N_CHANNELS
    found = array("d", bytes(8 * width * len(x)))
    for i, place in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        surface.fill(*place, found, i * width)
    return np.array(found).reshape(len(x), width)


def _blocks_near(row: Ints, column: Ints, rows: int, columns: int) -> Ints:
    """The blocks that hold a listing or touch one that does: int64[blocks, 2] of (row, column)."""
    near = np.zeros((rows + 2, columns + 2), bool)
    for north in (0, 1, 2):
        for east in (0, 1, 2):
            near[row + north, column + east] = True
    return np.argwhere(near[1:-1, 1:-1])


def _kernel_sums(
    x: Floats,
    y: Floats,
    own: Ints | None,
    source_x: Floats,
    source_y: Floats,
    source_cell: Ints,
    values: Floats,
    bandwidth: float,
) -> Floats:
    """Kernel-weighted sums of `values`, float64[m, k], at n points, then the kernel count: float64[n, k + 1].

    `own` is the cell of each point, left out of its sums; None at points that are no listings. Points are taken
    tile by tile, each tile with the listings within reach.
    """
    weighed = np.column_stack([values, np.ones(len(values))]).astype(np.float32)
    sums = np.zeros((len(x), weighed.shape[1]))
    tile, reach, blunt = 4 * bandwidth, REACH * bandwidth, np.float32(BLUNT * bandwidth)
    order = np.argsort(source_x, kind="stable")
    sorted_x = source_x[order]
    tiles = np.stack([np.floor(x / tile), np.floor(y / tile)], axis=1).astype(np.int64)
    corners, member = np.unique(tiles, axis=0, return_inverse=True)
    member = member.reshape(-1)
    by_tile = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    for (column, row), points in zip(corners, by_tile, strict=True):
        west, south = column * tile, row * tile
        strip = order[np.searchsorted(sorted_x, west - reach) : np.searchsorted(sorted_x, west + tile + reach)]
        near = strip[(source_y[strip] > south - reach) & (source_y[strip] < south + tile + reach)]
        dx = (x[points, None] - source_x[near]).astype(np.float32)
        dy = (y[points, None] - source_y[near]).astype(np.float32)
        weights = np.exp((blunt - np.sqrt(dx * dx + dy * dy + blunt * blunt)) * np.float32(1 / bandwidth))
        if own is not None:
            weights[own[points, None] == source_cell[near]] = 0
        sums[points] = weights @ weighed[near]
    return sums


def _shrink(sums: Floats, prior: Floats) -> Floats:
    """Kernel means, float64[n, k], from sums; the prior counts as `PRIOR` neighbours."""
    means: Floats = (sums[:, :-1] + PRIOR * prior) / (sums[:, -1:] + PRIOR)
    return means


def _shrunk(sums: Sequence[Floats], means: Floats) -> list[Floats]:
    """Kernel means, each level shrunk towards the next wider one; narrow to wide."""
    levels: list[Floats] = []
    prior = means
    for level in reversed(sums):
        prior = _shrink(level, prior)
        levels.insert(0, prior)
    return levels


def tensors(surface: PriceSurface) -> dict[str, npt.NDArray[np.integer]]:
    """The grids' arrays, as `PriceSurface.read` finds them in an artifact."""
    return {
        f"surface.{i}.{name}": np.frombuffer(array, dtype)
        for i, grid in enumerate(surface.grids)
        for name, array, dtype in (("index", grid.index, np.uint16), ("nodes", grid.nodes, np.uint8))
    }


def described(surface: PriceSurface) -> dict[str, object]:
    """The rest of the surface, for the artifact's metadata."""
    return {
        "grids": [
            {name: getattr(grid, name) for name in ("spacing", "west", "south", "columns", "rows")}
            | {"low": list(grid.low), "step": list(grid.step)}
            for grid in surface.grids
        ],
        "means": list(surface.means),
        "coefficients": list(surface.coefficients),
    }
