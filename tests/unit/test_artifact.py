"""A model file opens as it was written, or is refused with a sentence."""

from __future__ import annotations

import json
from array import array
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

from app.artifact import read
from app.errors import ArtifactError
from app.model import Model
from training import artifact
from training.recipe import Trained


def _model(path: Path, *, seed: int = 0) -> tuple[RandomForestRegressor, np.ndarray[Any, Any]]:
    rows = np.random.default_rng(seed).normal(size=(200, 3))
    estimator = RandomForestRegressor(5, random_state=seed).fit(rows, rows @ [1.0, 2.0, 3.0])
    ensemble = {"name": "forest", **artifact.summation(estimator), "weight": 1.0}
    tensors = artifact.tensors(estimator, "forest")
    artifact.write(path, artifact.serialize(tensors, {"ensembles": [ensemble], "moneda": "€"}))
    return estimator, rows


def test_a_written_model_predicts_as_it_did_when_it_was_fitted(tmp_path: Path) -> None:
    estimator, rows = _model(tmp_path / "model.safetensors")

    opened = read((tmp_path / "model.safetensors").read_bytes())
    forest = opened.forest(opened.metadata["ensembles"][0], 3)

    assert opened.metadata["moneda"] == "€"
    assert list(forest.predict(array("d", rows.tobytes()), len(rows))) == estimator.predict(rows).tolist()


def test_a_tensor_keeps_its_shape(tmp_path: Path) -> None:
    grid = np.arange(6, dtype=np.float32).reshape(2, 3)
    artifact.write(tmp_path / "model.safetensors", artifact.serialize({"surface.grid": grid}, {}))

    view = read((tmp_path / "model.safetensors").read_bytes()).tensor("surface.grid", "f", ndim=2)

    assert (view.shape, view[1, 2]) == ((2, 3), 5.0)


