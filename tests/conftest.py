"""Parts that every test may use: made-up listings, and a small model fitted to them by the real training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from app.model import Model
from training.data import Listings, read
from training.options import Options
from training.recipe import Trained, train

ROOT = Path(__file__).parent.parent


def made_up_listings(n: int = 600, seed: int = 7) -> pd.DataFrame:
    """Listings of a city that doesn't exist, whose prices follow a simple rule with noise."""
    rng = np.random.default_rng(seed)
    surface = rng.uniform(30, 250, n).round(0)
    condition = rng.choice(["A reformar", "En buen estado", "Reformado", "A estrenar"], n)
    latitude, longitude = rng.normal(40.42, 0.05, n).round(5), rng.normal(-3.70, 0.05, n).round(5)
    price = surface * np.exp(8.1 - 6 * np.hypot(latitude - 40.42, longitude + 3.70) + rng.normal(0, 0.15, n))
    table = pd.DataFrame(
        {
            "latitud": latitude,
            "longitud": longitude,
            "surface": surface,
            "baños": 1 + (surface > 90) + (surface > 160),
            "habitaciones": 1 + (surface // 40).astype(int),
            "jardin": rng.random(n) < 0.2,
            "antiguedad": rng.choice([0.0, 5.0, 10.0, 20.0, 30.0, 50.0], n),
            "superficie_util": (surface * 0.85).round(0),
            "ascensor": rng.random(n) < 0.6,
            "garaje": rng.random(n) < 0.4,
            "condicion": condition,
            "precio": price.round(-3),
            "municipio": rng.choice(["Madrid Capital", "Getafe"], n),
            "tipo": rng.choice(["Piso", "Chalet"], n),
        }
    )
    table.loc[rng.random(n) < 0.5, "antiguedad"] = np.nan
    table.loc[rng.random(n) < 0.5, "superficie_util"] = np.nan
    table.loc[rng.random(n) < 0.2, "condicion"] = None
    return table


@pytest.fixture(scope="session")
def listings(tmp_path_factory: pytest.TempPathFactory) -> Listings:
    path = tmp_path_factory.mktemp("listings") / "listings.csv"
    made_up_listings().to_csv(path, index=False)
    return read(path)


@pytest.fixture(scope="session")
def trained(listings: Listings) -> Trained:
    return train(listings, Options(trees=10, jobs=1), year=2020, source="made up")


@pytest.fixture(scope="session")
def small_model(trained: Trained) -> Model:
    return Model.load(trained.data)


@pytest.fixture
def home() -> dict[str, Any]:
    """A home that every model here knows the like of."""
    loaded: dict[str, Any] = json.loads((ROOT / "examples" / "vivienda.json").read_text())
    return loaded
