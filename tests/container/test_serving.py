"""The image over real HTTP: behind SAM's gateway with a model from an S3 server, and with uvicorn."""

import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
import yaml
from moto.server import ThreadedMotoServer

from app.model import Model
from app.schemas import Formulario
from tests.conftest import ROOT
from tests.container.conftest import SAM_ENVIRONMENT, wait_for
from training.data import Listings
from training.options import Options
from training.recipe import Trained, train

BUCKET = "models-of-these-tests"
MODEL_URI = f"s3://{BUCKET}/madrid"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Depot(NamedTuple):
    """A bucket on a real S3 server of this machine that containers reach."""

    url: str

    def promote(self, data: bytes, folder: Path) -> str:
        """Publish a model with the command that data scientists use; its version."""
        path = folder / "model.safetensors"
        path.write_bytes(data)
        command = [sys.executable, "-m", "training", "publish", str(path), "--promote", "--to", MODEL_URI]
        subprocess.run(command, check=True, cwd=ROOT, env=SAM_ENVIRONMENT | {"AWS_ENDPOINT_URL": self.url})
        return Model.load(data).version


@contextmanager
def depot(engine: Any, image: Any) -> Iterator[Depot]:
    # The bridge exists while a container is on it, and its address is the one that both sides know.
    holder = engine.containers.run(image.id, entrypoint=["sleep", "600"], detach=True)
    try:
        holder.reload()
        (network,) = holder.attrs["NetworkSettings"]["Networks"].values()
        server = ThreadedMotoServer(ip_address=network["Gateway"], port=free_port(), verbose=False)
        server.start()
        try:
            url = "http://{}:{}".format(*server.get_host_and_port())
            requests.put(f"{url}/{BUCKET}", timeout=10).raise_for_status()
            yield Depot(url)
        finally:
            server.stop()
    finally:
        holder.remove(force=True)


@contextmanager
def gateway(sam: str, template: Path, log: Path) -> Iterator[str]:
    """`sam local start-api` with one warm container; where it answers."""
    port = free_port()
    command = [sam, "local", "start-api", "--template", str(template), "--port", str(port)]
    command += ["--skip-pull-image", "--warm-containers", "LAZY"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=SAM_ENVIRONMENT, stdout=output, stderr=output)
        try:
            wait_for(f"http://127.0.0.1:{port}/salud", seconds=90)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()  # sam removes its containers then
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def served(
    engine: Any, image: Any, sam: str, built_template: Path, tmp_path_factory: pytest.TempPathFactory, trained: Trained
) -> Iterator[tuple[str, Depot]]:
    """The image behind SAM's gateway, its model pulled from the S3 server."""
    folder = tmp_path_factory.mktemp("gateway")
    with depot(engine, image) as models:
        models.promote(trained.data, folder)
        template = yaml.safe_load(built_template.read_text())
        template["Resources"]["PricingFunction"]["Properties"]["Environment"]["Variables"] |= {
            "MODEL_URI": MODEL_URI,
            "MODEL_REFRESH_SECONDS": "1",
            "AWS_ENDPOINT_URL": models.url,
            "CORS_ORIGINS": "https://pisos.example",
        }
        (folder / "template.yaml").write_text(yaml.safe_dump(template))
        with gateway(sam, folder / "template.yaml", folder / "log.txt") as url:
            yield url, models


def test_a_cold_start_serves_the_model_of_the_bucket(served: tuple[str, Depot], small_model: Model) -> None:
    url, _ = served

    answer = requests.get(f"{url}/salud", timeout=30)

    assert answer.json() == {"estado": "ok", "modelo": small_model.version, "origen": "s3"}


def test_a_price_over_http_is_the_models(served: tuple[str, Depot], small_model: Model, home: dict[str, Any]) -> None:
    url, _ = served
    (expected,) = small_model.price([Formulario.model_validate(home).home()])

    answer = requests.post(f"{url}/predecir", json=home, timeout=30)

    assert answer.status_code == 200
    assert answer.json()["precio"] == expected["precio"]
    assert answer.json()["modelo"] == small_model.version


