"""S3 servers, buckets, models and an execution environment, for tests that need real ones."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from tests.integration import servers
from tests.integration.models import ModelFile, dearer
from tests.integration.proxy import Proxy
from training.recipe import Trained

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_names = itertools.count(1)


@dataclass
class Depot:
    """A bucket, and a prefix of the test's own in it where models are kept."""

    client: "S3Client"
    port: int
    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def key(self, name: str) -> str:
        return f"{self.prefix}/{name}".lstrip("/")

    def put(self, name: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.key(name), Body=body)

    def upload(self, model: ModelFile) -> None:
        self.put(f"{model.version}/model.safetensors", model.data)

    def point(self, model: ModelFile, **changes: Any) -> None:
        self.put("current.json", json.dumps(model.pointer | changes).encode())

    def promote(self, model: ModelFile) -> None:
        self.upload(model)
        self.point(model)

    def remove(self, name: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self.key(name))

    def names(self) -> list[str]:
        answer = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.key(""))
        return sorted(item["Key"].removeprefix(f"{self.prefix}/") for item in answer.get("Contents", []))

    def read(self, name: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=self.key(name))["Body"].read()


@pytest.fixture(scope="session")
def moto_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with servers.moto(tmp_path_factory.mktemp("moto")) as port:
        yield port


@pytest.fixture(scope="session")
def seaweedfs_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as port:
        yield port


@pytest.fixture(params=["moto", "seaweedfs"])
def depot(request: pytest.FixtureRequest, credentials: None) -> Depot:
    """An empty place on either server."""
    return _depot(request.getfixturevalue(f"{request.param}_port"))


@pytest.fixture
def moto_depot(moto_port: int, credentials: None) -> Depot:
    """An empty place on the quicker server."""
    return _depot(moto_port)


@pytest.fixture
def seaweedfs_depot(seaweedfs_port: int, credentials: None) -> Depot:
    """An empty place on the server that checks signatures."""
    return _depot(seaweedfs_port)


def _depot(port: int) -> Depot:
    # one bucket for all tests: SeaweedFS sets volumes aside for each, and there are only so many
    return Depot(_client(port), port, "modelos", f"prueba-{next(_names)}/madrid")


@cache
def _client(port: int) -> "S3Client":
    client = boto3.Session().client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=servers.CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=servers.CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 5}),
    )
    client.create_bucket(Bucket="modelos")
    return client


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that both clients read, and nothing of the machine's own AWS set-up."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in servers.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it would remember an earlier test's credentials
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    """Between the function and S3."""
    depot: Depot = request.getfixturevalue("depot" if "depot" in request.fixturenames else "moto_depot")
    made = Proxy(depot.port)
    yield made
    made.close()


@pytest.fixture(scope="session")
def first(trained: Trained) -> ModelFile:
    return ModelFile(trained.data)


@pytest.fixture(scope="session")
def second(first: ModelFile) -> ModelFile:
    return dearer(first.data, 2)


@pytest.fixture(scope="session")
def shipped(first: ModelFile) -> ModelFile:
    """Stands for the embedded model."""
    return dearer(first.data, 3)
