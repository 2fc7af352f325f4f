"""The handler under AWS' own runtime, and the server that `make run` starts, while models come and go."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from app.model import Model
from app.schemas import Formulario
from tests.conftest import ROOT
from tests.integration import servers
from tests.integration.conftest import Depot
from tests.integration.emulator import Function, emulator_binary, function
from tests.integration.environment import counted, logged
from tests.integration.models import ModelFile
from tests.integration.proxy import OK, Fault, Proxy
from training.registry import Registry, pointer_to

REFRESH_SECONDS = 0.5


@pytest.fixture(scope="session")
def emulator() -> Path:
    return emulator_binary()


def event(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The sample event of a REST API, with another path and body."""
    loaded: dict[str, Any] = json.loads((ROOT / "events" / "rest-predecir.json").read_text())
    return loaded | {"path": path, "resource": path, "body": json.dumps(body), "isBase64Encoded": False}


def records(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def test_a_cold_start_serves_the_promoted_model_and_tells_cloudwatch(
    emulator: Path, depot: Depot, first: ModelFile, home: dict[str, Any], tmp_path: Path
) -> None:
    depot.promote(first)
    settings = {"MODEL_URI": depot.uri, "AWS_ENDPOINT_URL_S3": depot.url, "MODEL_CACHE_DIR": str(tmp_path / "cache")}
    with function(emulator, tmp_path / "log", **settings) as running:
        answer = running.invoke(event("/predecir", home))
        health = running.invoke(json.loads((ROOT / "events" / "rest-salud.json").read_text()))

    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["modelo"] == first.version
    assert json.loads(health["body"]) == {"estado": "ok", "modelo": first.version, "origen": "s3"}
    told = records(tmp_path / "log")
    (loaded,) = [line for line in logged(told, "INFO") if line["message"] == "model loaded"]
    assert (loaded["model"], loaded["origin"]) == (first.version, "s3")
    assert loaded["seconds"] > 0
    assert counted(told, "ColdStart") == 1
    assert counted(told, "ModelFallback") == 0
    assert "latitud" not in (tmp_path / "log").read_text()


def test_a_function_without_any_model_answers_503_and_recovers_by_itself(
    emulator: Path, moto_depot: Depot, proxy: Proxy, first: ModelFile, home: dict[str, Any], tmp_path: Path
) -> None:
    moto_depot.promote(first)
    proxy.fault = lambda _: Fault(status=503)
    settings = {
        "MODEL_URI": moto_depot.uri,
        "AWS_ENDPOINT_URL_S3": proxy.url,
        "MODEL_CACHE_DIR": str(tmp_path / "cache"),
        "MODEL_EMBEDDED": "false",
        "MODEL_RETRY_SECONDS": "0.2",
    }
    with function(emulator, tmp_path / "log", **settings) as running:
        refused = running.invoke(event("/predecir", home))
        proxy.fault = lambda _: OK
        deadline = time.monotonic() + 10
        while (answer := running.invoke(event("/predecir", home)))["statusCode"] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    assert refused["statusCode"] == 503
    assert json.loads(refused["body"])["detail"]
    assert int(refused["headers"]["retry-after"]) > 0
    assert json.loads(answer["body"])["modelo"] == first.version


def prices(model: ModelFile, homes: list[dict[str, Any]]) -> list[float]:
    estimates = Model.load(model.data).price([Formulario.model_validate(home).home() for home in homes])
    return [estimate["precio"] for estimate in estimates]


@dataclass
class Load:
    """Asks one server after another for single homes and lots, and remembers what was wrong with an answer."""

    ask: Callable[[str, dict[str, Any]], tuple[int, dict[str, Any]]]
    homes: list[dict[str, Any]]
    expected: dict[str, list[float]]
    """The prices of the homes by each version."""
    answers: int = 0
    failed: list[Any] = field(default_factory=list)
    mixed: list[Any] = field(default_factory=list)
    last: str | None = None
    """The version that answered last."""

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            lot = self.answers % 2 == 1
            homes = self.homes if lot else self.homes[:1]
            path, body = ("/predecir/lote", {"viviendas": homes}) if lot else ("/predecir", homes[0])
            self.answers += 1
            try:
                status, answer = self.ask(path, body)
            except (OSError, ValueError) as error:
                self.failed.append(error)
                continue
            if status != 200:
                self.failed.append((status, answer))
                continue
            priced = [one["precio"] for one in answer["predicciones"]] if lot else [answer["precio"]]
            if priced != self.expected[answer["modelo"]][: len(homes)]:
                self.mixed.append(answer)
            self.last = answer["modelo"]


@contextmanager
def load(loads: list[Load]) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in loads]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def seconds_until_all_serve(loads: list[Load], version: str) -> float:
    began = time.monotonic()
    while {one.last for one in loads} != {version}:
        assert time.monotonic() < began + 20, f"{version} is still not served by all: {[one.last for one in loads]}"
        assert not any(one.failed for one in loads)
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.fixture
def published(depot: Depot, first: ModelFile, second: ModelFile, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Two models published, the first of them promoted."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", depot.url)
    registry = Registry(depot.uri)
    for model in (first, second):
        registry.publish(model.data, {})
    registry.promote(pointer_to(first.data), registry.state())
    return registry


