"""What is odd about a home is said, by field; what is ordinary is not. Asked of the model that ships."""

from typing import Any

import pytest

from app.model import Model
from app.schemas import Formulario
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load((ROOT / "app" / "embedded" / "model.safetensors").read_bytes())


def named(model: Model, home: dict[str, Any]) -> set[str]:
    (estimate,) = model.price([Formulario.model_validate(home).home()])
    assert all(caution["mensaje"] for caution in estimate["avisos"])
    return {caution["campo"] for caution in estimate["avisos"]}


def test_an_ordinary_flat_raises_nothing(model: Model, home: dict[str, Any]) -> None:
    assert named(model, home) == set()
    assert named(model, home | {"antiguedad": None, "superficie_util": None, "condicion": None}) == set()


@pytest.mark.parametrize(
    ("place", "latitude", "longitude"),
    [
        ("Barcelona", 41.3874, 2.1686),
        ("Toledo", 39.8628, -4.0273),
        ("Segovia", 40.9429, -4.1088),
        ("Peñalara, the sierra", 40.8500, -3.9560),
        ("Monte de El Pardo", 40.5400, -3.8000),
        ("Casa de Campo, amid the park", 40.4200, -3.7600),
        ("fields south of Titulcia", 40.1200, -3.5500),
        ("the sea", 0.0, 0.0),
    ],
)
def test_where_there_are_no_homes_to_learn_from_it_says_so(
    model: Model, home: dict[str, Any], place: str, latitude: float, longitude: float
) -> None:
    assert "latitud" in named(model, home | {"latitud": latitude, "longitud": longitude}), place


@pytest.mark.parametrize(
    ("place", "latitude", "longitude"),
    [
        ("Puerta del Sol", 40.4168, -3.7038),
        ("Aranjuez", 40.0330, -3.6030),
        ("Alcalá de Henares", 40.4820, -3.3640),
        ("Navacerrada", 40.7290, -4.0150),
        ("Móstoles", 40.3220, -3.8650),
    ],
)
def test_towns_with_listings_are_covered(
    model: Model, home: dict[str, Any], place: str, latitude: float, longitude: float
) -> None:
    assert "latitud" not in named(model, home | {"latitud": latitude, "longitud": longitude}), place


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"surface": 5000, "superficie_util": None}, "surface"),
        ({"surface": 10, "superficie_util": None}, "surface"),
        ({"baños": 0}, "baños"),
        ({"baños": 40}, "baños"),
        ({"habitaciones": 60}, "habitaciones"),
        ({"superficie_util": 120}, "superficie_util"),
        ({"superficie_util": 10}, "superficie_util"),
        ({"surface": 900, "habitaciones": 1, "superficie_util": None}, "habitaciones"),
        ({"surface": 900, "baños": 1, "superficie_util": None}, "baños"),
    ],
)
def test_a_size_or_a_count_that_the_listings_lack_is_named(
    model: Model, home: dict[str, Any], change: dict[str, Any], field: str
) -> None:
    assert field in named(model, home | change)


def test_an_old_house_is_nothing_odd(model: Model, home: dict[str, Any]) -> None:
    assert "antiguedad" not in named(model, home | {"antiguedad": 150})


def test_where_the_trees_disagree_the_price_itself_is_named(model: Model, home: dict[str, Any]) -> None:
    farm = home | {"latitud": 40.95, "longitud": -3.62, "surface": 1200, "baños": 9, "habitaciones": 3}

    assert "precio" in named(model, farm | {"superficie_util": None})
