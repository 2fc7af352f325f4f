"""Runs on the state machine itself: moto interprets batch/machine.asl.json, and its functions are the real handler.

Nothing here repeats what the definition says: a change of a step, a retry or a path changes what these tests see.
What moto can't take of the definition is taken out in `_for_moto`, and docs/decisions.md names it.
"""

import csv
import json
import os
import re
import runpy
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.server import ThreadedMotoServer
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from typer.testing import CliRunner, Result

from app.errors import DataError
from app.model import Model
from app.settings import Settings
from batch.__main__ import cli
from batch.cloud import Cloud, State
from batch.storage import Folder
from training.recipe import Trained

ROOT = Path(__file__).parent.parent.parent
BUCKET = "homes"
RANGE_BYTES = 1_000  # some 18 rows
HEADER = "id,latitud,longitud,surface,banos,habitaciones,jardin,antiguedad,superficie_util,ascensor,garaje,condicion"


class Died(BaseException):
    """A process that is gone: no `except Exception` sees it."""


class Throttled(LambdaClientError):
    """What Lambda answers above its concurrency."""

    code = 429

    def __init__(self) -> None:
        super().__init__("TooManyRequestsException", "Rate Exceeded.")


class Functions:
    """Lambda: runs the real handler, with faults before and after it. A fault takes the event and may raise."""

    def __init__(self, handler: Callable[[dict[str, Any], Any], dict[str, Any]]) -> None:
        self._handler = handler
        self.before: list[Callable[[dict[str, Any]], None]] = []
        self.after: list[Callable[[dict[str, Any]], None]] = []
        self.events: list[dict[str, Any]] = []

    def attempts(self, number: int) -> int:
        """How often a range was tried."""
        return sum(event.get("range", {}).get("number") == number for event in self.events)

    def invoke(self, body: str, response_headers: dict[str, Any]) -> bytes:
        event = json.loads(body)
        self.events.append(event)
        try:
            for fault in self.before:
                fault(event)
            result = self._handler(event, None)
            for fault in self.after:
                fault(event)
        except LambdaClientError:
            raise
        except (Exception, Died) as error:  # noqa: BLE001  # Lambda tells the caller, whatever it is
            kind = "Runtime.ExitError" if isinstance(error, Died) else type(error).__name__
            response_headers["x-amz-function-error"] = "Unhandled"
            return json.dumps({"errorType": kind, "errorMessage": str(error)}).encode()
        return json.dumps(result).encode()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_PORT", str(port))  # the interpreter calls Lambda and S3 there
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "MODEL_URI"):
            patch.delenv(name, raising=False)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        server.start()
        url = f"http://127.0.0.1:{port}"
        requests.post(
            f"{url}/moto-api/config",
            json={"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}},
            timeout=5,
        )
        yield url
        server.stop()


@pytest.fixture
def s3(endpoint: str) -> Any:
    requests.post(f"{endpoint}/moto-api/reset", timeout=5)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def publish(s3: Any) -> Callable[[bytes], str]:
    """Promote a model as `training.publish` lays it out; gives its version."""

    def promote(data: bytes) -> str:
        import hashlib  # noqa: PLC0415

        digest = hashlib.sha256(data).hexdigest()
        version = digest[:12]
        s3.put_object(Bucket=BUCKET, Key=f"models/{version}/model.safetensors", Body=data)
        pointer = {"version": version, "sha256": digest, "size": len(data)}
        s3.put_object(Bucket=BUCKET, Key="models/current.json", Body=json.dumps(pointer))
        return version

    return promote


@pytest.fixture
def functions(s3: Any, publish: Callable[[bytes], str], trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Functions:
    publish(trained.data)
    monkeypatch.setenv("MODEL_URI", f"s3://{BUCKET}/models")
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    found = Functions(runpy.run_path(str(ROOT / "batch_handler.py"))["handler"])

    def invoke(
        _: LambdaSimpleBackend, name: str, qualifier: str | None, body: str, headers: Any, response_headers: Any
    ) -> bytes:
        return found.invoke(body, response_headers)

    monkeypatch.setattr(LambdaSimpleBackend, "invoke", invoke)
    return found


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between retries, in seconds, written down in the place of waited for."""
    found: list[float] = []

    class Clock:
        sleep = staticmethod(found.append)

    monkeypatch.setattr(retrier_decl, "time", Clock)
    return found


def definition() -> dict[str, Any]:
    """The state machine as CloudFormation makes it of the file."""
    text = (ROOT / "batch" / "machine.asl.json").read_text()
    function = "arn:aws:lambda:us-east-1:123456789012:function:batch"
    for name, value in {"Partition": "aws", "BatchFunctionArn": function, "BatchBucket": BUCKET}.items():
        text = text.replace(f"${{{name}}}", value)
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _for_moto(machine: dict[str, Any]) -> dict[str, Any]:
    """Without the one field that moto's parser doesn't know."""
    del machine["States"]["Price"]["ItemProcessor"]["ProcessorConfig"]["ExecutionType"]
    return machine


@pytest.fixture
def machine(functions: Functions, pauses: list[float]) -> str:
    created = boto3.client("stepfunctions").create_state_machine(
        name="batch", definition=json.dumps(_for_moto(definition())), roleArn="arn:aws:iam::123456789012:role/batch"
    )
    arn: str = created["stateMachineArn"]
    return arn


@pytest.fixture
def cloud(machine: str, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setattr("batch.cloud.POLL_SECONDS", 0.2)
    return Cloud(Settings.from_environment(os.environ))


def rows(n: int, broken: Callable[[int], bool] = lambda i: False) -> list[str]:
    """Homes as lines of CSV; a broken one has no area."""
    return [
        f"h{i},40.4{i % 10},-3.7{i % 7},{'' if broken(i) else 50 + i % 90},1,2,0,,{40 + i % 9},1,0,Reformado"
        for i in range(n)
    ]


def put(s3: Any, lines: list[str], key: str = "in.csv") -> str:
    s3.put_object(Bucket=BUCKET, Key=key, Body="\n".join([HEADER, *lines, ""]).encode())
    return f"s3://{BUCKET}/{key}"


def run(cloud: Cloud, machine: str, source: str, **limits: float) -> State:
    started = cloud.submit(machine, source, f"s3://{BUCKET}/out", **({"range_bytes": RANGE_BYTES} | limits))
    return cloud.wait(started.arn, lambda progress: None)


def fetched(cloud: Cloud, state: State, folder: Path) -> list[dict[str, str]]:
    cloud.fetch(state.uri, folder / "out.csv", overwrite=False, report=lambda progress: None)
    return read(folder / "out.csv")


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def assert_each_once(found: list[dict[str, str]], n: int) -> None:
    assert [row["id"] for row in found] == [f"h{i}" for i in range(n)]
    assert [row["fila"] for row in found] == [str(i) for i in range(1, n + 1)]
    assert all(bool(row["precio"]) != bool(row["error"]) for row in found)


def test_a_run_prices_every_row_with_the_words_and_the_prices_of_the_api(
    cloud: Cloud, machine: str, s3: Any, functions: Functions, small_model: Model, tmp_path: Path
) -> None:
    source = put(s3, rows(250, broken=lambda i: i % 10 == 3))

    state = run(cloud, machine, source)

    assert state.succeeded
    assert state.ranges > 8
    assert state.counts[:3] == (250, 225, 25)
    found = fetched(cloud, state, tmp_path)
    assert_each_once(found, 250)
    assert [row["error"] for row in found if row["error"]] == ["surface: Falta, y es obligatorio."] * 25
    expected = small_model.price([(40.40, -3.70, 50.0, 1, 2, False, None, 40.0, True, False, "Reformado")])[0]
    assert expected["intervalo"] is not None
    assert float(found[0]["precio"]) == expected["precio"]
    assert (float(found[0]["inferior"]), float(found[0]["superior"])) == (
        expected["intervalo"]["inferior"],
        expected["intervalo"]["superior"],
    )
    assert {row["modelo"] for row in found} == {small_model.version}


def test_a_worker_that_dies_between_result_and_receipt_is_tried_again(
    cloud: Cloud, machine: str, s3: Any, functions: Functions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write, deaths = Folder.write, Counter[str]()

    def dying(self: Folder, name: str, data: bytes) -> None:
        if name in ("parts/000002.csv", "parts/000004.json"):
            deaths[name] += 1
            if deaths[name] == 1:
                raise Died
        write(self, name, data)

    monkeypatch.setattr(Folder, "write", dying)

    state = run(cloud, machine, put(s3, rows(120)))

    assert state.succeeded
    assert (functions.attempts(2), functions.attempts(4), functions.attempts(3)) == (2, 2, 1)
    assert_each_once(fetched(cloud, state, tmp_path), 120)


def test_throttling_is_waited_out_with_growing_pauses(
    cloud: Cloud, machine: str, s3: Any, functions: Functions, pauses: list[float], tmp_path: Path
) -> None:
    def throttle(event: dict[str, Any]) -> None:
        if event["step"] == "work" and functions.attempts(event["range"]["number"]) <= 6:
            raise Throttled

    functions.before.append(throttle)

    state = run(cloud, machine, put(s3, rows(40)))

    assert state.succeeded
    assert functions.attempts(0) == 7
    assert max(pauses) > 2  # more than the first pause can be
    assert max(pauses) <= 60
    assert_each_once(fetched(cloud, state, tmp_path), 40)


def test_a_range_that_runs_twice_counts_once(
    cloud: Cloud, machine: str, s3: Any, functions: Functions, tmp_path: Path
) -> None:
    again = runpy.run_path(str(ROOT / "batch_handler.py"))["handler"]
    functions.after.append(lambda event: again(event, None) if event["step"] == "work" else None)

    state = run(cloud, machine, put(s3, rows(100)))

    assert state.succeeded
    assert state.counts.rows == 100
    assert_each_once(fetched(cloud, state, tmp_path), 100)


def test_a_missing_result_fails_the_run_and_is_named_and_can_be_made_good(
    cloud: Cloud, machine: str, s3: Any, functions: Functions, tmp_path: Path
) -> None:
    def lose(event: dict[str, Any]) -> None:
        if event["step"] == "work" and event["range"]["number"] == 5:
            prefix = event["run"].removeprefix(f"s3://{BUCKET}/")
            s3.delete_object(Bucket=BUCKET, Key=f"{prefix}/parts/000005.csv")

    functions.after.append(lose)

    state = run(cloud, machine, put(s3, rows(120)))

    assert (state.state, state.succeeded) == ("FAILED", False)
    assert state.cause == f"1 of {state.ranges} ranges are missing: 5."
    assert state.manifest["missing"] == [5]
    with pytest.raises(DataError, match="not complete"):
        fetched(cloud, state, tmp_path)
    assert not (tmp_path / "out.csv").exists()

    functions.after.clear()
    functions.events.clear()
    mended = cloud.wait(cloud.resume(machine, state.uri).arn, lambda progress: None)

    assert mended.succeeded
    assert cloud.status(state.uri).succeeded
    assert [event["range"]["number"] for event in functions.events if event["step"] == "work"] == [5]
    assert_each_once(fetched(cloud, mended, tmp_path), 120)


def test_a_run_that_lacks_only_its_count_is_counted_without_pricing_again(
    cloud: Cloud, machine: str, s3: Any, functions: Functions
) -> None:
    state = run(cloud, machine, put(s3, rows(60)))
    functions.events.clear()

    again = cloud.wait(cloud.resume(machine, state.uri).arn, lambda progress: None)

    assert again.succeeded
    assert [event["step"] for event in functions.events] == ["plan", "finish"]


def test_a_range_that_always_fails_leaves_the_others_their_results(
    cloud: Cloud, machine: str, s3: Any, functions: Functions
) -> None:
    def fail(event: dict[str, Any]) -> None:
        if event.get("range", {}).get("number") == 1:
            raise Died

    functions.before.append(fail)

    state = run(cloud, machine, put(s3, rows(120)), tolerated_failure_percentage=20)

    assert state.state == "FAILED"
    assert functions.attempts(1) == 4
    assert state.manifest["missing"] == [1]
    assert state.done == state.ranges - 1


def test_a_map_that_fails_as_a_whole_is_counted_all_the_same(
    cloud: Cloud, machine: str, s3: Any, functions: Functions
) -> None:
    def lose(event: dict[str, Any]) -> None:
        if event["step"] == "plan":
            key = f"out/{event['name']}/ranges.json"
            s3.delete_object(Bucket=BUCKET, Key=key)

    functions.after.append(lose)

    state = run(cloud, machine, put(s3, rows(60)))

    assert state.state == "FAILED"
    assert state.manifest["missing"] == list(range(state.ranges))
    assert state.cause.startswith(f"{state.ranges} of {state.ranges} ranges are missing: 0, 1")


def test_a_model_promoted_meanwhile_changes_nothing(
    cloud: Cloud,
    machine: str,
    s3: Any,
    functions: Functions,
    publish: Callable[[bytes], str],
    small_model: Model,
    trained: Trained,
    tmp_path: Path,
) -> None:
    other = artifact_with_other_bytes(trained.data)

    def promote(event: dict[str, Any]) -> None:
        if event["step"] == "work" and event["range"]["number"] == 3:
            assert publish(other) != small_model.version

    functions.before.append(promote)

    state = run(cloud, machine, put(s3, rows(120)))

    assert state.succeeded
    assert {row["modelo"] for row in fetched(cloud, state, tmp_path)} == {small_model.version}


def artifact_with_other_bytes(data: bytes) -> bytes:
    """The same model with another byte in its description, so another version."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    model = json.loads(header["__metadata__"]["model"])
    model["data"] = {**model["data"], "source": "another"}
    header["__metadata__"]["model"] = json.dumps(model)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def test_a_file_changed_meanwhile_fails_the_run_without_retries(
    cloud: Cloud, machine: str, s3: Any, functions: Functions
) -> None:
    def change(event: dict[str, Any]) -> None:
        if event["step"] == "plan":
            put(s3, rows(119))

    functions.after.append(change)

    state = run(cloud, machine, put(s3, rows(120)))

    assert state.state == "FAILED"
    assert state.done == 0
    assert functions.attempts(0) <= 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"id;latitud;longitud\n1;40,4;-3,7\n", "separated by semicolons"),
        (HEADER.replace(",surface", "").encode() + b"\n1\n", "lacks the column surface"),
        (HEADER.encode() + b"\n", "a header and no rows"),
    ],
)
def test_a_file_that_is_no_table_of_homes_fails_at_once_with_one_message(
    cloud: Cloud, machine: str, s3: Any, functions: Functions, body: bytes, words: str
) -> None:
    s3.put_object(Bucket=BUCKET, Key="in.csv", Body=body)

    state = run(cloud, machine, f"s3://{BUCKET}/in.csv")

    assert state.state == "FAILED"
    assert words in state.cause
    assert [event["step"] for event in functions.events] == ["plan"]


