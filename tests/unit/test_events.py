"""The Lambda handler, with the sample events that `sam local invoke` uses too."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lambda_handler
from tests.conftest import ROOT

EVENTS = sorted((ROOT / "events").glob("*.json"))
CONTEXT = SimpleNamespace(aws_request_id="11111111-2222-3333-4444-555555555555")


def invoke(event: Path | dict[str, Any]) -> dict[str, Any]:
    loaded = json.loads(event.read_text()) if isinstance(event, Path) else event
    return lambda_handler.handler(loaded, CONTEXT)


@pytest.mark.parametrize("event", EVENTS, ids=lambda path: path.stem)
def test_a_sample_event_is_answered_as_its_name_says(event: Path) -> None:
    expected = next((int(part) for part in event.stem.split("-") if part.isdigit()), 200)

    answer = invoke(event)

    assert answer["statusCode"] == expected
    assert answer["isBase64Encoded"] is False
    if expected != 200:
        assert json.loads(answer["body"])["detail"]


@pytest.mark.parametrize("kind", ["rest-predecir-base64", "http-predecir", "http-predecir-etapa", "url-predecir"])
def test_a_home_costs_the_same_through_every_kind_of_event(kind: str) -> None:
    price = json.loads(invoke(ROOT / "events" / "rest-predecir.json")["body"])["precio"]

    assert json.loads(invoke(ROOT / "events" / f"{kind}.json")["body"])["precio"] == price


def test_every_answer_carries_the_request_id_of_lambda() -> None:
    answer = invoke(ROOT / "events" / "rest-salud.json")

    assert answer["headers"]["x-request-id"] == CONTEXT.aws_request_id
