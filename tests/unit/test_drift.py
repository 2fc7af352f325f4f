"""The counts that show drift add up, and name no home."""

import json
import logging
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import observability
from app.api import create_app
from app.drift import tally
from app.model import Model
from app.schemas import Formulario
from app.settings import Settings
from tests.unit.test_api import FixedSource


def test_every_home_falls_into_one_band_of_each_kind(home: dict[str, Any]) -> None:
    bands = {"surface": [50.0, 80.0, 110.0, 150.0], "precio": [1e5, 2e5, 3e5, 4e5]}
    homes = [Formulario.model_validate(home | {"surface": s}).home() for s in (20, 50, 96, 149, 900)]

    counts = tally(bands, homes, [5e4, 1e5, 2.5e5, 3.9e5, 9e6], [False, True, False, False, True])

    assert counts["surface_bands"] == [1, 1, 1, 1, 1]
    assert counts["price_bands"] == [1, 1, 1, 1, 1]
    assert (counts["homes"], counts["cautioned"], counts["incomplete"]) == (5, 2, 0)


def test_a_batch_leaves_one_record_with_counts_and_no_value_of_a_home(
    small_model: Model, home: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    observability.configure(Settings.from_environment({"AWS_LAMBDA_FUNCTION_NAME": "f"}))
    try:
        homes = [home | {"latitud": 40.4321, "surface": 77.125}, home | {"condicion": None}]
        TestClient(create_app(FixedSource(small_model))).post("/predecir/lote", json={"viviendas": homes})
    finally:
        observability.configure(Settings.from_environment({}))
        logging.getLogger(observability.SERVICE).propagate = True

    (line,) = [line for line in capsys.readouterr().out.splitlines() if "Latency" in line]
    record = json.loads(line)
    assert record["Homes"] == [2.0]
    assert record["incomplete"] == 1
    assert sum(record["price_bands"]) == sum(record["surface_bands"]) == 2
    assert "40.4321" not in line
    assert "77.125" not in line