def test_json_lines_are_cut_at_line_ends(
    cloud: Cloud, machine: str, s3: Any, functions: Functions, home: dict[str, Any], tmp_path: Path
) -> None:
    lines = [json.dumps(home | {"id": f"h{i}"}, ensure_ascii=False) for i in range(60)]
    lines[7] = json.dumps(home | {"id": "h7", "surfacee": 3})
    s3.put_object(Bucket=BUCKET, Key="in.jsonl", Body="\n".join(lines).encode())

    state = run(cloud, machine, f"s3://{BUCKET}/in.jsonl")

    assert state.succeeded
    assert state.counts[:3] == (60, 59, 1)
    found = fetched(cloud, state, tmp_path)
    assert_each_once(found, 60)
    assert found[7]["error"].startswith("surfacee: Este campo no existe.")


def test_an_execution_can_be_watched_while_it_runs(cloud: Cloud, machine: str, s3: Any, functions: Functions) -> None:
    functions.before.append(lambda event: time.sleep(0.2) if event["step"] == "work" else None)
    started = cloud.submit(machine, put(s3, rows(60)), f"s3://{BUCKET}/out", range_bytes=RANGE_BYTES, concurrency=1)
    reports: list[tuple[int, int]] = []

    state = cloud.wait(started.arn, lambda progress: reports.append(progress[:2]))

    assert state.succeeded
    assert reports[-1] == (state.ranges, state.ranges)
    assert len({done for done, _ in reports}) > 1
    assert cloud.status(started.arn).summary() == cloud.status(state.uri).summary()


