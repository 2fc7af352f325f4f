"""Every sample event, answered by the image."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from app.model import Model
from app.schemas import Lote
from tests.conftest import ROOT
from tests.container.conftest import ON_A_FREE_PORT, SAM_ENVIRONMENT, Emulator, Running

EVENTS = sorted((ROOT / "events").glob("*.json"))
# `sam local invoke` starts a container for each call, about 4 s: one event of each kind, or all with SAM_EVENTS=all.
SAM_EVENTS = [
    event
    for event in EVENTS
    if os.environ.get("SAM_EVENTS") == "all"
    or event.stem in ("rest-predecir", "http-predecir", "url-predecir", "rest-422-nan")
]


def expected_status(event: Path) -> int:
    """The number in the name of an event file, or 200."""
    return next((int(part) for part in event.stem.split("-") if part.isdigit()), 200)


@pytest.fixture(scope="module")
def embedded() -> Model:
    return Model.load((ROOT / "app" / "embedded" / "model.safetensors").read_bytes())


@pytest.mark.parametrize("event", EVENTS, ids=lambda path: path.stem)
def test_an_event_is_answered_as_its_name_says(emulator: Emulator, event: Path) -> None:
    answer = emulator.invoke(event.read_bytes())

    assert answer["statusCode"] == expected_status(event)


@pytest.mark.parametrize("event", SAM_EVENTS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("built_template")
def test_sam_local_invoke_answers_it_too(sam: str, event: Path) -> None:
    command = [sam, "local", "invoke", "--event", str(event)]
    call = subprocess.run(
        command, check=False, cwd=ROOT, env=SAM_ENVIRONMENT, capture_output=True, text=True, timeout=120
    )

    assert call.returncode == 0, call.stderr
    assert json.loads(call.stdout.splitlines()[-1])["statusCode"] == expected_status(event)


def test_the_image_gives_the_prices_of_the_plain_kernel_to_the_last_bit(emulator: Emulator, embedded: Model) -> None:
    event = (ROOT / "events" / "rest-lote.json").read_bytes()
    homes = Lote.model_validate_json(json.loads(event)["body"]).viviendas

    answer = json.loads(emulator.invoke(event)["body"])

    assert answer["modelo"] == embedded.version
    assert [p["precio"] for p in answer["predicciones"]] == [
        estimate["precio"] for estimate in embedded.price([home.home() for home in homes])
    ]


def test_it_runs_as_lambda_runs_it_without_rights_and_with_tmp_alone_to_write_to(running: Running) -> None:
    tmp = {"/tmp": ""}  # noqa: S108 - inside the container
    with running(ports=ON_A_FREE_PORT, read_only=True, tmpfs=tmp, user="65534:65534", cap_drop=["ALL"]) as container:
        answer = Emulator(container).invoke((ROOT / "events" / "rest-predecir.json").read_bytes())

    assert answer["statusCode"] == 200
