"""What leaves the function beside prices: nothing that was sent to it, nothing that it holds, nothing pickled."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.types import Receive, Scope, Send

from app import observability
from app.events import Adapter
from app.middleware import Surroundings
from app.settings import Settings
from tests.conftest import ROOT
from tests.integration import servers
from tests.integration.conftest import Depot
from tests.integration.lives import Life, Lives, mortals
from tests.integration.models import ModelFile
from tests.integration.mortal import CONTEXT
from tests.integration.proxy import Fault, Proxy, Request

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAMARCADA7PRUEBA",
    "AWS_SECRET_ACCESS_KEY": "clave-marcada-de-prueba",
    "AWS_SESSION_TOKEN": "ficha-marcada-de-prueba",
    "DATABASE_PASSWORD": "otra-clave-marcada",
}
HOME: dict[str, Any] = {
    "latitud": 40.416797531,
    "longitud": -3.703791357,
    "surface": 97.31357913,
    "baños": 2,
    "habitaciones": 3,
    "jardin": False,
    "antiguedad": 28.64213579,
    "superficie_util": 83.97531864,
    "ascensor": True,
    "garaje": False,
    "condicion": "Reformado",
}
REFERENCE = HOME | {"surface": 61.84629731, "antiguedad": 11.73195842}
ASKED = 512_347.89
MARK = "MARCA"
NUMBERS = [home[name] for home in (HOME, REFERENCE) for name in ("surface", "antiguedad", "latitud", "longitud")]
MARKS = [*SECRETS.values(), MARK, *(f"{abs(number)}" for number in NUMBERS), str(HOME["superficie_util"]), str(ASKED)]
TRACES = ["Traceback", 'File "', 'site-packages/fastapi/routing.py"']


def event(path: str, body: Any = None, method: str = "POST", query: dict[str, str] | None = None) -> dict[str, Any]:
    """A REST API's event with something marked in each part that the caller or the gateway fills in."""
    loaded: dict[str, Any] = json.loads((ROOT / "events" / "rest-predecir.json").read_text())
    headers: dict[str, Any] = {
        "Content-Type": "application/json",
        **{
            name: f"{MARK}-{name}" for name in ("Authorization", "Cookie", "X-Api-Key", "User-Agent", "X-Forwarded-For")
        },
    }
    return loaded | {
        "path": path,
        "resource": path,
        "httpMethod": method,
        "body": body if isinstance(body, str) else json.dumps(body),
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} if query else None,
        "pathParameters": {"proxy": MARK},
        "stageVariables": {"clave": MARK},
        "requestContext": loaded["requestContext"]
        | {"identity": {"apiKey": MARK, "caller": MARK, "userArn": MARK, "sourceIp": "203.0.113.7"}},
    }


def as_text(sent: dict[str, Any]) -> dict[str, Any]:
    return sent | {"multiValueHeaders": sent["multiValueHeaders"] | {"Content-Type": ["text/plain"]}}


GOOD = [
    event("/predecir", HOME),
    event("/predecir", HOME, query={"clave": MARK}),
    event("/predecir/lote", {"viviendas": [HOME, REFERENCE]}),
    event("/evaluar", {"viviendas": [HOME | {"precio": ASKED}]}),
    event("/explicar", REFERENCE),
    event("/predecir", base64.b64encode(json.dumps(HOME).encode()).decode()) | {"isBase64Encoded": True},
]
COMPARED = event("/explicar", HOME, query={"referencia": json.dumps(REFERENCE)})  # its answer names the reference
BAD = [
    *(event("/predecir", HOME | {name: MARK}) for name in HOME),
    *(event("/predecir", HOME | {name: [abs(NUMBERS[0]), {"a": MARK}]}) for name in HOME),
    *(event("/predecir", HOME | {name: -9_712_346_598_127}) for name in HOME),
    event("/predecir", HOME | {"apodo": MARK}),
    event("/predecir", [HOME]),
    event("/predecir", MARK),
    event("/predecir", json.dumps(HOME)[:-9] + MARK),
    event("/predecir/lote", {"viviendas": [HOME | {"condicion": MARK}]}),
    event("/predecir/lote", {"viviendas": [HOME] * 1001}),
    event("/evaluar", {"viviendas": [HOME | {"precio": MARK}]}),
    event("/explicar", HOME, query={"referencia": MARK}),
    event("/explicar", HOME, query={"referencia": json.dumps(REFERENCE | {"condicion": MARK})}),
    as_text(event("/predecir", HOME)),
    event(f"/predecir/{HOME['latitud']}/{MARK}", HOME),
    event(f"/estaticos/{MARK}.css", method="GET"),
    event("/predecir", HOME, method="GET"),
    event("/predecir", HOME, method=MARK),
    event(f"/{MARK}\n{MARK}", HOME),
    event("/predecir", MARK + "!") | {"isBase64Encoded": True},
    event("/predecir", HOME) | {"headers": MARK, "multiValueHeaders": MARK},
    {"Records": [{"s3": {"object": {"key": MARK}}}]},
    {"requestContext": {"http": MARK}, "body": MARK},
]


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[str]]:
    with mortals() as process:
        yield process