def test_the_command_line_starts_follows_and_brings_home_a_run(
    cloud: Cloud, machine: str, s3: Any, functions: Functions, tmp_path: Path
) -> None:
    source, out = put(s3, rows(50, broken=lambda i: i == 7)), tmp_path / "prices.csv"

    submitted = command("submit", source, "--out", f"s3://{BUCKET}/out/", "--machine", machine)
    folder = re.search(r"started (s3://\S+)", submitted.stderr)
    assert folder is not None
    status = command("status", folder[1])
    fetched = command("fetch", folder[1], str(out))

    counts = {"rows": 50, "priced": 49, "refused": 1}
    for result in (submitted, fetched):
        assert result.exit_code == 0
        assert counts.items() <= json.loads(result.stdout).items()
    assert json.loads(status.stdout)["state"] == "SUCCEEDED"
    assert_each_once(read(out), 50)


def test_the_command_line_ends_badly_when_a_run_does(cloud: Cloud, machine: str, s3: Any, functions: Functions) -> None:
    s3.put_object(Bucket=BUCKET, Key="in.csv", Body=b"a;b\n1;2\n")

    result = command("submit", f"s3://{BUCKET}/in.csv", "--out", f"s3://{BUCKET}/out", "--machine", machine)

    assert result.exit_code == 1
    assert "failed: s3://homes/in.csv is separated by semicolons" in " ".join(result.stderr.split())
    assert result.stdout == ""


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)