def test_a_thousand_homes_pass_through_the_gateway(served: tuple[str, Depot], home: dict[str, Any]) -> None:
    url, _ = served

    answer = requests.post(f"{url}/predecir/lote", json={"viviendas": [home] * 1000}, timeout=60)

    assert len(answer.json()["predicciones"]) == 1000


def test_a_mistake_is_explained_over_http_too(served: tuple[str, Depot], home: dict[str, Any]) -> None:
    url, _ = served

    answer = requests.post(f"{url}/predecir", json=home | {"surface": -1}, timeout=30)

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][-1] == "surface"


@pytest.mark.parametrize("page", ["/docs", "/redoc", "/estimar"])
def test_a_page_comes_with_all_it_loads(served: tuple[str, Depot], page: str) -> None:
    url, _ = served
    html = requests.get(f"{url}{page}", timeout=30)
    assets = re.findall(r'(?:src|href)="([^"#:]+)"', html.text)

    answers = [requests.get(f"{url}/{asset.removeprefix('./').removeprefix('/')}", timeout=30) for asset in assets]

    assert html.headers["content-type"].startswith("text/html")
    assert assets
    assert [answer.status_code for answer in answers] == [200] * len(answers)


def test_pictures_pass_through_the_gateway_unchanged(served: tuple[str, Depot]) -> None:
    url, _ = served
    icon = ROOT / "app" / "web" / "estaticos" / "vendor" / "leaflet" / "images" / "layers.png"

    answer = requests.get(f"{url}/{icon.relative_to(ROOT / 'app' / 'web')}", timeout=30)

    assert answer.headers["content-type"] == "image/png"
    assert answer.content == icon.read_bytes()


def test_a_page_of_another_origin_may_ask_and_call(served: tuple[str, Depot], home: dict[str, Any]) -> None:
    url, _ = served
    origin = {"origin": "https://pisos.example"}

    preflight = requests.options(
        f"{url}/predecir",
        headers=origin
        | {"access-control-request-method": "POST", "access-control-request-headers": "content-type,x-api-key"},
        timeout=30,
    )
    answer = requests.post(f"{url}/predecir", json=home, headers=origin, timeout=30)

    assert preflight.status_code == 200
    assert {"content-type", "x-api-key"} <= set(re.split(r",\s*", preflight.headers["access-control-allow-headers"]))
    for response in (preflight, answer):
        assert response.headers["access-control-allow-origin"] == "https://pisos.example"


def test_a_warm_container_takes_up_a_promoted_model(
    served: tuple[str, Depot], small_model: Model, listings: Listings, tmp_path: Path
) -> None:
    url, models = served

    data = train(listings, Options(trees=5, jobs=1), year=2021, source="made up").data
    second = models.promote(data, tmp_path)

    until = time.monotonic() + 20
    while (answer := requests.get(f"{url}/salud", timeout=30).json())["modelo"] == small_model.version:
        assert time.monotonic() < until, "the promoted model was never served"
        time.sleep(0.2)
    assert answer == {"estado": "ok", "modelo": second, "origen": "s3"}


def test_the_line_for_serving_without_lambda_works_as_documented(engine: Any, image: Any, home: dict[str, Any]) -> None:
    if shutil.which("docker") is None:
        pytest.skip("no docker command here, and the documented line is one")
    text = (ROOT / "docs" / "deploy.md").read_text()
    (line,) = re.findall(r"^docker run (?:.*\\\n)*.*", text, re.MULTILINE)
    port, name = free_port(), f"uvicorn-{free_port()}"
    command = shlex.split(line.replace("\\\n", " ").replace("127.0.0.1:8000:", f"127.0.0.1:{port}:"))
    command[2:2] = ["--detach", "--name", name]

    subprocess.run(command, check=True, capture_output=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/salud")
        health = requests.get(f"http://127.0.0.1:{port}/salud", timeout=10).json()
        answer = requests.post(f"http://127.0.0.1:{port}/predecir", json=home, timeout=10)
    finally:
        engine.containers.get(name).remove(force=True)

    assert health["origen"] == "embedded"
    assert answer.status_code == 200
