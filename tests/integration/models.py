"""Model files for tests: sound ones that can be told apart by their prices, and unsound ones."""

import hashlib
from typing import Any, NamedTuple

import numpy as np

from app import artifact as reader
from app.features import FIELDS
from app.model import Model
from training import artifact as writer


class ModelFile(NamedTuple):
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def version(self) -> str:
        return self.sha256[:12]

    @property
    def pointer(self) -> dict[str, Any]:
        return {"version": self.version, "sha256": self.sha256, "size": len(self.data)}


def altered(data: bytes, /, **metadata: Any) -> ModelFile:
    """The same trees with other metadata."""
    found = reader.read(data)
    tensors = {name: np.array(tensor) for name, tensor in found.tensors.items()}
    return ModelFile(writer.serialize(tensors, found.metadata | metadata))


def dearer(data: bytes, factor: float) -> ModelFile:
    """A sound model whose every price is `factor` times the other's."""
    metadata = reader.read(data).metadata
    (ensemble,) = metadata["ensembles"]
    ensemble = ensemble | {"base": ensemble["base"] + float(np.log(factor)) * ensemble["divisor"]}
    unproven = altered(data, ensembles=[ensemble])
    model = Model.load(unproven.data, replay=False)
    homes = [tuple(row["vivienda"][name] for name in FIELDS) for row in metadata["golden"]]
    golden = [
        row | {"precio": estimate["precio"]}
        for row, estimate in zip(metadata["golden"], model.price(homes), strict=True)
    ]
    return altered(unproven.data, golden=golden)


def of_another_schema(data: bytes) -> ModelFile:
    return altered(data, schema="madrid-price/2")


def that_prices_wrongly(data: bytes) -> ModelFile:
    """A whole file whose trees do not give the prices it promises."""
    golden = reader.read(data).metadata["golden"]
    return altered(data, golden=[row | {"precio": row["precio"] + 1} for row in golden])
