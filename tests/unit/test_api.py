"""The contract, through HTTP requests to the application around a small model."""

import json
import math
from typing import Any, NamedTuple

import pytest
from fastapi.testclient import TestClient

from app.api import create_app
from app.errors import ModelUnavailable
from app.model import Model


class Served(NamedTuple):
    model: Model
    origin: str


class FixedSource:
    """A source that always gives the same model, or none."""

    def __init__(self, model: Model | None) -> None:
        self._model = model

    @property
    def current(self) -> Served:
        if self._model is None:
            raise ModelUnavailable("No hay ningún modelo cargado.")
        return Served(self._model, "embedded")


@pytest.fixture(scope="module")
def client(small_model: Model) -> TestClient:
    return TestClient(create_app(FixedSource(small_model)))


def post(client: TestClient, path: str, body: str) -> Any:
    return client.post(path, content=body.encode(), headers={"content-type": "application/json"})


def test_the_root_greets_as_the_tutorial_does(client: TestClient) -> None:
    assert client.get("/").json() == {"Hola": "Mundo"}


def test_a_home_gets_a_price_its_interval_and_the_version_that_priced_it(
    client: TestClient, small_model: Model, home: dict[str, Any]
) -> None:
    answer = client.post("/predecir", json=home)

    assert answer.status_code == 200
    priced = answer.json()
    assert list(priced) == ["precio", "intervalo", "avisos", "timestamp", "modelo"]
    assert priced["intervalo"]["inferior"] < priced["precio"] < priced["intervalo"]["superior"]
    assert priced["intervalo"]["confianza"] == 0.9
    assert priced["modelo"] == small_model.version


def test_a_model_without_calibration_gives_no_interval(trained: Any, home: dict[str, Any]) -> None:
    model = Model.load(trained.data)
    model = Model(model.version, model.metadata | {"interval": None}, model._forest, model._surface)

    answer = TestClient(create_app(FixedSource(model))).post("/predecir", json=home)

    assert answer.json()["intervalo"] is None


def test_unknown_and_left_out_optional_fields_mean_the_same(client: TestClient, home: dict[str, Any]) -> None:
    optional = ("antiguedad", "superficie_util", "condicion")
    unknown = home | dict.fromkeys(optional)
    left_out = {name: value for name, value in home.items() if name not in optional}

    assert (
        client.post("/predecir", json=unknown).json()["precio"]
        == client.post("/predecir", json=left_out).json()["precio"]
    )


@pytest.mark.parametrize("name", ["banos", "ban\u0303os"])
def test_other_spellings_of_baños_are_the_same_field(client: TestClient, home: dict[str, Any], name: str) -> None:
    spelt = {name if field == "baños" else field: value for field, value in home.items()}

    assert client.post("/predecir", json=spelt).json()["precio"] == client.post("/predecir", json=home).json()["precio"]


def test_a_batch_is_priced_in_order_and_like_single_homes(client: TestClient, home: dict[str, Any]) -> None:
    homes = [home | {"surface": surface} for surface in (200, 40, 96)]

    batch = client.post("/predecir/lote", json={"viviendas": homes}).json()

    singles = [client.post("/predecir", json=one).json()["precio"] for one in homes]
    assert [one["precio"] for one in batch["predicciones"]] == singles
    assert list(batch) == ["predicciones", "modelo", "timestamp"]


def test_a_thousand_homes_fit_and_one_more_does_not(client: TestClient, home: dict[str, Any]) -> None:
    assert client.post("/predecir/lote", json={"viviendas": [home] * 1000}).status_code == 200
    refused = client.post("/predecir/lote", json={"viviendas": [home] * 1001})
    assert refused.status_code == 413
    assert "1000" in refused.json()["detail"]


def test_evaluation_measures_the_distance_to_real_prices(client: TestClient, home: dict[str, Any]) -> None:
    homes = [home, home | {"surface": 150}]
    prices = [one["precio"] for one in client.post("/predecir/lote", json={"viviendas": homes}).json()["predicciones"]]

    off_by = [
        one | {"precio": price * factor} for one, price, factor in zip(homes, prices, (1 / 1.05, 1 / 1.15), strict=True)
    ]
    figures = client.post("/evaluar", json={"viviendas": off_by}).json()

    errors = [prices[0] - prices[0] / 1.05, prices[1] - prices[1] / 1.15]
    assert figures["n"] == 2
    assert figures["mae"] == pytest.approx(sum(errors) / 2)
    assert figures["rmse"] == pytest.approx(math.sqrt(sum(error**2 for error in errors) / 2))
    assert figures["mape"] == pytest.approx(0.10)
    assert figures["medape"] == pytest.approx(0.10)
    assert (figures["dentro_10"], figures["dentro_20"]) == (0.5, 1.0)


