"""The served forest for the other contestants: as scikit-learn's own object and as an ONNX model."""

from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.tree._tree import Tree

from app.artifact import Artifact

Estimator: TypeAlias = RandomForestRegressor | ExtraTreesRegressor


class Nodes:
    """The tensors of an artifact's forest as arrays, a tree at a time."""

    def __init__(self, artifact: Artifact) -> None:
        self.n_features = len(artifact.metadata["features"])
        self.slot = np.asarray(artifact.tensor("forest.slot", "B"))
        self.right = np.asarray(artifact.tensor("forest.right", "H", "I")).astype(np.int64)
        self.value = np.asarray(artifact.tensor("forest.value", "f", "d")).astype(np.float64)
        roots = np.asarray(artifact.tensor("forest.roots", "I")).astype(np.int64)
        self.trees = [slice(a, b) for a, b in zip(roots, [*roots[1:], len(self.slot)], strict=True)]


def scikit_learn(artifact: Artifact) -> ExtraTreesRegressor:
    """The fitted estimator that the artifact was written from, as far as predicting goes."""
    nodes = Nodes(artifact)
    rows = np.zeros((2, nodes.n_features))
    estimator = ExtraTreesRegressor(len(nodes.trees), n_jobs=1).fit(rows, [0.0, 1.0])
    for fitted, part in zip(estimator.estimators_, nodes.trees, strict=True):
        right = nodes.right[part]
        inner = right > 0
        here = np.arange(len(right))
        table = np.zeros(len(right), dtype=fitted.tree_.__getstate__()["nodes"].dtype)
        table["left_child"] = np.where(inner, here + 1, -1)
        table["right_child"] = np.where(inner, here + right, -1)
        table["feature"] = np.where(inner, nodes.slot[part] // 2, -2)
        table["threshold"] = np.where(inner, nodes.value[part], -2.0)
        table["missing_go_to_left"] = nodes.slot[part] % 2
        table["n_node_samples"] = table["weighted_n_node_samples"] = 1
        tree = Tree(nodes.n_features, np.array([1], dtype=np.intp), 1)
        values = nodes.value[part].reshape(-1, 1, 1)
        tree.__setstate__({"max_depth": 64, "node_count": len(right), "nodes": table, "values": values})
        fitted.tree_ = tree
    return estimator


def onnx_model(estimator: Estimator) -> bytes:
    """The forest as ONNX's TreeEnsembleRegressor, which adds float32 leaves."""
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            "treeids",
            "nodeids",
            "featureids",
            "values",
            "modes",
            "truenodeids",
            "falsenodeids",
            "missing_value_tracks_true",
        )
    }
    leaves: dict[str, list[Any]] = {"treeids": [], "nodeids": [], "ids": [], "weights": []}
    for number, fitted in enumerate(estimator.estimators_):
        tree = fitted.tree_
        inner = tree.children_left >= 0
        here = np.arange(tree.node_count)
        columns["treeids"] += [number] * tree.node_count
        columns["nodeids"] += here.tolist()
        columns["featureids"] += np.where(inner, tree.feature, 0).tolist()
        columns["values"] += _float32_at_or_below(np.where(inner, tree.threshold, 0)).tolist()
        columns["modes"] += np.where(inner, "BRANCH_LEQ", "LEAF").tolist()
        columns["truenodeids"] += np.where(inner, tree.children_left, 0).tolist()
        columns["falsenodeids"] += np.where(inner, tree.children_right, 0).tolist()
        columns["missing_value_tracks_true"] += tree.missing_go_to_left.astype(int).tolist()
        ends = here[~inner]
        leaves["treeids"] += [number] * len(ends)
        leaves["nodeids"] += ends.tolist()
        leaves["ids"] += [0] * len(ends)
        leaves["weights"] += (tree.value[ends, 0, 0] / len(estimator.estimators_)).tolist()
    attributes: dict[str, Any] = {f"nodes_{name}": column for name, column in columns.items()}
    attributes |= {f"target_{name}": column for name, column in leaves.items()}
    node = helper.make_node(
        "TreeEnsembleRegressor", ["rows"], ["means"], domain="ai.onnx.ml", n_targets=1, **attributes
    )
    graph = helper.make_graph(
        [node],
        "forest",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, estimator.n_features_in_])],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _float32_at_or_below(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)
