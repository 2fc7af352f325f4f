"""The ways to deploy, docs/deploy.md and the workflows, held to what there is."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.unit.test_template import source

GUIDE = (ROOT / "docs" / "deploy.md").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step for job in jobs for step in job.get("steps", [])]


def test_the_guide_calls_targets_that_exist() -> None:
    called = set(re.findall(r"(?:^|`|&& )make ([a-z-]+)", GUIDE, re.MULTILINE))

    assert called <= TARGETS
    assert {"build", "invoke", "start-api", "deploy", "publish", "rollback"} <= called


def test_the_guide_names_parameters_and_outputs_of_the_stack() -> None:
    template = source()
    rows = re.search(r"\| parameter \|.*?\n\n", GUIDE, re.DOTALL)
    assert rows is not None
    overrides = re.search(r"--parameter-overrides (.*)'", GUIDE)
    assert overrides is not None
    parameters = re.findall(r"`([A-Z]\w+)`", rows[0]) + re.findall(r"(\w+)=", overrides[1])
    outputs = {name for line in re.findall(r"outputs? .*", GUIDE) for name in re.findall(r"`([A-Z]\w+)`", line)}

    assert set(parameters) <= set(template["Parameters"])
    assert outputs <= set(template["Outputs"]) | {"AlarmEmail"}


def test_the_guide_explains_every_alarm() -> None:
    alarms = {name for name, resource in source()["Resources"].items() if resource["Type"] == "AWS::CloudWatch::Alarm"}

    assert {f"{name}Alarm" for name in re.findall(r"^\| ([A-Z]\w+) \| ", GUIDE, re.MULTILINE)} == alarms


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_make_targets_and_pinned_actions_alone(workflow: Path) -> None:
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    run = [step["run"] for step in steps(workflow) if "run" in step]

    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in used)
    assert {command.split()[1] for command in run} <= TARGETS
    assert all(command.startswith("make ") for command in run)


def test_only_the_deployment_can_prove_who_it_is_and_no_key_is_stored() -> None:
    texts = [workflow.read_text() for workflow in WORKFLOWS]
    deploy = yaml.safe_load((ROOT / ".github" / "workflows" / "deploy.yml").read_text())

    assert all("secrets." not in text for text in texts)
    assert sum(text.count("id-token: write") for text in texts) == 1
    assert deploy["jobs"]["deploy"]["needs"] == "checks"
    assert deploy["jobs"]["deploy"]["environment"] == "production"


def test_the_image_compiles_whatever_can_be_compiled() -> None:
    typed = {path.stem for path in (ROOT / "app").glob("*.pxd")}
    compiled = re.findall(r"^COMPILED = \[(.*)\]", (ROOT / "setup.py").read_text(), re.MULTILINE)
    copied = re.findall(r"^COPY (app/.*\.\*) app/$", (ROOT / "Dockerfile.lambda").read_text(), re.MULTILINE)

    assert set(re.findall(r"\w+", compiled[0])) == typed
    assert {Path(name).stem for name in copied[0].split()} == typed
