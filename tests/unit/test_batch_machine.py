"""The state machine of batches, read against two checkers and against the limits that its service documents.

What it does when it runs is tests/integration/test_batch_cloud.py's business.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.errors import DataError
from app.settings import Settings
from batch.records import Range
from batch.steps import MAX_RANGES, RANGE_BYTES, Job, Steps

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent

# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html, read in November 2026
MAX_PAYLOAD_BYTES = 262_144
MAX_REQUEST_BYTES = 1_048_576
MAX_NAME = 80
MAX_HISTORY_EVENTS = 25_000
EXPRESS_SECONDS = 300
MAX_CHILDREN_AT_ONCE = 10_000
LAMBDA_SECONDS = 900


def machine() -> dict[str, Any]:
    text = (ROOT / "batch" / "machine.asl.json").read_text()
    text = text.replace("${Partition}", "aws").replace("${BatchBucket}", "homes")
    text = text.replace("${BatchFunctionArn}", "arn:aws:lambda:eu-south-2:123456789012:function:batch")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def states(scope: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state, those inside the map too."""
    for name, state in scope["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from states(state["ItemProcessor"])


TASKS = {name: state for name, state in states(machine()) if state["Type"] == "Task"}


def test_statelint_finds_nothing_but_what_it_does_not_know(tmp_path: Path) -> None:
    """It goes by the language's own specification, which doesn't list this field of the service's S3 reader."""
    (tmp_path / "machine.json").write_text(json.dumps(machine()))

    ended = subprocess.run(
        [BIN / "statelint", tmp_path / "machine.json"], capture_output=True, text=True, timeout=60, check=False
    )

    complaints = [line.strip() for line in (ended.stdout + ended.stderr).splitlines() if " error" not in line]
    assert complaints == ['Field "InputType" not allowed in State Machine.States.Price.ItemReader.ReaderConfig']


def test_cfn_lint_finds_nothing(tmp_path: Path) -> None:
    role = "arn:aws:iam::123456789012:role/batch"
    resource = {"Type": "AWS::StepFunctions::StateMachine", "Properties": {"Definition": machine(), "RoleArn": role}}
    (tmp_path / "template.yaml").write_text(yaml.safe_dump({"Resources": {"Machine": resource}}))

    ended = subprocess.run(
        [BIN / "cfn-lint", "--ignore-checks", "W", "--regions", "eu-south-2", "--", tmp_path / "template.yaml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (0, "")


def test_names_and_the_definition_have_room() -> None:
    assert max(len(name) for name, _ in states(machine())) <= MAX_NAME
    assert len(json.dumps(machine())) < MAX_REQUEST_BYTES


def test_no_payload_grows_with_the_file() -> None:
    """Items come from S3 one by one, results go there; what a child gets and gives is a few hundred bytes."""
    price = machine()["States"]["Price"]
    widest = Range(MAX_RANGES, 10**15, 10**15)._asdict()
    item = {"step": "work", "run": "s3://" + "b" * 63 + "/" + "k" * 1024, "range": widest}

    assert price["ItemReader"]["Resource"].endswith(":s3:getObject")
    assert price["ResultWriter"]["Resource"].endswith(":s3:putObject")
    assert len(json.dumps(item)) < MAX_PAYLOAD_BYTES / 100
    assert all(state["OutputPath"] == "$.Payload" for state in TASKS.values())


def test_children_may_take_as_long_as_a_function() -> None:
    config = machine()["States"]["Price"]["ItemProcessor"]["ProcessorConfig"]

    assert config == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert all(EXPRESS_SECONDS < LAMBDA_SECONDS < state["TimeoutSeconds"] for state in TASKS.values())


def test_no_history_comes_near_its_limit() -> None:
    """A task writes some 5 events an attempt; a map writes one for each failed attempt of the whole, not of items."""
    attempts = max(sum(retry.get("MaxAttempts", 3) for retry in state["Retry"]) + 1 for state in TASKS.values())

    assert 5 * attempts * len(TASKS) < MAX_HISTORY_EVENTS / 10


def test_concurrency_stays_below_what_a_map_can_do() -> None:
    job = Job(source="s3://homes/in.csv", out="s3://homes/out")
    limits = Job.model_json_schema()["properties"]["concurrency"]

    assert job.concurrency < limits["maximum"] <= MAX_CHILDREN_AT_ONCE
    assert MAX_RANGES * RANGE_BYTES > 3 * 75 * 10**9  # a billion rows are some 75 GB


@pytest.mark.parametrize("name", TASKS)
def test_throttling_is_waited_out_and_bad_input_is_not_tried_again(name: str) -> None:
    retries = TASKS[name]["Retry"]
    last = retries[-1]

    assert "DataError" in retries[0]["ErrorEquals"]
    assert retries[0]["MaxAttempts"] == 0
    assert last["ErrorEquals"] == ["States.ALL"]
    assert all(retry["BackoffRate"] >= 2 and retry["JitterStrategy"] == "FULL" for retry in retries[1:])
    throttled = next(r for r in retries if {"Lambda.TooManyRequestsException", "States.ALL"} & {*r["ErrorEquals"]})
    assert throttled["MaxAttempts"] >= 8
    assert throttled["MaxDelaySeconds"] == 60


def test_whatever_the_map_says_the_results_are_counted() -> None:
    price = machine()["States"]["Price"]

    assert price["Next"] == "Finish"
    assert [(c["ErrorEquals"], c["Next"]) for c in price["Catch"]] == [(["States.ALL"], "Finish")]
    assert price["ResultPath"] == price["Catch"][0]["ResultPath"] == "$.map"  # the run's address goes on beside it


# --- its place in the stack


class _Plain(yaml.SafeLoader):
    """The template with CloudFormation's short forms as plain values."""


_Plain.add_multi_constructor(
    "!",
    lambda loader, _, node: (
        str(node.value) if isinstance(node, yaml.ScalarNode) else loader.construct_sequence(node, deep=True)
    ),
)


def resource(name: str) -> dict[str, Any]:
    template = yaml.load((ROOT / "template.yaml").read_text(), _Plain)  # noqa: S506  # a SafeLoader
    properties: dict[str, Any] = template["Resources"][name]["Properties"]
    return properties


def permissions(role: str) -> set[tuple[str, str]]:
    found = set()
    for policy in resource(role)["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            for action in [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]:
                targets = statement["Resource"]
                for target in [targets] if isinstance(targets, str) else targets:
                    found.add((action, re.sub(r"arn:.*:(stateMachine|execution):", r"\1:", target)))
    return found


def test_every_name_in_the_definition_is_given_by_the_template() -> None:
    names = set(re.findall(r"\$\{(\w+)\}", (ROOT / "batch" / "machine.asl.json").read_text()))

    assert set(resource("BatchMachine")["DefinitionSubstitutions"]) == names


def test_the_machine_may_call_its_function_run_its_map_and_nothing_else() -> None:
    results = "${BatchBucket.Arn}/map-runs/*"

    assert permissions("BatchMachineRole") == {
        ("lambda:InvokeFunction", "BatchFunction.Arn"),
        ("states:StartExecution", "stateMachine:${AWS::StackName}-batch"),
        ("states:DescribeExecution", "execution:${AWS::StackName}-batch:*"),
        ("states:DescribeExecution", "execution:${AWS::StackName}-batch/*"),
        ("states:StopExecution", "execution:${AWS::StackName}-batch:*"),
        ("states:StopExecution", "execution:${AWS::StackName}-batch/*"),
        ("s3:GetObject", "${BatchBucket.Arn}/*/ranges.json"),
        ("s3:PutObject", results),
        ("s3:GetObject", results),
        ("s3:ListMultipartUploadParts", results),
        ("s3:AbortMultipartUpload", results),
    }
    assert machine()["States"]["Price"]["ResultWriter"]["Parameters"]["Prefix"] == "map-runs"


def test_the_function_may_read_models_and_homes_write_runs_and_nothing_else() -> None:
    assert permissions("BatchRole") == {
        ("s3:GetObject", "${ModelBucket.Arn}/models/*"),
        ("s3:GetObject", "${BatchBucket.Arn}/*"),
        ("s3:PutObject", "${BatchBucket.Arn}/*"),
        ("s3:ListBucket", "BatchBucket.Arn"),
        ("logs:CreateLogStream", "BatchLogs.Arn"),
        ("logs:PutLogEvents", "BatchLogs.Arn"),
    }


def test_the_function_is_the_same_image_with_another_handler_and_as_much_time_as_there_is() -> None:
    function = resource("BatchFunction")

    assert function["ImageConfig"]["Command"] == ["batch_handler.handler"]
    assert function["Timeout"] == LAMBDA_SECONDS
    dockerfile = (ROOT / "Dockerfile.lambda").read_text()
    assert "batch_handler.py" in dockerfile
    assert "/build/batch/" in dockerfile


def test_the_api_starts_without_a_word_of_batches_and_a_batch_without_the_api() -> None:
    def imported(statement: str) -> set[str]:
        code = f"import sys; {statement}; print(*sys.modules)"
        ended = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        return set(ended.stdout.split())

    assert not {"batch", "batch_handler"} & imported("import lambda_handler")
    not_in_the_image = {"boto3", "pyarrow", "rich", "typer", "numpy", "pandas", "sklearn"}
    assert not ({"fastapi", "mangum"} | not_in_the_image) & imported("import batch_handler")


WORK = {"step": "work", "run": "s3://homes/runs/r", "range": Range(0, 0, 10)._asdict()}


@pytest.mark.parametrize(
    ("event", "named"),
    [
        (None, "dictionary"),
        ({}, "step"),
        ({"step": "rest"}, "step"),
        ({"step": "finish"}, "run"),
        (WORK | {"run": "file:///etc"}, "run"),
        (WORK | {"range": "all"}, "range"),
        ({"step": "plan", "name": "n", "execution": "e", "job": {"source": "s3://homes/a.csv"}}, "out"),
    ],
    ids=str,
)
def test_a_step_with_wrong_input_is_refused_by_name_and_not_tried_again(event: Any, named: str) -> None:
    with pytest.raises(DataError, match=named):  # which the machine's retriers leave out
        Steps(Settings()).take(event)
