"""Where the time of a request goes inside the process: each step on the way from its body to the answer's."""

import json
import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

from pydantic_core import from_json, to_json

from app.estimate import Calibration, estimates
from app.features import matrix
from app.model import Model
from app.schemas import Lote
from app.store import EMBEDDED
from bench.homes import homes

SIZES = (1, 1000)
REPEATS = 50
"""Of which a round takes the median."""


def measure(rounds: int, say: Callable[[str], None]) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of every step by number of homes, round by round."""
    model = Model.load(EMBEDDED.read_bytes())
    calibration = Calibration(model.metadata["interval"])
    taken: dict[str, dict[str, list[float]]] = {}

    def step(name: str, n: int, work: Callable[..., Any], *given: Any) -> Any:
        times = []
        for _ in range(REPEATS):
            began = perf_counter()
            result = work(*given)
            times.append(perf_counter() - began)
        taken.setdefault(name, {}).setdefault(str(n), []).append(1e3 * statistics.median(times))
        return result

    for number in range(rounds):
        for n in SIZES:
            body = json.dumps({"viviendas": homes(n, seed=number)}).encode()
            parsed = step("parse JSON", n, from_json, body)
            asked = [one.home() for one in step("validate", n, Lote.model_validate, parsed).viviendas]
            rows = step("features", n, matrix, asked, model._surface)
            sums = step("forest", n, model._forest.predict_spread, rows, n)
            answer = step("price, interval, warnings", n, estimates, rows, *sums, model._cautions, calibration)
            step("count for the metrics", n, model.tally, asked, answer)
            step("write JSON", n, to_json, {"predicciones": answer})
        say(f"parts of a request, round {number + 1} of {rounds}")
    return taken


def table(taken: dict[str, dict[str, list[float]]]) -> list[list[str]]:
    """One row a step: medians."""
    head = ["step", *(f"{n:,} home{'s' * (n > 1)}" for n in SIZES)]
    return [
        head,
        *([name, *(f"{statistics.median(by[str(n)]):,.3g} ms" for n in SIZES)] for name, by in taken.items()),
    ]
