"""The Lambda handler, with the sample events that `sam local invoke` uses too."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lambda_handler
from app.observability import SERVICE
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


def test_a_stage_alone_is_the_root() -> None:
    event = json.loads((ROOT / "events" / "http-predecir-etapa.json").read_text())
    context = event["requestContext"]
    root = {"path": f"/{context['stage']}", "method": "GET"}

    answer = invoke(event | {"body": None, "requestContext": context | {"http": context["http"] | root}})

    assert answer["statusCode"] == 200


def test_every_answer_carries_the_request_id_of_lambda() -> None:
    answer = invoke(ROOT / "events" / "rest-salud.json")

    assert answer["headers"]["x-request-id"] == CONTEXT.aws_request_id


CONTENT = "sesenta y cuatro"
"""Stands in every event that is refused, and nowhere in what comes of it."""
GONE = object()
DOORS = {"rest": "rest-predecir", "http": "http-predecir", "url": "url-predecir"}


def sample(door: str, *place: str, value: Any = GONE) -> Any:
    """The sample event of a front door with another value in one place, or with nothing there."""
    event = part = json.loads((ROOT / "events" / f"{DOORS[door]}.json").read_text())
    event["headers"]["x-secret"] = CONTENT
    for name in place[:-1]:
        part = part[name]
    if value is GONE:
        del part[place[-1]]
    else:
        part[place[-1]] = value
    return event


BROKEN = {
    "base64 cut short": sample("rest", "body", value="eyJsY") | {"isBase64Encoded": True},
    "base64 with other letters": sample("url", "body", value="ñandú"),
    "a body that is a number": sample("http", "body", value=5),
    "a body that is an object": sample("rest", "body", value={"surface": 96}),
    "a body of lone surrogates": sample("rest", "body", value="\ud800"),
    "no context": sample("rest", "requestContext"),
    "a context of null": sample("http", "requestContext", value=None),
    "a context without http": sample("http", "requestContext", "http"),
    "no method": sample("rest", "httpMethod"),
    "a method of null": sample("url", "requestContext", "http", "method", value=None),
    "a method that is a list": sample("rest", "httpMethod", value=["GET"]),
    "no path": sample("rest", "path"),
    "a path of lone surrogates": sample("http", "requestContext", "http", "path", value="/\udfff"),
    "a path that is a number": sample("url", "requestContext", "http", "path", value=7),
    "headers of null": sample("http", "headers", value=None),
    "headers as a list": sample("rest", "headers", value=[["a", "b"]]),
    "a header that is a number": sample("rest", "headers", value={"content-length": 4}),
    "a header of null": sample("url", "headers", value={"accept": None}),
    "many values that are numbers": sample("rest", "multiValueHeaders", value={"a": [1]}),
    "a port that is no number": sample("url", "headers", value={"x-forwarded-port": "https"}),
    "a query of null": sample("http", "rawQueryString", value=None),
    "a query that is a text": sample("rest", "queryStringParameters", value="a=b"),
    "cookies that are numbers": sample("http", "cookies", value=[1]),
}
FOREIGN = {
    "S3": {"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": CONTENT}}}]},
    "SQS": {"Records": [{"eventSource": "aws:sqs", "receiptHandle": "r", "body": CONTENT}]},
    "SNS": {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": CONTENT}}]},
    "DynamoDB": {"Records": [{"eventSource": "aws:dynamodb", "dynamodb": {"Keys": {CONTENT: {}}}}]},
    "EventBridge": {"version": "0", "detail-type": CONTENT, "source": "aws.ec2", "detail": {}},
    "websocket": {"requestContext": {"connectionId": CONTENT, "routeKey": "$connect", "stage": "prod"}},
    "CloudWatch Logs": {"awslogs": {"data": CONTENT}},
    "unknown": {},
    "list": [CONTENT],
    "str": CONTENT,
    "NoneType": None,
    "int": 64,
}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """What the service logs, each line once, wherever earlier tests had it go."""
    logger = logging.getLogger(SERVICE)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    return caplog


def refused(event: Any, log: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Hold the answer to an event, and the one line about it, to what a refusal is; gives the line's fields."""
    answer = invoke(event)

    assert answer["statusCode"] == 400
    assert answer["isBase64Encoded"] is False
    assert answer["headers"]["content-type"] == "application/json"
    assert answer["headers"]["x-request-id"] == CONTEXT.aws_request_id
    detail = json.loads(answer["body"])["detail"]
    (line,) = log.records
    assert (line.levelname, line.exc_info) == ("WARNING", None)
    assert CONTENT not in f"{answer}{vars(line)}"
    return {**vars(line), "detail": detail}


@pytest.mark.parametrize("event", BROKEN.values(), ids=BROKEN)
def test_a_broken_request_is_answered_with_what_is_wrong_with_it(event: Any, log: pytest.LogCaptureFixture) -> None:
    assert "petición" in refused(event, log)["detail"]


@pytest.mark.parametrize(("kind", "event"), FOREIGN.items(), ids=FOREIGN)
def test_an_event_of_another_service_is_refused_and_named(kind: str, event: Any, log: pytest.LogCaptureFixture) -> None:
    line = refused(event, log)

    assert line["kind"] == kind
    assert "no es una petición HTTP" in line["detail"]


@pytest.mark.parametrize("part", ["headers", "multiValueHeaders", "queryStringParameters"])
def test_what_a_rest_api_sends_as_null_is_nothing(part: str) -> None:
    assert invoke(sample("rest", part, value=None))["statusCode"] == 200


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def places(part: Any, *place: str) -> Iterator[tuple[str, ...]]:
    for name in part if isinstance(part, dict) else ():
        yield (*place, name)
        yield from places(part[name], *place, name)


PLACES = [
    (door, place)
    for door, name in DOORS.items()
    for place in places(json.loads((ROOT / "events" / f"{name}.json").read_text()))
]


@settings(deadline=None)
@given(st.sampled_from(PLACES), values | st.just(GONE))
def test_whatever_stands_in_an_event_there_is_an_answer(where: tuple[str, tuple[str, ...]], value: Any) -> None:
    door, place = where

    answer = invoke(sample(door, *place, value=value))

    assert answer["statusCode"] in {200, 400, 404, 405, 415, 422}
    assert json.loads(json.dumps(answer))["body"].startswith("{")