def come_and_go(loads: list[Load], registry: Registry, first: ModelFile, second: ModelFile) -> None:
    """Promote, roll back and promote again under load, and look at every answer."""
    with load(loads):
        seconds_until_all_serve(loads, first.version)
        registry.promote(pointer_to(second.data), registry.state())
        seconds_until_all_serve(loads, second.version)
        registry.roll_back(registry.state())
        seconds_until_all_serve(loads, first.version)
        registry.promote(pointer_to(second.data), registry.state())
        seconds_until_all_serve(loads, second.version)
    assert [one.failed for one in loads] == [[]] * len(loads)
    assert [one.mixed for one in loads] == [[]] * len(loads)
    assert all(one.answers > 10 for one in loads)


def test_models_come_and_go_under_load_without_a_failed_or_mixed_answer_from_any_environment(
    emulator: Path,
    depot: Depot,
    published: Registry,
    first: ModelFile,
    second: ModelFile,
    home: dict[str, Any],
    tmp_path: Path,
) -> None:
    homes = [home | {"surface": home["surface"] + i} for i in range(50)]
    expected = {model.version: prices(model, homes) for model in (first, second)}

    def asking(running: Function) -> Load:
        def ask(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            answer = running.invoke(event(path, body))
            return answer["statusCode"], json.loads(answer["body"])

        return Load(ask, homes, expected)

    settings = {
        "MODEL_URI": depot.uri,
        "AWS_ENDPOINT_URL_S3": depot.url,
        "MODEL_CACHE_DIR": str(tmp_path / "shared-cache"),
        "MODEL_REFRESH_SECONDS": str(REFRESH_SECONDS),
    }
    with ExitStack() as stack:
        running = [
            stack.enter_context(function(emulator, tmp_path / f"environment-{i}.log", **settings)) for i in range(2)
        ]
        come_and_go([asking(one) for one in running], published, first, second)

    for i in range(2):
        assert counted(records(tmp_path / f"environment-{i}.log"), "ModelRefreshed") == 3


def test_models_come_and_go_under_load_of_the_server_that_make_run_starts(
    depot: Depot,
    published: Registry,
    first: ModelFile,
    second: ModelFile,
    home: dict[str, Any],
    tmp_path: Path,
) -> None:
    homes = [home | {"surface": home["surface"] + i} for i in range(50)]
    expected = {model.version: prices(model, homes) for model in (first, second)}
    port, log = servers.free_port(), tmp_path / "log"
    command = [sys.executable, "-m", "uvicorn", "lambda_handler:app", "--port", str(port), "--no-access-log"]
    settings = {
        "MODEL_URI": depot.uri,
        "AWS_ENDPOINT_URL_S3": depot.url,
        "MODEL_CACHE_DIR": str(tmp_path / "cache"),
        "MODEL_REFRESH_SECONDS": str(REFRESH_SECONDS),
        "PYTHONPATH": str(ROOT),
    }

    def ask(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = requests.post(f"http://127.0.0.1:{port}{path}", json=body, timeout=30)
        return answer.status_code, answer.json()

    with servers.running(command, log, **settings) as process:
        servers.wait_until_it_answers(f"http://127.0.0.1:{port}/salud", process, log)
        assert requests.get(f"http://127.0.0.1:{port}/salud", timeout=10).json()["origen"] == "s3"
        come_and_go([Load(ask, homes, expected) for _ in range(2)], published, first, second)

    text = log.read_text()
    assert f"model loaded model={first.version} origin=s3" in text, "lines for people, not JSON"


@pytest.mark.parametrize("variable", ["MODEL_REFRESH_SECONDS=soon", "MODEL_URI=models", "MODEL_EMBEDDED=perhaps"])
def test_a_setting_that_makes_no_sense_is_named_at_the_start(variable: str) -> None:
    name, _, value = variable.partition("=")

    ended = subprocess.run(
        [sys.executable, "-c", "import lambda_handler"],
        check=False,
        cwd=ROOT,
        env={name: value},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode != 0
    assert name in ended.stderr.splitlines()[-1]