def test_evaluation_gives_the_figures_of_each_part_too(client: TestClient, home: dict[str, Any]) -> None:
    known, unknown = home | {"precio": 200_000}, home | {"precio": 400_000, "antiguedad": None}

    parts = client.post("/evaluar", json={"viviendas": [known, known, unknown]}).json()["segmentos"]

    alone = client.post("/evaluar", json={"viviendas": [unknown]}).json()
    assert (parts["completas"]["n"], parts["incompletas"]["n"]) == (2, 1)
    assert parts["incompletas"]["mae"] == alone["mae"]
    assert sum(part["n"] for name, part in parts.items() if name.startswith("quintil")) == 3


def test_evaluation_of_equal_prices_has_no_r2(client: TestClient, home: dict[str, Any]) -> None:
    answer = client.post("/evaluar", json={"viviendas": [home | {"precio": 100_000}] * 2})

    assert answer.json()["r2"] is None


def test_health_and_card_name_the_model_and_its_origin(client: TestClient, small_model: Model) -> None:
    assert client.get("/salud").json() == {"estado": "ok", "modelo": small_model.version, "origen": "embedded"}
    card = client.get("/modelo").json()
    assert (card["version"], card["origen"], card["datos"]["año"]) == (small_model.version, "embedded", 2020)
    assert card["rangos"]["surface"][0] >= 30
    assert card["entrenamiento"]["todas"]["n"] == 600


def test_without_a_model_every_price_is_a_clean_503(home: dict[str, Any]) -> None:
    client = TestClient(create_app(FixedSource(None)))

    for answer in (client.post("/predecir", json=home), client.get("/salud"), client.get("/modelo")):
        assert answer.status_code == 503
        assert answer.json() == {"detail": "No hay ningún modelo cargado."}