def test_the_same_model_is_written_as_the_same_bytes(tmp_path: Path) -> None:
    _model(tmp_path / "one")
    _model(tmp_path / "two")

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_model_is_written_beside_nothing_else_and_readable_by_others(tmp_path: Path) -> None:
    _model(tmp_path / "new" / "model.safetensors")

    assert [file.name for file in (tmp_path / "new").iterdir()] == ["model.safetensors"]
    assert (tmp_path / "new" / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_what_cannot_be_written_leaves_the_old_model_and_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    _model(path)
    before = path.read_bytes()

    with pytest.raises(ValueError, match="not JSON compliant"):
        artifact.serialize({"a": np.zeros(1)}, {"mae": float("nan")})
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError, match="directory"):
        artifact.write(tmp_path / "directory", b"model")

    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["directory", "model.safetensors"]


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (HistGradientBoostingRegressor(loss="poisson", max_iter=2), "loss"),
        (HistGradientBoostingRegressor(categorical_features=[0], max_iter=2), "categories"),
        (RandomForestRegressor(2), "2 numbers"),
        (RandomForestRegressor(2, max_depth=1), "columns"),
    ],
    ids=["another link", "categories", "two outputs", "too many columns"],
)
def test_an_ensemble_that_the_kernel_cannot_serve_is_refused(estimator: Any, reason: str) -> None:
    r = np.random.default_rng(0)
    rows = r.integers(0, 9, (100, 200 if reason == "columns" else 2)).astype(float)
    target = np.abs(r.normal(size=(100, 2 if reason == "2 numbers" else 1))) + rows[:, :1] % 2
    estimator.fit(rows, target if reason == "2 numbers" else target[:, 0])

    with pytest.raises(ValueError, match=reason):
        artifact.tensors(estimator, "forest")


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    _model(tmp_path / "model.safetensors")
    data = (tmp_path / "model.safetensors").read_bytes()
    assert read(data)

    for end in {*range(0, len(data), max(1, len(data) // 300)), *range(40), len(data) - 1}:
        with pytest.raises(ArtifactError, match="model file"):
            read(data[:end])


def test_a_flipped_byte_in_the_head_is_refused_or_still_read_as_a_model_file(tmp_path: Path) -> None:
    _model(tmp_path / "model.safetensors")
    data = (tmp_path / "model.safetensors").read_bytes()
    ensemble = read(data).metadata["ensembles"][0]
    head = 8 + int.from_bytes(data[:8], "little")

    for place in range(head):
        for flip in (1, 0x20, 0x80):
            damaged = bytearray(data)
            damaged[place] ^= flip
            try:
                assert read(bytes(damaged)).forest(ensemble, 3)
            except ArtifactError:
                continue


def _headed(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


FOREIGN = {
    "nothing": b"",
    "text": b"not a model at all, but longer than a header's length",
    "zeros": bytes(1000),
    "a pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94K\x01s.",
    "an absurd header": (1 << 62).to_bytes(8, "little") + b"{}",
    "a header beyond the end": (1000).to_bytes(8, "little") + b"{}",
    "a tensor beyond the end": _headed(
        b'{"a":{"dtype":"F64","shape":[1000000000000],"data_offsets":[0,8000000000000]}}'
    ),
    "a shape that overflows": _headed(b'{"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'),
    "no metadata": save({"a": np.zeros(3)}),
    "another's metadata": save({"a": np.zeros(3)}, metadata={"format": "pt"}),
    "metadata that is no JSON": save({"a": np.zeros(3)}, metadata={"model": "{"}),
    "metadata that is no object": save({"a": np.zeros(3)}, metadata={"model": "[]"}),
    "metadata without a bottom": save({"a": np.zeros(3)}, metadata={"model": "[" * 100_000}),
    "a type of no use": save({"a": np.zeros(3, dtype=np.int64)}, metadata={"model": "{}"}),
    "an empty tensor": save({"a": np.zeros((0, 3))}, metadata={"model": "{}"}),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_refused(kind: str) -> None:
    with pytest.raises(ArtifactError, match="model file"):
        read(FOREIGN[kind])


WHOLE: dict[str, np.ndarray[Any, Any]] = {
    "forest.slot": np.array([3, 0, 0], dtype=np.uint8),
    "forest.right": np.array([2, 0, 0], dtype=np.uint16),
    "forest.value": np.array([0.5, 1, 2]),
    "forest.roots": np.array([0], dtype=np.uint32),
}
ENSEMBLE = {"name": "forest", "base": 0.0, "divisor": 1.0}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("damage", ["left out", "of another type", "in two dimensions", "too short"])
def test_a_forest_with_a_damaged_tensor_is_refused(name: str, damage: str) -> None:
    tensor = WHOLE[name]
    other = np.uint32 if tensor.dtype == np.uint8 else np.uint8
    damaged: dict[str, np.ndarray[Any, Any]] = {
        "left out": {},
        "of another type": {name: tensor.astype(other)},
        "in two dimensions": {name: tensor.reshape(1, -1)},
        "too short": {name: tensor[:-1]} if len(tensor) > 1 else {},
    }[damage]
    tensors = {key: value for key, value in WHOLE.items() if key != name} | damaged
    opened = read(save(tensors, metadata={"model": "{}"}))

    with pytest.raises(ArtifactError, match="forest"):
        opened.forest(ENSEMBLE, 2)


@pytest.mark.parametrize(
    "ensemble",
    [
        {},
        {"name": "forest", "base": 0.0},
        {"name": "forest", "base": None, "divisor": 1.0},
        {"name": "forest", "base": "much", "divisor": 1.0},
        {"name": "forest", "base": 0.0, "divisor": 10**400},
        {"name": "another", "base": 0.0, "divisor": 1.0},
    ],
    ids=json.dumps,
)
def test_an_ensemble_that_says_too_little_is_refused(ensemble: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match="model file"):
        read(save(WHOLE, metadata={"model": "{}"})).forest(ensemble, 2)


def _with(data: bytes, /, **changes: Any) -> bytes:
    """A model file with parts of its description changed."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    description = json.loads(header["__metadata__"]["model"]) | changes
    header["__metadata__"]["model"] = json.dumps({name: part for name, part in description.items() if part != "gone"})
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


@pytest.mark.parametrize(
    "changes",
    [
        {"interval": {"confianza": 0.9, "factors": [], "floor": 0.05}},
        {"interval": {"confianza": 0.9, "factors": [1e308] * 4, "floor": 1e308}},
        {"interval": "wide"},
        {"bands": {"surface": ["a"] * 4, "precio": [1, 2, 3, 4]}},
        {"bands": "gone"},
        {"coverage": {"column": "no such column", "least": 0}},
        {"ranges": {"surface": [1]}},
        {"reference": {"latitud": "north"}},
        {"golden": []},
        {"golden": [{"vivienda": {}, "precio": 1}]},
        {"golden": "gone"},
        {"surface": {"grids": []}},
        {"ensembles": []},
        {"features": []},
        {"schema": "madrid-price/0"},
    ],
    ids=str,
)
def test_a_description_that_would_fail_a_request_fails_the_loading(trained: Trained, changes: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError):
        Model.load(_with(trained.data, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluation": "gone"},
        {"data": {"filas": inf}},
        {"versions": {"python": 3}},
        {"interval": {"confianza": 0.9, "factors": [1.3, 1.3, 1.3, -1.3], "floor": 0.05}},
        {"interval": {"confianza": 0.9, "factors": [1.3, 1.3, 1.3, 1e6], "floor": 0.05}},
        {"bands": {"surface": [50, 70, 90], "precio": [1, 2, 3]}},
        {"ranges": {"latitud": [40, 41], "longitud": [-4, -3], "jardin": [0, 1]}},
        {"ranges": {"latitud": [-1e9, 1e9], "longitud": [-4, -3]}},
        {"usual_spread": "wide"},
        {"ensembles": [{"name": "forest", "base": 1e6, "divisor": 10.0}]},
        {"ensembles": [{"name": "forest", "base": 0.0, "divisor": 1e-300}]},
    ],
    ids=str,
)
def test_a_description_that_no_golden_row_would_show_to_be_damaged_fails_the_loading_too(
    trained: Trained, changes: dict[str, Any]
) -> None:
    with pytest.raises(ArtifactError):
        Model.load(_with(trained.data, **changes), replay=False)


def test_a_description_out_of_all_proportion_is_refused_unread(trained: Trained) -> None:
    with pytest.raises(ArtifactError, match="header"):
        Model.load(_with(trained.data, golden=[0] * 1_000_000))


def test_of_a_description_wrong_in_many_places_the_first_is_named(trained: Trained) -> None:
    with pytest.raises(ArtifactError, match=r"golden\.0"):
        Model.load(_with(trained.data, golden=[0] * 100_000))


def test_a_description_written_again_is_still_the_same_model(trained: Trained) -> None:
    assert Model.load(_with(trained.data)).card()["rangos"] == Model.load(trained.data).card()["rangos"]
