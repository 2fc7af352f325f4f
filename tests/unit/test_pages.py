"""The pages and the price map behind them, through HTTP requests."""

import re
from typing import Any, NamedTuple

import pytest
from fastapi.testclient import TestClient

from app.api import create_app
from app.model import Model
from training.data import Listings
from training.options import Options
from training.recipe import train


class Served(NamedTuple):
    model: Model
    origin: str = "embedded"


class Source:
    """A source whose model can be changed under way, as a refresh does."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def current(self) -> Served:
        return Served(self.model)


@pytest.fixture(scope="module")
def source(small_model: Model) -> Source:
    return Source(small_model)


@pytest.fixture(scope="module")
def client(source: Source) -> TestClient:
    return TestClient(create_app(source))


@pytest.fixture(scope="module")
def price_map(client: TestClient) -> dict[str, Any]:
    answer: dict[str, Any] = client.get("/estimar/superficie.json").json()
    return answer


def centres(grid: dict[str, Any]) -> list[tuple[float, float]]:
    height = (grid["norte"] - grid["sur"]) / grid["filas"]
    width = (grid["este"] - grid["oeste"]) / grid["columnas"]
    return [
        (grid["norte"] - (row + 0.5) * height, grid["oeste"] + (column + 0.5) * width)
        for row in range(grid["filas"])
        for column in range(grid["columnas"])
    ]


@pytest.mark.parametrize("grid", [0, 1])
def test_each_cell_of_the_price_map_is_what_the_api_answers_for_the_reference_home_there(
    client: TestClient, price_map: dict[str, Any], grid: int
) -> None:
    rejilla = price_map["rejillas"][grid]
    home = price_map["vivienda"]
    places = centres(rejilla)
    assert len(rejilla["euros_m2"]) == len(places)
    chosen = range(0, len(places), max(1, len(places) // 60))

    answer = client.post(
        "/predecir/lote",
        json={"viviendas": [home | {"latitud": places[i][0], "longitud": places[i][1]} for i in chosen]},
    ).json()

    for i, estimate in zip(chosen, answer["predicciones"], strict=True):
        warned = {aviso["campo"] for aviso in estimate["avisos"]} & {"latitud", "longitud"}
        assert rejilla["euros_m2"][i] == (None if warned else round(estimate["precio"] / home["surface"]))


def test_the_price_map_has_cells_with_a_price_and_is_finer_in_the_city(price_map: dict[str, Any]) -> None:
    region, city = price_map["rejillas"]
    assert any(region["euros_m2"])
    assert any(city["euros_m2"])
    assert (city["norte"] - city["sur"]) / city["filas"] < (region["norte"] - region["sur"]) / region["filas"]


def test_the_price_map_is_sent_again_only_when_the_model_has_changed(client: TestClient, source: Source) -> None:
    first = client.get("/estimar/superficie.json")
    assert first.headers["cache-control"] == "no-cache"

    unchanged = client.get("/estimar/superficie.json", headers={"if-none-match": first.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_a_new_model_brings_a_new_price_map(listings: Listings, small_model: Model) -> None:
    source = Source(small_model)
    client = TestClient(create_app(source))
    before = client.get("/estimar/superficie.json")

    source.model = Model.load(train(listings, Options(trees=3, jobs=1), year=2020, source="made up").data)
    after = client.get("/estimar/superficie.json", headers={"if-none-match": before.headers["etag"]})

    assert after.status_code == 200
    assert after.json()["modelo"] == source.model.version != before.json()["modelo"]


def test_the_page_has_a_strict_policy_and_nothing_inline(client: TestClient) -> None:
    page = client.get("/estimar")
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert re.findall(r"https?:[^ ;]+", policy) == ["https://tile.openstreetmap.org"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page.text)
    assert not re.search(r"""(?:src|href)=["'](?:https?:|/)""", page.text)  # every address is relative


def test_browsers_keep_the_files_of_this_version_for_ever_and_those_of_no_other(client: TestClient) -> None:
    addresses = re.findall(r'(?:src|href)="(estaticos/[^"]+)"', client.get("/estimar").text)
    assert len(addresses) > 4
    for address in addresses:
        answer = client.get(f"/{address}")
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["cache-control"]
        other = client.get("/" + re.sub(r"/v/[0-9a-f]+/", "/v/0123456789ab/", address))
        assert other.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("library", ["leaflet", "papaparse"])
def test_vendored_libraries_keep_their_licences(client: TestClient, library: str) -> None:
    assert "Copyright" in client.get(f"/estaticos/vendor/{library}/LICENSE").text


@pytest.mark.parametrize("path", ["/estaticos/../api.py", "/estaticos/v/x/..%2f..%2f..%2fapi.py", "/estaticos/"])
def test_nothing_outside_the_pages_files_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404
