"""A home becomes the same row of floats in either build, and whatever is unknown stays unknown."""

import math
import random
from array import array
from types import ModuleType

import pytest

import app.features
import app.surface
from app.artifact import read
from app.features import NAMES, WIDTH, Home
from tests.conftest import ROOT

ARTIFACT = read((ROOT / "app" / "embedded" / "model.safetensors").read_bytes())


def homes(n: int) -> list[Home]:
    """Homes all over the region, beyond it, and with unknown fields."""
    rng = random.Random(11)
    condition = [None, "A reformar", "Reformado", "A estrenar", "En buen estado"]
    return [
        (
            rng.uniform(39.7, 41.3),
            rng.uniform(-4.7, -3.0),
            math.exp(rng.uniform(2, 8)),
            rng.randrange(8),
            rng.randrange(10),
            rng.random() < 0.5,
            rng.choice([None, 0.0, 4.9, 5.0, 17.0, 120.0]),
            rng.choice([None, rng.uniform(10, 500)]),
            rng.random() < 0.5,
            rng.random() < 0.5,
            rng.choice(condition),
        )
        for _ in range(n)
    ]


@pytest.mark.skipif(
    app.features.__file__.endswith(".py") or app.surface.__file__.endswith(".py"),
    reason="app.features and app.surface are not compiled here; `make kernel` does it where there is a C compiler",
)
def test_both_builds_give_the_same_float64s(plain_features: ModuleType, plain_surface: ModuleType) -> None:
    some = homes(2000)

    compiled = app.features.matrix(some, app.surface.PriceSurface.read(ARTIFACT))
    plain = plain_features.matrix(some, plain_surface.PriceSurface.read(ARTIFACT))

    assert compiled.tobytes() == plain.tobytes()


def test_what_is_unknown_is_nan_and_nothing_else_is() -> None:
    known = (40.42, -3.70, 90.0, 1, 2, False, 17.0, 80.0, True, False, "Reformado")
    unknown = (*known[:6], None, None, True, False, None)
    surface = app.surface.PriceSurface.read(ARTIFACT)

    rows = app.features.matrix([known, unknown], surface)

    assert not any(map(math.isnan, rows[:WIDTH]))
    missing = {name for name, value in zip(NAMES, rows[WIDTH:], strict=True) if math.isnan(value)}
    assert missing == {"antiguedad", "superficie_util", "condicion", "util_por_construido"}


@pytest.mark.parametrize(
    ("years", "band"), [(0, 0), (4.9, 0), (5, 5), (17, 10), (29, 20), (30, 30), (49, 30), (300, 50)]
)
def test_an_age_is_floored_to_the_band_of_the_listings(years: float, band: float) -> None:
    assert app.features.age_band(years) == band


def test_the_surface_is_continuous_where_a_block_ends_at_another() -> None:
    surface = app.surface.PriceSurface.read(ARTIFACT)
    grid = surface.grids[0]
    edge = grid.west + 8 * grid.spacing * round(-grid.west / (8 * grid.spacing))  # nearest to the Puerta del Sol

    west, east = array("d", bytes(96)), array("d", bytes(96))
    surface.fill(edge - 1e-9, 0.0, west, 0)
    surface.fill(edge + 1e-9, 0.0, east, 0)

    assert west.tolist() == pytest.approx(east.tolist(), abs=1e-6)
