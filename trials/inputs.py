"""What schemathesis makes of the service's own OpenAPI document, sent in by every way there is, with all its checks."""

import json
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from sys import executable
from time import monotonic
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.specs.openapi.schemas import OpenApiSchema
from werkzeug import Request

from bench.report import markdown
from bench.service import Environment
from tests.integration.servers import free_port, running, wait_until_it_answers
from trials.doors import Door, http_api, rest_api

RESULTS = Path(__file__).parent / "results"
DOCUMENT = "/openapi.json"
PATIENCE_SECONDS = 10
"""For one answer of the server; what takes longer hangs."""

Settings = dict[str, Any]
"""Of schemathesis, as its configuration file has them."""


@dataclass
class Route:
    """What came back from one route."""

    cases: Counter[str] = field(default_factory=Counter)
    """By the way in."""
    statuses: Counter[int] = field(default_factory=Counter)
    slowest_ms: float = 0.0


@dataclass
class Trial:
    """What came of a trial: counts by route, and all that broke."""

    seed: int
    routes: dict[str, Route] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def cases(self) -> int:
        """Requests sent, by all ways together."""
        return sum(route.cases.total() for route in self.routes.values())


@contextmanager
def _server(settings: Settings) -> Iterator[OpenApiSchema]:
    """The server, as `make run` starts it."""
    with tempfile.TemporaryDirectory() as folder:
        port, log = free_port(), Path(folder, "log")
        command = [executable, "-m", "uvicorn", "lambda_handler:app", "--port", str(port), "--no-access-log"]
        with running(command, log) as process:
            url = f"http://127.0.0.1:{port}{DOCUMENT}"
            wait_until_it_answers(url, process, log)
            yield schemathesis.openapi.from_url(url, config=SchemathesisConfig.from_dict(settings))


@contextmanager
def _events(event: Callable[[Request], dict[str, Any]], settings: Settings) -> Iterator[OpenApiSchema]:
    """The handler under AWS' runtime client, invoked with events."""
    # without an address, the document's relative one is taken for the name of a folder
    config = SchemathesisConfig.from_dict(settings | {"base-url": "http://localhost"})
    with Environment("lambda_handler.handler", {}) as function:
        yield schemathesis.openapi.from_wsgi(DOCUMENT, Door(function, event), config=config)


WAYS: dict[str, Callable[[Settings], AbstractContextManager[OpenApiSchema]]] = {
    "server": _server,
    "REST API events": partial(_events, rest_api),
    "HTTP API events": partial(_events, http_api),
}


def measure(
    cases: int,
    seed: int,
    advance: Callable[[], None] = lambda: None,
    phases: Mapping[str, bool] | None = None,
) -> Trial:
    """Send at least so many cases in, the same number by each way; `advance` is called for each."""
    began = monotonic()
    trial = Trial(seed)
    for way, enter in WAYS.items():
        # the four routes that take a body get what is drawn; the boundaries of their fields come on top
        settings: Settings = {
            "seed": seed,
            "continue-on-failure": True,
            "request-timeout": PATIENCE_SECONDS,
            "generation": {"max-examples": math.ceil(cases / len(WAYS) / 4), "database": "none"},
            "phases": {name: {"enabled": on} for name, on in (phases or {}).items()},
        }
        with enter(settings) as schema:
            for event in from_schema(schema).execute():
                _take(event, way, trial, advance)
    trial.seconds = monotonic() - began
    return trial


def _take(event: events.EngineEvent, way: str, trial: Trial, advance: Callable[[], None]) -> None:
    if isinstance(event, events.ScenarioFinished):
        recorder = event.recorder
        route = trial.routes.setdefault(recorder.label, Route())
        for interaction in recorder.interactions.values():
            advance()
            route.cases[way] += 1
            if interaction.response is None:
                trial.broken.append(f"{way}: {recorder.label}: no answer in {PATIENCE_SECONDS} seconds")
                continue
            route.statuses[interaction.response.status_code] += 1
            route.slowest_ms = max(route.slowest_ms, interaction.response.elapsed * 1e3)
        for check in (check for checks in recorder.checks.values() for check in checks):
            if check.status == Status.FAILURE and check.failure_info is not None:
                info = check.failure_info
                trial.broken.append(f"{way}: {recorder.label}: {info.failure}\n{info.code_sample}")
    elif isinstance(event, events.NonFatalError):
        trial.broken.append(f"{way}: {event.label}: {event.info.message}")
    elif isinstance(event, events.FatalError):
        raise event.exception
    elif isinstance(event, events.EngineFinished):
        trial.broken.extend(f"{way}: {failure}" for failure in event.failures)


def save(trial: Trial) -> None:
    """Keep it as JSON in trials/results/."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "inputs.json").write_text(json.dumps(trial, default=vars, indent=1))


def table(trial: Trial) -> str:
    """It in a sentence and a table."""
    rows: list[list[Any]] = [["route", *(f"cases, {way}" for way in WAYS), "what came back", "slowest answer"]]
    for name, route in trial.routes.items():
        statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(route.statuses.items()))
        cases = [f"{route.cases[way]:,}" for way in WAYS]
        rows.append([f"`{name}`", *cases, statuses, f"{route.slowest_ms:.0f} ms"])
    return (
        f"{trial.cases:,} cases in {trial.seconds:.0f} s (schemathesis {version('schemathesis')}, seed {trial.seed}): "
        f"**{len(trial.broken)} failures**.\n\n{markdown(rows)}"
    )