@pytest.fixture(params=["json", "text"])
def function(
    request: pytest.FixtureRequest, process: subprocess.Popen[str], proxy: Proxy, moto_depot: Depot, tmp_path: Path
) -> Lives:
    """The function with secrets in its environment, all of its log, and a proxy between it and S3."""
    settings = {
        "MODEL_URI": moto_depot.uri,
        "MODEL_CACHE_DIR": str(tmp_path / "cache"),
        "MODEL_REFRESH_SECONDS": "0",
        "AWS_ENDPOINT_URL_S3": proxy.url,
        "LOG_FORMAT": request.param,
        "LOG_LEVEL": "DEBUG",
    }
    return Lives(process, tmp_path / "log", settings | SECRETS)


def marked(text: str) -> list[str]:
    """What of all that must not be there is in a text."""
    return [mark for mark in [*MARKS, *TRACES] if mark in text]


def statuses(life: Life) -> list[int]:
    return [answer["statusCode"] for answer in life.answers]


def test_answers_and_log_hold_nothing_of_what_was_sent(function: Lives, moto_depot: Depot, first: ModelFile) -> None:
    moto_depot.promote(first)

    good, bad, compared = function.live(GOOD), function.live(BAD), function.live([COMPARED])

    assert statuses(good) == [200] * len(GOOD)
    assert set(statuses(bad)) == {400, 404, 405, 413, 415, 422}
    assert statuses(compared) == [200]
    assert marked(json.dumps([good.answers, bad.answers], ensure_ascii=False)) == []
    log = function.log.read_text()
    assert marked(log) == []
    assert log.count("/predecir") > len(GOOD)


def test_a_failure_that_quotes_a_home_and_the_environment_is_told_without_its_words(function: Lives) -> None:
    life = function.live(GOOD, {"MODEL_URI": ""}, failing=True)

    assert statuses(life) == [500] * len(GOOD)
    assert marked(json.dumps(life.answers)) == []
    assert ".py" not in json.dumps(life.answers)
    log = function.log.read_text()
    assert marked(log) == []
    assert log.count("ValueError") == len(GOOD), "it is told what failed"
    assert "mortal.py" in log, "and where"


def test_an_answer_that_fails_after_it_has_begun_says_nothing_either(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks_off(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError(f"{HOME} {SECRETS}")

    observability.configure(Settings(log_format="json"))
    answer = Adapter(Surroundings(breaks_off), lifespan="off")(event("/predecir", HOME), CONTEXT)

    log = "".join(capfd.readouterr()) + caplog.text
    assert answer["statusCode"] == 500
    assert "ValueError" in log
    assert marked(log + json.dumps(answer)) == []


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_an_s3_that_repeats_credentials_finds_no_echo(status: int, function: Lives, proxy: Proxy) -> None:
    def repeat(request: Request) -> Fault:
        said = json.dumps(request.headers) + json.dumps(SECRETS)
        return Fault(status=status, body=f"<Error><Code>{'Refused'}</Code><Message>{said}</Message></Error>".encode())

    proxy.fault = repeat

    life = function.live([event("/predecir", HOME)], {"MODEL_LOAD_TIMEOUT_SECONDS": "0.5"})

    assert statuses(life) == [200]
    assert marked(json.dumps(life.answers)) == []
    log = function.log.read_text()
    assert marked(log) == []
    assert str(status) in log or "there is no s3://" in log


def test_the_server_of_make_run_logs_no_query(tmp_path: Path) -> None:
    port, log = servers.free_port(), tmp_path / "log"
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", "lambda_handler:app", "--port", str(port)]
    with servers.running(command, log, PYTHONPATH=str(ROOT), MODEL_URI="", **SECRETS) as process:
        servers.wait_until_it_answers(f"{url}/salud", process, log)
        answer = requests.post(f"{url}/explicar", params={"referencia": json.dumps(REFERENCE)}, json=HOME, timeout=30)
        requests.get(f"{url}/{MARK}%0a{MARK}", timeout=10)

    assert answer.status_code == 200
    assert "POST /explicar 200" in log.read_text()
    assert marked(log.read_text()) == []


PAGES = [
    event(path, method="GET")
    for path in ("/", "/docs", "/redoc", "/openapi.json", "/estimar", "/estimar/superficie.json", "/estaticos/docs.js")
]


@pytest.mark.parametrize("promoted", [True, False], ids=["a model from S3", "the embedded model"])
def test_nothing_that_can_unpickle_is_imported_by_a_start_and_by_answers_of_every_route(
    promoted: bool, moto_depot: Depot, first: ModelFile, tmp_path: Path
) -> None:
    moto_depot.promote(first)
    events = [json.loads(path.read_text()) for path in sorted((ROOT / "events").glob("*.json"))] + PAGES + BAD
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "MODEL_URI": moto_depot.uri if promoted else "",
        "MODEL_CACHE_DIR": str(tmp_path / "cache"),
        "AWS_ENDPOINT_URL_S3": moto_depot.url,
        "AWS_LAMBDA_FUNCTION_NAME": "precio",
    }

    ended = subprocess.run(
        [sys.executable, "-m", "tests.integration.unpickled"],
        check=True,
        cwd=ROOT,
        input=json.dumps(events),
        env=servers.CREDENTIALS | environment,
        capture_output=True,
        text=True,
    )

    found = json.loads(ended.stdout.splitlines()[-1])
    assert ("s3" if promoted else "embedded") in ended.stdout.splitlines()[0]
    assert (found["before"], found["asked"], found["loaded"]) == ([], [], [])
    assert {200, 404, 405, 413, 415, 422} <= set(found["statuses"])
    assert set(found["routes"]) <= {sent.get("path") for sent in events}
