"""The model file, write side: a fitted scikit-learn ensemble -> tensors -> one safetensors file.

`app.forest` says what the tensors mean. A written file has the same bytes for the same tensors and metadata.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestRegressor

from app.forest import MAX_FEATURES

Ensemble: TypeAlias = RandomForestRegressor | ExtraTreesRegressor | HistGradientBoostingRegressor


class _Tree(NamedTuple):
    """The nodes of one tree in scikit-learn's numbering; left is -1 at a leaf."""

    left: NDArray[Any]
    right: NDArray[Any]
    feature: NDArray[Any]
    missing_left: NDArray[Any]
    threshold: NDArray[Any]
    leaf: NDArray[Any]


def tensors(estimator: Ensemble, name: str) -> dict[str, NDArray[Any]]:
    """Lay out a fitted ensemble as `app.forest.Forest` reads it: {name}.slot, .right, .value and .roots.

    Raises ValueError for an estimator whose prediction isn't (base + sum of leaves) / divisor over numbers.
    """
    if estimator.n_features_in_ > MAX_FEATURES:
        raise ValueError(f"{estimator.n_features_in_} columns are more than the {MAX_FEATURES} that can be served")
    trees = [_preorder(tree) for tree in _trees(estimator)]

    slot, right, value = [], [], []
    for tree in trees:
        inner = tree.left >= 0
        slot.append(np.where(inner, 2 * tree.feature + tree.missing_left, 0).astype(np.uint8))
        right.append(np.where(inner, tree.right - np.arange(len(tree.left)), 0))
        value.append(np.where(inner, _round_down(tree.threshold), tree.leaf))

    offsets, values = np.concatenate(right), np.concatenate(value)
    with np.errstate(over="ignore"):
        short = values.astype(np.float32)
    return {
        f"{name}.slot": np.concatenate(slot),
        f"{name}.right": offsets.astype(np.uint16 if offsets.max() < 1 << 16 else np.uint32),
        f"{name}.value": short if np.array_equal(short, values) else values,
        f"{name}.roots": np.cumsum([0, *(len(tree.left) for tree in trees[:-1])]).astype(np.uint32),
    }


def summation(estimator: Ensemble) -> dict[str, float]:
    """Say how the ensemble sums its trees: {"base", "divisor"} for the metadata."""
    if isinstance(estimator, HistGradientBoostingRegressor):
        return {"base": float(estimator._baseline_prediction.item()), "divisor": 1.0}
    return {"base": 0.0, "divisor": float(len(estimator.estimators_))}


def serialize(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> bytes:
    """Make the bytes of a model file; the same for the same tensors and metadata."""
    # one key: safetensors does not keep the order of several, and the bytes would differ from run to run
    return bytes(save(dict(tensors), metadata={"model": json.dumps(metadata, ensure_ascii=False, allow_nan=False)}))


def write(path: Path, data: bytes) -> None:
    """Write a model file under its final name only once it is whole and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o644)  # the temporary file is its owner's alone
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _trees(estimator: Ensemble) -> Iterator[_Tree]:
    if isinstance(estimator, HistGradientBoostingRegressor):
        if estimator.loss not in ("squared_error", "absolute_error", "quantile"):
            raise ValueError(f"a boosted ensemble with loss {estimator.loss} does not predict the sum of its leaves")
        for (predictor,) in estimator._predictors:
            nodes = predictor.nodes
            if nodes["is_categorical"].any():
                raise ValueError("a split on categories cannot be served; use numbers")
            leaf = nodes["is_leaf"].astype(bool)
            yield _Tree(
                np.where(leaf, -1, nodes["left"].astype(np.int64)),
                np.where(leaf, -1, nodes["right"].astype(np.int64)),
                nodes["feature_idx"].astype(np.int64),
                nodes["missing_go_to_left"].astype(bool),
                nodes["num_threshold"],
                nodes["value"],
            )
        return
    if estimator.n_outputs_ != 1:
        raise ValueError(f"the ensemble predicts {estimator.n_outputs_} numbers a row; one can be served")
    for fitted in estimator.estimators_:
        nodes = fitted.tree_.__getstate__()["nodes"]
        yield _Tree(
            nodes["left_child"],
            nodes["right_child"],
            nodes["feature"],
            nodes["missing_go_to_left"].astype(bool),
            nodes["threshold"],
            fitted.tree_.value[:, 0, 0],
        )


def _preorder(tree: _Tree) -> _Tree:
    """Number the nodes so that a left child follows its parent; trees grown depth first are like that."""
    order: list[int] = []
    waiting = [0]
    while waiting:
        node = waiting.pop()
        order.append(node)
        if tree.left[node] >= 0:
            waiting += (tree.right[node], tree.left[node])
    place = np.empty(len(order) + 1, dtype=np.int64)
    place[order] = np.arange(len(order))
    place[-1] = -1
    moved = _Tree(*(column[order] for column in tree))
    return moved._replace(left=place[moved.left], right=place[moved.right])


def _round_down(threshold: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to the float32 at or below: for a float32 x, x <= threshold stays what it was."""
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float64)
