"""Listings -> a fitted forest: features, estimator and its settings."""

from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestRegressor

from app.features import NAMES, Home, features
from training.data import Listings

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """What `fit` can be told. The defaults are the shipped model's; docs/decisions.md has the figures behind them."""

    trees: int = 100
    leaf: int = 3
    """Fewest listings in a leaf."""
    columns: float = 0.5
    """Share of the columns tried at each split."""
    seed: int = 20230901
    jobs: int = 2


@dataclass(frozen=True)
class Fitted:
    """A forest and the features it reads."""

    forest: RandomForestRegressor

    def predict(self, homes: list[Home]) -> tuple[Floats, Floats]:
        """Mean and standard deviation over the trees of the log price, for each home."""
        rows = matrix(homes)
        leaves = np.array([tree.predict(rows.astype(np.float32)) for tree in self.forest.estimators_])
        return self.forest.predict(rows), leaves.std(axis=0)


def fit(listings: Listings, options: Options) -> Fitted:
    """Fit a forest to the log price of the listings."""
    forest = RandomForestRegressor(
        n_estimators=options.trees,
        min_samples_leaf=options.leaf,
        max_features=options.columns,
        random_state=options.seed,
        n_jobs=options.jobs,
    )
    forest.fit(matrix(listings.homes), np.log(listings.prices))
    for tree in forest.estimators_:
        # Leaves as float32: half the artifact, and scikit-learn itself now predicts what will be served.
        tree.tree_.value[:] = tree.tree_.value.astype(np.float32)
    return Fitted(forest)


def matrix(homes: list[Home]) -> Floats:
    """The rows of the homes: float64[n_homes, n_features]."""
    return np.array(list(chain.from_iterable(map(features, homes)))).reshape(len(homes), len(NAMES))
