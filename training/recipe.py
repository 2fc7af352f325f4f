"""Listings -> a model file: cross-validate, calibrate, fit, verify against scikit-learn, describe."""

import platform
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import sklearn

from app.cautions import RATIOS
from app.errors import ArtifactError
from app.features import FIELDS, NAMES, Home
from app.model import SCHEMA, Model
from training import artifact, surface
from training.data import Listings
from training.evaluate import FOLDS, OutOfFold, calibrate, cross_validate, report
from training.fit import DENSITY, Fitted, fit
from training.options import Options

STEPS = FOLDS + 1
GOLDEN_ROWS = 8
FIFTHS = [0.2, 0.4, 0.6, 0.8]
UNCOVERED = 0.005
"""Share of the listings that would themselves count as lying where there is nothing to learn from."""
RARE_RATIO = 0.001
"""Share of the listings beyond either end of a ratio's typical range."""
RARE_SPREAD = 0.01
"""Share of the listings, out of fold, whose trees disagree so much that a price says so."""
_FLAGS_AND_NAMES = ("jardin", "ascensor", "garaje", "condicion")


class Trained(NamedTuple):
    """An artifact that has been loaded once and found right."""

    data: bytes
    version: str
    evaluation: dict[str, dict[str, Any]]
    predicted: OutOfFold


def train(
    listings: Listings,
    options: Options,
    *,
    year: int,
    source: str,
    advance: Callable[[], None] = lambda: None,
) -> Trained:
    """Make a model from listings. `advance` is called `STEPS` times on the way.

    Raises:
        ArtifactError: the served kernel doesn't give scikit-learn's own float64s back; nothing may be published.
    """
    predicted = cross_validate(listings, options, advance)
    fitted = fit(listings, options)
    evaluation = report(listings, predicted)
    metadata: dict[str, Any] = {
        "schema": SCHEMA,
        "features": list(NAMES),
        "estimator": type(fitted.forest).__name__,
        "target": "log_precio - hedonico",
        "ensembles": [{"name": "forest"} | artifact.summation(fitted.forest)],
        "surface": surface.described(fitted.surface),
        "interval": calibrate(np.log(listings.prices), predicted),
        "ranges": ranges(listings.homes),
        "ratios": typical_ratios(listings.homes),
        "bands": {
            "surface": np.quantile([home[2] for home in listings.homes], FIFTHS).tolist(),
            "precio": np.quantile(listings.prices, FIFTHS).tolist(),
        },
        "coverage": {"column": DENSITY, "least": float(np.quantile(fitted.density, UNCOVERED))},
        "usual_spread": float(np.quantile(predicted.spread, 1 - RARE_SPREAD)),
        "reference": reference(listings.homes),
        "evaluation": evaluation,
        "data": {
            "filas": len(listings),
            "año": year,
            "fuente": source,
            "precio": "precio de oferta en euros; no es una tasación ni un precio de venta",
        },
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "golden": [],
    }
    tensors = artifact.tensors(fitted.forest, "forest") | surface.tensors(fitted.surface)
    # Without golden rows the artifact can't be served, only asked: by this function, to learn what they price.
    unproven = Model.load(artifact.serialize(tensors, metadata), replay=False)
    metadata["verified"] = {"scikit-learn": sklearn.__version__, "rows": _verify(unproven, fitted, listings)}
    golden = golden_homes(metadata["ranges"], options.seed)
    metadata["golden"] = [
        {"vivienda": dict(zip(FIELDS, home, strict=True)), "precio": estimate["precio"]}
        for home, estimate in zip(golden, unproven.price(golden), strict=True)
    ]
    data = artifact.serialize(tensors, metadata)
    version = Model.load(data).version
    advance()
    return Trained(data, version, evaluation, predicted)


def _verify(model: Model, fitted: Fitted, listings: Listings) -> int:
    """Hold the served kernel against scikit-learn, bit for bit, on every listing; return how many there were."""
    served = np.array(model.corrections(listings.homes))
    if served.tobytes() != fitted.forest.predict(fitted.matrix(listings.homes)).tobytes():
        raise ArtifactError("The kernel and scikit-learn disagree about this forest; it must not be served.")
    return len(listings)


def golden_homes(ranges: dict[str, list[float]], seed: int) -> list[Home]:
    """Made-up homes within the trained ranges, every other one with its optional fields unknown."""
    rng = np.random.default_rng(seed)
    homes: list[Home] = []
    for i in range(GOLDEN_ROWS):
        number = {name: round(float(rng.uniform(bounds[0], bounds[1])), 4) for name, bounds in ranges.items()}
        known = i % 2 == 0
        homes.append(
            (
                number["latitud"],
                number["longitud"],
                number["surface"],
                round(number["baños"]),
                round(number["habitaciones"]),
                bool(rng.integers(2)),
                number.get("antiguedad") if known else None,
                number.get("superficie_util") if known else None,
                bool(rng.integers(2)),
                bool(rng.integers(2)),
                "En buen estado" if known else None,
            )
        )
    return homes


def ranges(homes: list[Home]) -> dict[str, list[float]]:
    """The least and the greatest value of every numeric field."""
    found = {}
    for name, column in zip(FIELDS, zip(*homes, strict=True), strict=True):
        known = [value for value in column if value is not None]
        if name not in _FLAGS_AND_NAMES and known:
            found[name] = [float(min(known)), float(max(known))]
    return found


def typical_ratios(homes: list[Home]) -> dict[str, list[float]]:
    """The range of every ratio but for `RARE_RATIO` of the listings at either end."""
    found = {}
    for name, (_, _, over, under) in RATIOS.items():
        above, below = FIELDS.index(over), FIELDS.index(under)
        known: list[Any] = [home[above] / max(home[below], 1) for home in homes if home[above] is not None]  # type: ignore[operator,type-var]  # numbers
        if known:
            found[name] = np.quantile(known, [RARE_RATIO, 1 - RARE_RATIO]).tolist()
    return found


def reference(homes: list[Home]) -> dict[str, Any]:
    """The median home: the median of every number, the commonest of every other field."""
    home: dict[str, Any] = {}
    for name, column in zip(FIELDS, zip(*homes, strict=True), strict=True):
        known = [value for value in column if value is not None]
        if name in _FLAGS_AND_NAMES:
            home[name] = max(sorted(set(known)), key=known.count) if known else None
        else:
            home[name] = float(np.quantile(known, 0.5, method="lower")) if known else None
    return home
