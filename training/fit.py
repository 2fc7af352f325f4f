"""Listings -> a fitted price surface and forest: features, estimator and its settings."""

from array import array
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from app.features import HEDONIC, N_TERMS, PLACE, WIDTH, Home, fill, matrix
from app.surface import BANDWIDTHS_KM, CHANNELS, PriceSurface, plane
from training.data import Listings
from training.options import Kind, Options
from training.surface import fit_surface

Floats: TypeAlias = npt.NDArray[np.float64]
Estimator: TypeAlias = RandomForestRegressor | ExtraTreesRegressor

ESTIMATORS: dict[Kind, type[Estimator]] = {
    Kind.RANDOM_FOREST: RandomForestRegressor,
    Kind.EXTRA_TREES: ExtraTreesRegressor,
}


DENSITY = f"{CHANNELS[-1]}_{1000 * BANDWIDTHS_KM[0]:.0f}m"
"""The column that tells whether there are homes to learn from near a place."""


@dataclass(frozen=True)
class Fitted:
    """A forest and the surface that its features look up."""

    surface: PriceSurface
    forest: Estimator
    density: Floats
    """What the surface says of the listings near each training listing, without its own cell: `DENSITY`."""

    def predict(self, homes: list[Home]) -> tuple[Floats, Floats]:
        """Mean and standard deviation over the trees of the log price, for each home."""
        rows = self.matrix(homes)
        leaves = np.array([tree.predict(rows.astype(np.float32)) for tree in self.forest.estimators_])
        return rows[:, HEDONIC] + self.forest.predict(rows), leaves.std(axis=0)

    def matrix(self, homes: list[Home]) -> Floats:
        """The rows of the homes as they are served: float64[n_homes, n_features]."""
        return np.array(matrix(homes, self.surface)).reshape(len(homes), WIDTH)


def fit(listings: Listings, options: Options) -> Fitted:
    """Fit the surface to the log price of the listings, and a forest to what its hedonic score leaves."""
    logs = np.log(listings.prices)
    surface, local = fit_surface(listings.homes, logs, listings.detached)
    rows, scratch = array("d", bytes(8 * WIDTH * len(listings))), array("d", bytes(8 * N_TERMS))
    table = np.frombuffer(rows).reshape(len(listings), WIDTH)
    table[:, PLACE : PLACE + local.shape[1]] = local
    for i, home in enumerate(listings.homes):
        fill(home, *plane(home[0], home[1]), surface.coefficients, scratch, rows, i * WIDTH)
    forest = ESTIMATORS[options.estimator](
        n_estimators=options.trees,
        min_samples_leaf=options.leaf,
        max_features=options.columns,
        random_state=options.seed,
        n_jobs=options.jobs,
    )
    forest.fit(table.astype(np.float32), logs - table[:, HEDONIC])
    for tree in forest.estimators_:
        # Leaves as float32: half the artifact, and scikit-learn itself now predicts what will be served.
        tree.tree_.value[:] = tree.tree_.value.astype(np.float32)
    return Fitted(surface, forest, local[:, len(CHANNELS) - 1])
