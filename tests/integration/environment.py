"""One execution environment in this process: the application over a model source, with its log and metrics."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient

from app import observability
from app.api import create_app
from app.settings import Settings
from app.store import ModelSource


class Answer(NamedTuple):
    status: int
    price: float | None
    version: str | None
    body: Any


class Environment:
    """Starts cold like a Lambda environment; every request is preceded by a refresh, as the handler does it."""

    def __init__(self, settings: Settings, embedded: Path, home: dict[str, Any], capsys: pytest.CaptureFixture[str]):
        self._capsys = capsys
        self._home = home
        observability.configure(settings)
        self.source = ModelSource(settings, embedded)
        self.source.load()
        self._client = TestClient(create_app(self.source), raise_server_exceptions=False)

    def price(self) -> Answer:
        self.source.refresh()
        answer = self._client.post("/predecir", json=self._home)
        body = answer.json()
        return Answer(answer.status_code, body.get("precio"), body.get("modelo"), body)

    def health(self) -> tuple[int, str | None, str | None]:
        """Status, version, origin, as /salud has them."""
        answer = self._client.get("/salud")
        return answer.status_code, answer.json().get("modelo"), answer.json().get("origen")

    def records(self) -> list[dict[str, Any]]:
        """What was logged and counted since the last time: one JSON object a line."""
        return [json.loads(line) for line in self._capsys.readouterr().out.splitlines()]


def counted(records: list[dict[str, Any]], metric: str) -> float:
    """The sum of a metric over EMF records, read as CloudWatch does: from the names each record declares."""
    return sum(
        sum(record[metric])
        for record in records
        for declared in record.get("_aws", {}).get("CloudWatchMetrics", [])
        if metric in {one["Name"] for one in declared["Metrics"]}
    )


def logged(records: list[dict[str, Any]], *levels: str) -> list[dict[str, Any]]:
    """The log lines of these levels."""
    return [record for record in records if record.get("level") in levels]
