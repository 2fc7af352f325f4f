"""`make publish` and `make rollback`, against a stack and a bucket on servers of this machine."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.conftest import ROOT
from tests.container.conftest import SAM_ENVIRONMENT
from training.recipe import Trained

STACK = {
    "Resources": {"ModelBucket": {"Type": "AWS::S3::Bucket"}},
    "Outputs": {"ModelUri": {"Value": {"Fn::Sub": "s3://${ModelBucket}/models"}}},
}


@pytest.fixture
def aws() -> Iterator[str]:
    """AWS as far as publishing goes: CloudFormation and S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def client(name: str, url: str) -> Any:
    return boto3.client(
        name,  # type: ignore[call-overload] # the stubs know each name by itself
        endpoint_url=url,
        region_name=SAM_ENVIRONMENT["AWS_DEFAULT_REGION"],
        aws_access_key_id=SAM_ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=SAM_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
    )


def make(*arguments: str, url: str) -> None:
    done = [".venv/run.stamp", ".venv/test.stamp", ".venv-deploy/stamp"]  # as this test runs, they are
    command = ["make", *(f"--old-file={stamp}" for stamp in done), *arguments]
    subprocess.run(command, check=True, cwd=ROOT, env=SAM_ENVIRONMENT | {"AWS_ENDPOINT_URL": url})


@pytest.mark.usefixtures("sam")
def test_a_model_is_published_to_the_stacks_bucket_and_taken_back(aws: str, trained: Trained, tmp_path: Any) -> None:
    (tmp_path / "model.safetensors").write_bytes(trained.data)
    cloudformation, s3 = client("cloudformation", aws), client("s3", aws)
    cloudformation.create_stack(StackName="a-stack", TemplateBody=json.dumps(STACK))
    bucket = cloudformation.describe_stack_resource(StackName="a-stack", LogicalResourceId="ModelBucket")
    name = bucket["StackResourceDetail"]["PhysicalResourceId"]

    def current() -> str:
        pointer: dict[str, str] = json.load(s3.get_object(Bucket=name, Key="models/current.json")["Body"])
        return pointer["version"]

    make("publish", "STACK=a-stack", "MODEL=app/embedded/model.safetensors", url=aws)
    first = current()
    make("publish", "STACK=a-stack", f"MODEL={tmp_path / 'model.safetensors'}", url=aws)
    second = current()
    make("rollback", "STACK=a-stack", url=aws)

    assert second == trained.version
    assert current() == first != second
