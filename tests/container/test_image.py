"""What is in the image, and what isn't."""

import json
import re
from typing import Any

import pytest

from tests.conftest import ROOT

BASE = "public.ecr.aws/lambda/python:3.13"
BUDGET = 80 * 1024 * 1024  # bytes over the base image

LOOK = """
import json, os, stat, sys
from pathlib import Path
task = Path(os.environ.get("LAMBDA_TASK_ROOT", "/var/task"))
files = [p for p in task.rglob("*") if p.is_file()]
pycs = [p for p in files if p.suffix == ".pyc"]
print(json.dumps({
    "top": sorted(p.name for p in task.iterdir()),
    "files": sorted(str(p.relative_to(task)) for p in files),
    "unreadable": [str(p) for p in task.rglob("*") if not p.stat().st_mode & stat.S_IROTH],
    "checked": [str(p) for p in pycs if p.read_bytes()[4:8] != (0b01).to_bytes(4, "little")],
    "uncompiled": [str(p) for p in files if p.suffix == ".py"
                   and not (p.parent / "__pycache__" / f"{p.stem}.{sys.implementation.cache_tag}.pyc").exists()],
}))
"""


@pytest.fixture(scope="module")
def inside(engine: Any, image: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.containers.run(image.id, entrypoint=["python", "-c", LOOK], remove=True))
    return found


def python(engine: Any, image: Any, code: str) -> str:
    """What a line of Python prints inside the image."""
    printed: bytes = engine.containers.run(image.id, entrypoint=["python", "-c", code], remove=True)
    return printed.decode().strip()


def test_it_adds_less_to_its_base_than_the_budget(engine: Any, image: Any) -> None:
    added = image.attrs["Size"] - engine.images.get(BASE).attrs["Size"]

    print(f"the image adds {added / 2**20:.0f} MB to {BASE}")
    assert added < BUDGET


def test_its_layers_are_those_of_the_base_and_copies(engine: Any, image: Any) -> None:
    base, own = (i.attrs["RootFS"]["Layers"] for i in (engine.images.get(BASE), image))
    (*_, last_stage) = (ROOT / "Dockerfile.lambda").read_text().split("\nFROM ")
    steps = [line.split()[0] for line in last_stage.splitlines()[1:] if re.match("[A-Z]+ ", line)]

    assert own[: len(base)] == base
    assert set(steps) == {"COPY", "CMD"}
    assert len(own) - len(base) == steps.count("COPY")


def test_training_libraries_tests_and_tools_are_not_in_it(inside: dict[str, Any]) -> None:
    names = {name.lower().partition("-")[0] for name in inside["top"]}

    assert not names & {"sklearn", "scikit_learn", "scipy", "numpy", "pandas", "joblib", "boto3", "botocore"}
    assert not names & {"cython", "setuptools", "pip", "wheel", "training", "tests", "bench", "events", "bin"}
    assert not [file for file in inside["files"] if file.endswith((".c", ".h", ".pxd", ".csv"))]


def test_nothing_that_serves_needs_them(engine: Any, image: Any) -> None:
    code = "import sys, lambda_handler; print(*{name.partition('.')[0] for name in sys.modules})"

    loaded = set(python(engine, image, code).split())

    assert {"lambda_handler", "app", "fastapi"} <= loaded
    assert not {"sklearn", "scipy", "numpy", "pandas", "boto3"} & loaded  # the base image has boto3


def test_nothing_that_can_unpickle_is_imported_by_a_start_and_by_answers(engine: Any, image: Any) -> None:
    script = (ROOT / "tests" / "integration" / "unpickled.py").read_text()
    kinds = ("rest-predecir", "http-lote", "rest-explicar", "rest-evaluar", "rest-422-nan", "rest-docs")
    events = json.dumps([json.loads((ROOT / "events" / f"{kind}.json").read_text()) for kind in kinds])

    found = json.loads(python(engine, image, f"import io, sys\nsys.stdin = io.StringIO({events!r})\n{script}"))

    assert (found["before"], found["asked"], found["loaded"]) == ([], [], [])
    assert found["statuses"] == [200, 200, 200, 200, 422, 200]


def test_batches_run_on_it_with_another_command(engine: Any, image: Any) -> None:
    code = "import sys, batch_handler; print(*{name.partition('.')[0] for name in sys.modules})"

    loaded = set(python(engine, image, code).split())

    assert {"batch", "app", "obstore"} <= loaded
    assert not {"fastapi", "boto3", "pyarrow", "rich", "typer"} & loaded


def test_the_kernel_is_compiled(engine: Any, image: Any) -> None:
    assert python(engine, image, "from app.forest import COMPILED; print(COMPILED)") == "True"


@pytest.mark.parametrize("module", sorted(path.stem for path in (ROOT / "app").glob("*.pxd")))
def test_whatever_can_be_compiled_is(engine: Any, image: Any, module: str) -> None:
    assert python(engine, image, f"import app.{module} as module; print(module.__file__)").endswith(".so")


def test_the_embedded_model_is_in_it(inside: dict[str, Any]) -> None:
    assert "app/embedded/model.safetensors" in inside["files"]


def test_every_module_is_compiled_and_never_compared_with_its_source(inside: dict[str, Any]) -> None:
    assert inside["uncompiled"] == []
    assert inside["checked"] == []


def test_any_user_can_read_all_of_it(inside: dict[str, Any]) -> None:
    assert inside["unreadable"] == []


def test_it_answers_lambda_when_nothing_else_is_said(image: Any) -> None:
    assert image.attrs["Config"]["Cmd"] == ["lambda_handler.handler"]
