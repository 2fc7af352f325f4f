"""What training can be told; apart from `training.fit`, so that the command line needs no scikit-learn to say so."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of forest that can be fitted; the kernel serves both."""

    RANDOM_FOREST = "random-forest"
    EXTRA_TREES = "extra-trees"


@dataclass(frozen=True)
class Options:
    """What `fit` can be told. The defaults are the shipped model's; docs/decisions.md has the figures behind them."""

    estimator: Kind = Kind.EXTRA_TREES
    trees: int = 80
    leaf: int = 2
    """Fewest listings in a leaf."""
    columns: float = 0.6
    """Share of the columns tried at each split."""
    seed: int = 0
    jobs: int = 2
