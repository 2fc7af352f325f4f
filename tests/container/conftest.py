"""The image as `sam build` makes it, built once, and ways to run it.

Where no container engine answers (or sam isn't installed), everything in this folder skips and says so.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
import yaml

from tests.conftest import ROOT

SAM_ENVIRONMENT = os.environ | {
    "SAM_CLI_TELEMETRY": "0",
    "AWS_DEFAULT_REGION": "eu-south-2",
    "AWS_ACCESS_KEY_ID": "local",  # for the S3 server of these tests; never those of whoever runs them
    "AWS_SECRET_ACCESS_KEY": "local",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.container)


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """The Docker-compatible engine at DOCKER_HOST, or where Docker usually is."""
    where = os.environ.get("DOCKER_HOST", "the usual place (DOCKER_HOST isn't set)")
    try:
        client = docker.from_env(timeout=300)
        client.ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no container engine answers at {where}: {error}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def sam() -> str:
    """The sam command."""
    own = ROOT / ".venv-deploy" / "bin" / "sam"
    found = str(own) if own.exists() else shutil.which("sam")
    if found is None:
        pytest.skip("sam isn't installed: `make test-container` sets it up")
    return found


@pytest.fixture(scope="session")
def built_template(engine: Any, sam: str) -> Path:
    """template.yaml as `sam build` leaves it, with the image built."""
    build = subprocess.run([sam, "build"], check=False, cwd=ROOT, env=SAM_ENVIRONMENT, capture_output=True, text=True)
    assert build.returncode == 0, build.stderr[-4000:]
    return ROOT / ".aws-sam" / "build" / "template.yaml"


@pytest.fixture(scope="session")
def image(engine: Any, built_template: Path) -> Any:
    """The image of the pricing function."""
    properties = yaml.safe_load(built_template.read_text())["Resources"]["PricingFunction"]["Properties"]
    return engine.images.get(properties["ImageUri"])


Running = Callable[..., Any]


@pytest.fixture(scope="session")
def running(engine: Any, image: Any) -> Running:
    """Runs the image: `with running(environment=..., ...) as container`, with what docker.containers.run takes."""

    @contextmanager
    def run(**options: Any) -> Iterator[Any]:
        container = engine.containers.run(image.id, detach=True, **options)
        try:
            yield container
        finally:
            container.remove(force=True)

    return run


def address(container: Any, port: int) -> str:
    """Where on this machine a container's port is."""
    container.reload()
    (binding,) = container.ports[f"{port}/tcp"]
    return f"http://127.0.0.1:{binding['HostPort']}"


def wait_for(url: str, seconds: float = 30) -> None:
    """Return once something answers HTTP there, whatever it says."""
    until = time.monotonic() + seconds
    while True:
        try:
            requests.get(url, timeout=seconds)
        except requests.ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


class Emulator:
    """A container under the Runtime Interface Emulator, called as Lambda would call it."""

    def __init__(self, container: Any) -> None:
        self.container = container
        self.url = address(container, 8080)
        wait_for(self.url)

    def invoke(self, event: bytes) -> dict[str, Any]:
        """The function's answer to one event."""
        response = requests.post(f"{self.url}/2015-03-31/functions/function/invocations", data=event, timeout=60)
        answer: dict[str, Any] = response.json()
        return answer

    @property
    def log(self) -> str:
        """What was written so far."""
        text: bytes = self.container.logs()
        return text.decode()


ON_A_FREE_PORT: dict[str, Any] = {"8080/tcp": ("127.0.0.1", None)}


@pytest.fixture(scope="session")
def emulator(running: Running) -> Iterator[Emulator]:
    """One warm container with the embedded model."""
    with running(ports=ON_A_FREE_PORT) as container:
        yield Emulator(container)
