"""What the schemas take and what they refuse, for homes that hypothesis makes up."""

import json
import math
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api import create_app
from app.features import FIELDS
from app.model import Model
from app.schemas import Condicion, Formulario, FormularioConPrecio
from tests.unit.test_api import FixedSource

several = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

areas = st.floats(0, 1e6, exclude_min=True) | st.integers(1, 10**6)
counts = st.integers(0, 1_000) | st.integers(0, 1_000).map(float)
RIGHT = {
    "latitud": st.floats(-90, 90) | st.integers(-90, 90),
    "longitud": st.floats(-180, 180) | st.integers(-180, 180),
    "surface": areas,
    "baños": counts,
    "habitaciones": counts,
    "jardin": st.booleans(),
    "antiguedad": st.none() | st.floats(0, 3_000) | st.integers(0, 3_000),
    "superficie_util": st.none() | areas,
    "ascensor": st.booleans(),
    "garaje": st.booleans(),
    "condicion": st.none() | st.sampled_from([*Condicion]).map(str),
}
OPTIONAL = {"antiguedad", "superficie_util", "condicion"}
homes = st.fixed_dictionaries(
    {name: values for name, values in RIGHT.items() if name not in OPTIONAL},
    optional={name: RIGHT[name] for name in OPTIONAL},
)
prices = st.floats(1, 1e12)


def beyond(low: float, high: float, low_too: bool = False) -> st.SearchStrategy[Any]:
    """Numbers on the wrong side of a limit, near it and as far as JSON can say."""
    below = st.floats(max_value=low, exclude_max=not low_too, allow_infinity=False) | st.integers(
        max_value=int(low) - 1
    )
    above = st.floats(high, exclude_min=True, allow_infinity=False) | st.integers(int(high) + 1, 10**400)
    return below | above


no_number: st.SearchStrategy[Any] = (
    st.text(max_size=5) | st.booleans() | st.lists(st.integers(), max_size=2) | st.just({})
)
no_truth: st.SearchStrategy[Any] = (
    st.text(max_size=5) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.just([])
)
broken_floats = st.floats(0, 1_000).filter(lambda value: not value.is_integer())
WRONG = {
    "latitud": no_number | st.none() | beyond(-90, 90),
    "longitud": no_number | st.none() | beyond(-180, 180),
    "surface": no_number | st.none() | beyond(0, 1e6, low_too=True),
    "baños": no_number | st.none() | beyond(0, 1_000) | broken_floats,
    "habitaciones": no_number | st.none() | beyond(0, 1_000) | broken_floats,
    "jardin": no_truth | st.none(),
    "antiguedad": no_number | beyond(0, 3_000),
    "superficie_util": no_number | beyond(0, 1e6, low_too=True),
    "ascensor": no_truth | st.none(),
    "garaje": no_truth | st.none(),
    "condicion": st.text(max_size=5) | st.integers() | st.booleans() | st.just([]),
    "otro": st.none() | st.integers() | st.text(max_size=5),
}
mistakes = st.sampled_from(sorted(WRONG)).flatmap(lambda name: st.tuples(st.just(name), WRONG[name]))


@pytest.fixture(scope="module")
def client(small_model: Model) -> TestClient:
    return TestClient(create_app(FixedSource(small_model)))


def numbers(content: Any) -> list[float]:
    """Every number in an answer."""
    if isinstance(content, dict | list):
        return [
            number for part in (content.values() if isinstance(content, dict) else content) for number in numbers(part)
        ]
    return [content] if isinstance(content, float | int) else []


@several
@given(homes, homes)
def test_any_home_that_the_schema_takes_is_priced_and_explained_in_finite_numbers(
    client: TestClient, home: dict[str, Any], other: dict[str, Any]
) -> None:
    priced = client.post("/predecir", json=home).json()
    explained = client.post("/explicar", json=home, params={"referencia": json.dumps(other)}).json()

    assert all(map(math.isfinite, numbers([priced, explained])))
    assert 0 < priced["intervalo"]["inferior"] <= priced["precio"] <= priced["intervalo"]["superior"]
    assert explained["precio"] == priced["precio"]


@several
@given(st.lists(st.tuples(homes, prices), min_size=1, max_size=5))
def test_any_homes_with_prices_are_evaluated_in_finite_numbers(
    client: TestClient, listings: list[tuple[dict[str, Any], float]]
) -> None:
    answer = client.post("/evaluar", json={"viviendas": [home | {"precio": price} for home, price in listings]})

    assert answer.status_code == 200
    assert all(map(math.isfinite, numbers(answer.json())))


@several
@given(homes, mistakes)
def test_one_field_that_is_wrong_is_named_and_no_other(
    client: TestClient, home: dict[str, Any], mistake: tuple[str, Any]
) -> None:
    name, value = mistake

    answer = client.post("/predecir", json=home | {name: value})

    assert answer.status_code == 422
    assert [problem["loc"] for problem in answer.json()["detail"]] == [["body", name]]


@several
@given(homes, st.sampled_from(sorted(set(RIGHT) - OPTIONAL)))
def test_one_field_that_is_missing_is_named_and_no_other(client: TestClient, home: dict[str, Any], name: str) -> None:
    del home[name]

    answer = client.post("/predecir", json=home)

    assert [(problem["loc"], problem["type"]) for problem in answer.json()["detail"]] == [(["body", name], "missing")]


@several
@given(homes, prices)
def test_what_is_taken_comes_out_as_it_went_in_and_is_taken_again(home: dict[str, Any], price: float) -> None:
    taken = FormularioConPrecio.model_validate_json(json.dumps(home | {"precio": price}))

    assert FormularioConPrecio.model_validate_json(taken.model_dump_json()) == taken
    assert taken.model_dump(mode="json") == dict.fromkeys(OPTIONAL) | home | {"precio": price}


@several
@given(homes)
def test_a_whole_number_means_the_same_with_a_point_and_without(home: dict[str, Any]) -> None:
    def written(value: Any, kind: type) -> Any:
        whole = type(value) in (int, float) and float(value).is_integer()
        return kind(value) if whole else value

    with_points = Formulario.model_validate({name: written(value, float) for name, value in home.items()})
    without = Formulario.model_validate({name: written(value, int) for name, value in home.items()})

    assert with_points.home() == without.home()
    assert [type(value) for value in with_points.home()] == [type(value) for value in without.home()]
    assert dict(zip(FIELDS, with_points.home(), strict=True)) == dict.fromkeys(OPTIONAL) | home