@pytest.mark.parametrize(
    ("change", "field", "kind"),
    [
        ({"surface": None}, "surface", "float_type"),
        ({"surface": "96"}, "surface", "float_type"),
        ({"surface": True}, "surface", "float_type"),
        ({"surface": 0}, "surface", "greater_than"),
        ({"surface": -5}, "surface", "greater_than"),
        ({"superficie_util": 0}, "superficie_util", "greater_than"),
        ({"baños": 2.5}, "baños", "int_type"),
        ({"baños": -1}, "baños", "greater_than_equal"),
        ({"baños": 10**400}, "baños", "less_than_equal"),
        ({"habitaciones": "3"}, "habitaciones", "int_type"),
        ({"jardin": 1}, "jardin", "bool_type"),
        ({"ascensor": "true"}, "ascensor", "bool_type"),
        ({"antiguedad": -1}, "antiguedad", "greater_than_equal"),
        ({"latitud": 90.1}, "latitud", "less_than_equal"),
        ({"longitud": -180.1}, "longitud", "greater_than_equal"),
        ({"condicion": "Como nueva"}, "condicion", "enum"),
        ({"acensor": True}, "acensor", "extra_forbidden"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_never_echoed(
    client: TestClient, home: dict[str, Any], change: dict[str, Any], field: str, kind: str
) -> None:
    answer = client.post("/predecir", json=home | change)

    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert (problem["loc"], problem["type"]) == (["body", field], kind)
    assert set(problem) == {"loc", "msg", "type"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_finite_number_is_refused(client: TestClient, home: dict[str, Any], number: str) -> None:
    answer = post(client, "/predecir", json.dumps(home).replace("96", number))

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["type"] == "finite_number"


def test_a_missing_field_is_named(client: TestClient, home: dict[str, Any]) -> None:
    del home["surface"]

    answer = client.post("/predecir", json=home)

    assert answer.json()["detail"] == [
        {"loc": ["body", "surface"], "msg": "Falta, y es obligatorio.", "type": "missing"}
    ]


def test_a_bad_home_in_a_batch_is_named_by_its_index(client: TestClient, home: dict[str, Any]) -> None:
    answer = client.post("/predecir/lote", json={"viviendas": [home, home | {"surface": 0}]})

    assert answer.json()["detail"][0]["loc"] == ["body", "viviendas", 1, "surface"]


@pytest.mark.parametrize(
    "body",
    ["", "{", "null", "[]", '"casa"', "{}}", "\ufeff{}", "[" * 100_000, '{"latitud": "\\ud800"}', "'"],
    ids=["empty", "cut", "null", "list", "text", "trailing", "bom", "depth bomb", "surrogate", "quote"],
)
def test_a_body_that_is_no_home_is_refused_with_a_reason(client: TestClient, body: str) -> None:
    answer = post(client, "/predecir", body)

    assert answer.status_code == 422
    assert all(problem["msg"] for problem in answer.json()["detail"])


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_body_in_another_encoding_is_refused(client: TestClient, home: dict[str, Any], encoding: str) -> None:
    body = json.dumps(home, ensure_ascii=False).encode(encoding)

    answer = client.post("/predecir", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["type"] == "json_invalid"


@pytest.mark.parametrize("media_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_another_content_type_is_refused(client: TestClient, home: dict[str, Any], media_type: str | None) -> None:
    headers = {"content-type": media_type} if media_type else {}

    answer = client.post("/predecir", content=json.dumps(home).encode(), headers=headers)

    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]


def test_a_content_type_may_carry_a_charset(client: TestClient, home: dict[str, Any]) -> None:
    headers = {"content-type": "application/json; charset=utf-8"}

    assert client.post("/predecir", content=json.dumps(home).encode(), headers=headers).status_code == 200


def test_a_body_over_the_limit_is_refused(client: TestClient) -> None:
    answer = post(client, "/predecir", " " * (6 * 1024 * 1024 + 1))

    assert answer.status_code == 413
    assert "6 MB" in answer.json()["detail"]


def test_a_failure_answers_500_with_the_request_id_and_nothing_else(
    small_model: Model, home: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError("a detail that is nobody's business")

    monkeypatch.setattr(small_model, "price", fail)

    answer = TestClient(create_app(FixedSource(small_model))).post("/predecir", json=home)

    assert answer.status_code == 500
    assert list(answer.json()) == ["detail"]
    assert answer.headers["x-request-id"] in answer.json()["detail"]
    assert "business" not in answer.text
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert vars(line)["exception"] == "RuntimeError"
    assert vars(line)["frames"][-1].endswith(" fail")
    assert "business" not in caplog.text + str(vars(line))


def test_unknown_routes_and_methods_say_where_to_look(client: TestClient) -> None:
    assert client.get("/precios").json() == {"detail": "Esta ruta no existe: en /docs están todas."}
    answer = client.get("/predecir")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_documentation_loads_nothing_from_elsewhere(client: TestClient, page: str) -> None:
    answer = client.get(page)

    assert answer.status_code == 200
    assert "//" not in answer.text.replace("<!doctype html>", "")
    for asset in [part.split('"')[0] for part in answer.text.split('src="')[1:] + answer.text.split('href="')[1:]]:
        assert client.get(f"/{asset}").status_code == 200


def test_every_field_is_documented_with_its_limits(client: TestClient) -> None:
    document = client.get("/openapi.json").json()

    fields = document["components"]["schemas"]["Formulario"]["properties"]
    assert all(field["description"] for field in fields.values())
    assert list(fields)[:4] == ["latitud", "longitud", "surface", "baños"]
    assert document["servers"] == [{"url": "."}]


ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "strict-transport-security": "max-age=31536000",
}
PAGES = ("/estimar", "/docs", "/redoc")


def answers_of_every_kind(client: TestClient, home: dict[str, Any]) -> list[Any]:
    """Each route of the OpenAPI document, the pages and their files, and each way to be refused."""
    bodies = {
        "/predecir": home,
        "/explicar": home,
        "/predecir/lote": {"viviendas": [home]},
        "/evaluar": {"viviendas": [home | {"precio": 1e5}]},
    }
    documented = [
        client.request(method, path, json=bodies.get(path))
        for path, methods in client.get("/openapi.json").json()["paths"].items()
        for method in methods
    ]
    gets = ["/openapi.json", "/estimar/superficie.json", "/estaticos/docs.js", "/estaticos/vendor/leaflet/LICENSE"]
    return [
        *documented,
        *(client.get(path) for path in (*PAGES, *gets, "/nada", "/estaticos/nada.js", "/predecir")),
        *(client.head(path) for path in ("/salud", "/estimar")),
        client.get("/estimar/superficie.json", headers={"if-none-match": f'"{documented[-1].json()["modelo"]}"'}),
        client.options("/predecir"),
        client.post("/predecir", content=b"casa"),
        client.post("/predecir", json=home | {"surface": 0}),
        post(client, "/predecir", " " * (6 * 1024 * 1024 + 1)),
    ]


def test_every_answer_carries_security_headers(client: TestClient, home: dict[str, Any], small_model: Model) -> None:
    answers = answers_of_every_kind(client, home)

    assert {200, 304, 404, 405, 413, 415, 422} == {answer.status_code for answer in answers}
    for answer in answers:
        assert ALWAYS.items() <= dict(answer.headers).items(), answer.request.url
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert policy.endswith("frame-ancestors 'none'")
        assert "cache-control" in answer.headers
        assert len(answer.headers.get_list("content-security-policy")) == 1


@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_for_nothing_of_the_device_and_stands_alone(client: TestClient, page: str) -> None:
    headers = client.get(page).headers

    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "geolocation=()" in headers["permissions-policy"]
    assert "base-uri 'none'; form-action 'none'" in headers["content-security-policy"]


def test_failures_and_preflights_carry_security_headers_too(
    small_model: Model, home: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = TestClient(create_app(FixedSource(small_model), ("https://pisos.example",)))
    asks = {"origin": "https://pisos.example", "access-control-request-method": "POST"}
    answers = [
        client.options("/predecir", headers=asks),
        client.options("/predecir", headers=asks | {"origin": "https://otra.example"}),
        TestClient(create_app(FixedSource(None))).post("/predecir", json=home),
    ]
    monkeypatch.setattr(small_model, "price", None)
    answers.append(client.post("/predecir", json=home, headers={"origin": "https://pisos.example"}))

    assert [answer.status_code for answer in answers] == [200, 400, 503, 500]
    assert answers[-1].headers["access-control-allow-origin"] == "https://pisos.example"
    for answer in answers:
        assert ALWAYS.items() <= dict(answer.headers).items()
    for answer in answers[2:]:
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_an_explanation_leads_from_the_reference_to_the_price(client: TestClient, home: dict[str, Any]) -> None:
    answer = client.post("/explicar", json=home).json()

    assert answer["precio"] == client.post("/predecir", json=home).json()["precio"]
    reference = answer["referencia"]
    assert reference["precio"] == client.post("/predecir", json=reference["vivienda"]).json()["precio"]
    assert list(answer["contribuciones"])[:2] == ["ubicacion", "surface"]
    assert sum(answer["contribuciones"].values()) == pytest.approx(answer["precio"] - reference["precio"], abs=0.01)


def test_two_homes_can_be_compared(client: TestClient, home: dict[str, Any]) -> None:
    other = home | {"surface": 60}

    answer = client.post("/explicar", params={"referencia": json.dumps(other)}, json=home).json()

    assert answer["referencia"] == {
        "precio": client.post("/predecir", json=other).json()["precio"],
        "vivienda": other,
    }
    changed = {player for player, euro in answer["contribuciones"].items() if euro}
    assert changed == {"surface"}


@pytest.mark.parametrize("reference", ["", "{", "null", "[]", '{"surface": 0}'])
def test_a_reference_that_is_no_home_is_refused(client: TestClient, home: dict[str, Any], reference: str) -> None:
    answer = client.post("/explicar", params={"referencia": reference}, json=home)

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:2] == ["query", "referencia"]


def test_a_page_of_a_permitted_origin_may_post_a_home_and_no_other_page_may(small_model: Model) -> None:
    client = TestClient(create_app(FixedSource(small_model), ("https://pisos.example",)))
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,x-api-key"}

    permitted = client.options("/predecir", headers={"origin": "https://pisos.example", **asks})
    refused = client.options("/predecir", headers={"origin": "https://otra.example", **asks})

    assert permitted.status_code == 200
    assert permitted.headers["access-control-allow-origin"] == "https://pisos.example"
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers


def test_every_route_documents_every_status_it_answers_and_the_headers_that_come_with_it(client: TestClient) -> None:
    routes = client.get("/openapi.json").json()["paths"]

    documented = {
        (method.upper(), path): operation["responses"]
        for path, operations in routes.items()
        for method, operation in operations.items()
    }
    always, without_model, of_a_body = {"200", "400", "500"}, {"503"}, {"413", "415", "422"}
    for (method, path), responses in documented.items():
        expected = always | (set() if path == "/" else without_model) | (of_a_body if method == "POST" else set())
        assert set(responses) == expected, path
        assert all(response["headers"]["X-Request-Id"]["required"] for response in responses.values())
        assert "503" not in responses or responses["503"]["headers"]["Retry-After"]["required"]
