"""The kernel alone, against scikit-learn's and onnxruntime's on the same forest: time and memory as both grow."""

from __future__ import annotations

import importlib.util
import statistics
import tracemalloc
from array import array
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import process_time
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

import app.forest
from bench.forests import onnx_model
from bench.homes import home, homes
from training import artifact

LISTINGS = 16_000
ROWS = (1, 10, 100, 1_000, 10_000, 100_000)
TREES = (10, 30, 100, 300, 1_000)
TAKES_SECONDS = 0.05
"""A figure of one round is the mean of as many calls as fit in this time, and of one at least. It is processor time:
every contestant computes in one thread, and what else the machine does then counts for less."""
LARGE_ROUNDS = 3
"""Rounds of what takes seconds: more than 10,000 rows, more than 100 trees."""


def measure(rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Time predictions in ms: {"nodes", "rows": {contestant: {rows: ms}}, "trees": {...}, "memory": {...}}."""
    rows = np.array([_numbers(fields) for fields in homes(LISTINGS, seed=3)])
    target = 12 + np.nan_to_num(rows, nan=5) @ np.full(rows.shape[1], 0.01)
    target += np.random.default_rng(4).normal(0, 0.3, len(rows))
    forest = RandomForestRegressor(100, min_samples_leaf=3, max_features=0.5, n_jobs=2, random_state=0)
    forest.fit(rows, target)
    forest.n_jobs = 1
    many = np.tile(rows, (-(-max(ROWS) // len(rows)), 1))
    say(f"fitted a forest of {sum(tree.tree_.node_count for tree in forest.estimators_):,} nodes")

    by_rows: dict[str, dict[int, list[float]]] = {}
    by_trees: dict[str, dict[int, list[float]]] = {}
    of_hundred = _predictors(forest)
    of_size = {trees: _predictors(_resized(forest, trees)) for trees in TREES}
    for number in range(rounds):
        large = number < LARGE_ROUNDS
        for n in ROWS if large else [n for n in ROWS if n <= 10_000]:
            for name, predict in of_hundred.items():
                if name != "plain kernel" or n <= 1_000:  # it takes minutes beyond
                    by_rows.setdefault(name, {}).setdefault(n, []).append(_milliseconds(predict, many[:n]))
        for trees, predictors in of_size.items() if large else [(n, of_size[n]) for n in TREES if n <= 100]:
            for name in ("scikit-learn", "compiled kernel"):
                taken = _milliseconds(predictors[name], many[:1_000])
                by_trees.setdefault(name, {}).setdefault(trees, []).append(taken)
        say(f"kernel: round {number + 1} of {rounds}")
    return {
        "nodes": sum(tree.tree_.node_count for tree in forest.estimators_),
        "rows": by_rows,
        "trees": by_trees,
        "memory": {trees: _mebibytes(_resized(forest, trees), many) for trees in TREES},
    }


def medians(figures: dict[int, list[float]]) -> dict[int, float]:
    """The median round of each size."""
    return {size: statistics.median(taken) for size, taken in figures.items()}


def _numbers(fields: dict[str, Any]) -> list[float]:
    values = list(home(fields))
    values[10] = None if values[10] is None else len(str(values[10]))  # any number will do for a condition
    return [np.nan if value is None else float(value) for value in values]


def _resized(forest: RandomForestRegressor, trees: int) -> RandomForestRegressor:
    """A forest of the same trees, over and over where it is larger."""
    resized = RandomForestRegressor(trees, n_jobs=1)
    resized.__dict__ |= {name: value for name, value in vars(forest).items() if name.endswith("_")}
    resized.estimators_ = [forest.estimators_[i % len(forest.estimators_)] for i in range(trees)]
    return resized


def _predictors(forest: RandomForestRegressor) -> dict[str, Callable[[NDArray[np.float64]], object]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx_model(forest), options, providers=["CPUExecutionProvider"])
    return {
        "scikit-learn": forest.predict,
        "onnxruntime": lambda rows: session.run(None, {"rows": rows.astype(np.float32)}),
        "plain kernel": partial(_predict, _kernel(_plain(), forest)),
        "compiled kernel": partial(_predict, _kernel(app.forest, forest)),
    }


def _predict(forest: Any, rows: NDArray[np.float64]) -> array[float]:
    means: array[float] = forest.predict(array("d", rows.tobytes()), len(rows))
    return means


def _kernel(build: ModuleType, forest: RandomForestRegressor) -> Any:
    tensors = artifact.tensors(forest, "forest")
    arrays = [tensors[f"forest.{name}"].data for name in ("slot", "right", "value", "roots")]
    return build.Forest(*arrays, n_features=forest.n_features_in_, **artifact.summation(forest))


def _plain() -> ModuleType:
    source = Path(app.forest.__file__).parent / "forest.py"
    spec = importlib.util.spec_from_file_location("plain_forest", source)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _milliseconds(predict: Callable[[NDArray[np.float64]], object], rows: NDArray[np.float64]) -> float:
    predict(rows[:1])
    began = process_time()
    calls = 0
    while calls == 0 or process_time() - began < TAKES_SECONDS:
        predict(rows)
        calls += 1
    return (process_time() - began) / calls * 1e3


def _mebibytes(forest: RandomForestRegressor, rows: NDArray[np.float64]) -> dict[str, float]:
    """What the compiled kernel holds, and what it needs beyond that for the most rows."""
    tensors = artifact.tensors(forest, "forest")
    arrays: list[Any] = [tensors[f"forest.{name}"].data for name in ("slot", "right", "value", "roots")]
    how: dict[str, Any] = {"n_features": forest.n_features_in_} | artifact.summation(forest)
    numbers = array("d", rows[: max(ROWS)].tobytes())
    tracemalloc.start()
    kernel = app.forest.Forest(*arrays, **how)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    kernel.predict(numbers, max(ROWS))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"forest": held / 2**20, "most rows": (peak - held) / 2**20}
