"""A trained model, ready to price: artifact -> price, interval and warnings.

It knows neither HTTP nor AWS. A model never changes once loaded, so one answer can't mix two of them.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple, Self, TypeAlias

from app import artifact, description
from app.cautions import Cautions
from app.drift import tally
from app.errors import ArtifactError
from app.estimate import Calibration, Estimate, estimates, euro
from app.explain import contributions
from app.features import FIELDS, HEDONIC, NAMES, WIDTH, Home, matrix, reach
from app.forest import COMPILED, Forest
from app.surface import PriceSurface

SCHEMA = "madrid-price/1"
VERSION_DIGITS = 12
Segments: TypeAlias = dict[str, list[int]]
A_CENT = 0.0101
FARTHEST = 300.0
"""How far from 0 a log price or a bound of its interval may get: the squares of such prices are numbers still."""


class Explanation(NamedTuple):
    """What each player adds to the difference between a home's price and the reference's; all in euro."""

    precio: float
    referencia: float
    contribuciones: dict[str, float]


class Model:
    """The served model. Build it with `Model.load`."""

    core = "compilado" if COMPILED else "python"

    def __init__(self, version: str, metadata: dict[str, Any], forest: Forest, surface: PriceSurface) -> None:
        self.version = version
        self.metadata = metadata
        self._forest = forest
        self._surface = surface
        self.reference = _home(metadata["reference"])
        self._ranges: dict[str, list[float]] = metadata["ranges"]
        self._cautions = Cautions(metadata)
        self._bands: dict[str, list[float]] = metadata["bands"]
        interval = metadata.get("interval")
        self._calibration = None if interval is None else Calibration(interval)

    @classmethod
    def load(cls, data: bytes, *, sha256: str | None = None, replay: bool = True) -> Self:
        """Read an artifact, check it and replay its golden rows. Training alone loads without the replay.

        sha256: its digest in hex, when the caller has just computed it.

        Raises:
            ArtifactError: the file is damaged, foreign or of another schema, or doesn't price as it did when
                it was trained.
        """
        content = artifact.read(data)
        metadata = content.metadata
        if metadata.get("schema") != SCHEMA or metadata.get("features") != list(NAMES):
            raise ArtifactError(
                f"The model has schema {metadata.get('schema')!r}; this version serves {SCHEMA!r} "
                "with its own features. Train it again with this version."
            )
        description.check(metadata)
        forest = content.forest(metadata["ensembles"][0], len(NAMES))
        version = sha256[:VERSION_DIGITS] if sha256 else version_of(data)
        model = cls(version, metadata, forest, PriceSurface.read(content))
        if not model._farthest() <= FARTHEST:
            raise ArtifactError("The model holds numbers that no price is made of.")
        if replay:
            model._replay([(_home(row["vivienda"]), row["precio"]) for row in metadata["golden"]])
        return model

    def card(self) -> dict[str, Any]:
        """What is known about this model, in the contract's words."""
        return {
            "version": self.version,
            "nucleo": self.core,
            "arboles": self._forest.n_trees,
            "entrenamiento": self.metadata["evaluation"],
            "rangos": self._ranges,
            "datos": self.metadata["data"],
            "versiones": self.metadata["versions"],
        }

    def _replay(self, golden: list[tuple[Home, float]]) -> None:
        estimates = self.price([home for home, _ in golden])
        # A cent of room: the exponential's last bit is the C library's own.
        if not golden or any(
            abs(estimate["precio"] - expected) > A_CENT
            for estimate, (_, expected) in zip(estimates, golden, strict=True)
        ):
            raise ArtifactError("The model doesn't price its golden rows as it did when it was trained.")

    def _farthest(self) -> float:
        """How far from 0 a log price, or a bound of its interval, can get for any home."""
        farthest = reach(self._surface) + self._forest.reach
        interval = self.metadata.get("interval")
        if interval is not None:
            farthest += max(interval["factors"]) * (self._forest.reach + interval["floor"])
        return farthest

    def corrections(self, homes: Sequence[Home]) -> array[float]:
        """The forest's own answer, what scikit-learn's `predict` gives, bit for bit: log euro, to add to the score."""
        return self._forest.predict(matrix(homes, self._surface), len(homes))

    def price(self, homes: Sequence[Home]) -> list[Estimate]:
        """Price homes, in their order."""
        rows = matrix(homes, self._surface)
        corrections, spreads = self._forest.predict_spread(rows, len(homes))
        return estimates(rows, corrections, spreads, self._cautions, self._calibration)

    def tally(self, homes: Sequence[Home], estimates: Sequence[Estimate]) -> dict[str, int | list[int]]:
        """Counts that show how requests differ from the listings; they name no home."""
        prices, cautioned = [e["precio"] for e in estimates], [bool(e["avisos"]) for e in estimates]
        return tally(self._bands, homes, prices, cautioned)

    def segments(self, homes: Sequence[Home], real: Sequence[float], estimates: Sequence[Estimate]) -> Segments:
        """Which homes belong to which part of an evaluation: positions by name."""
        quintiles = [bisect_right(self._bands["precio"], price) for price in real]
        masks = {
            "completas": [None not in home for home in homes],
            "incompletas": [None in home for home in homes],
            "sin avisos": [not estimate["avisos"] for estimate in estimates],
            "con avisos": [bool(estimate["avisos"]) for estimate in estimates],
            **{f"quintil de precio {q + 1}": [q == quintile for quintile in quintiles] for q in range(5)},
        }
        return {name: [i for i, inside in enumerate(mask) if inside] for name, mask in masks.items() if any(mask)}

    def explain(self, home: Home, reference: Home) -> Explanation:
        """Say why a home doesn't cost what the reference does. Takes as long as pricing 1,024 homes."""
        return Explanation(*contributions(self._prices, home, reference))

    def _prices(self, homes: Sequence[Home]) -> list[float]:
        rows = matrix(homes, self._surface)
        corrections = self._forest.predict(rows, len(homes))
        return [euro(rows[i * WIDTH + HEDONIC] + correction) for i, correction in enumerate(corrections)]


def version_of(data: bytes) -> str:
    """The version of an artifact: the first digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:VERSION_DIGITS]


def _home(fields: dict[str, Any]) -> Home:
    return tuple(fields[name] for name in FIELDS)
