"""The model file, read side: bytes -> metadata and tensors, checked, without numpy.

The format is safetensors, which holds no code. What the metadata means is `app.model`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from pydantic_core import from_json
from safetensors import SafetensorError, deserialize

from app.errors import ArtifactError
from app.forest import Forest

MAX_HEADER_BYTES = 1 << 20
"""Of what a file says of itself, 13 KB in the model that ships. What is said wrongly takes far more memory to read."""
_FORMATS: dict[str, Literal["B", "H", "I", "f", "d"]] = {
    "U8": "B",
    "U16": "H",
    "U32": "I",
    "F32": "f",
    "F64": "d",
}


@dataclass(frozen=True)
class Artifact:
    """An opened model file: `metadata` as training wrote it, `tensors` by name as typed, shaped views."""

    metadata: dict[str, Any]
    tensors: Mapping[str, memoryview[Any]]

    def tensor(self, name: str, *formats: str, ndim: int = 1) -> memoryview[Any]:
        """Give a tensor that the caller can read in any of `formats` (letters of the struct module).

        Raises ArtifactError when there is none of that name, or of another type or number of dimensions.
        """
        try:
            tensor = self.tensors[name]
        except KeyError:
            raise ArtifactError(f"the model file has no tensor {name}") from None
        if tensor.format not in formats or tensor.ndim != ndim:
            raise ArtifactError(
                f"the model file's tensor {name} is {tensor.format} in {tensor.ndim} dimensions"
                f" where {' or '.join(formats)} in {ndim} is read"
            )
        return tensor

    def forest(self, ensemble: Mapping[str, Any], n_features: int) -> Forest:
        """Build the kernel of one entry of the metadata's `ensembles`: {"name", "base", "divisor", ...}.

        Raises ArtifactError when the entry or its tensors are not a forest over n_features columns.
        """
        try:
            name, base, divisor = str(ensemble["name"]), float(ensemble["base"]), float(ensemble["divisor"])
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ArtifactError("an ensemble of the model file lacks its name, base or divisor") from None
        return Forest(
            self.tensor(f"{name}.slot", "B"),
            self.tensor(f"{name}.right", "H", "I"),
            self.tensor(f"{name}.value", "f", "d"),
            self.tensor(f"{name}.roots", "I"),
            n_features=n_features,
            base=base,
            divisor=divisor,
        )


def read(data: bytes) -> Artifact:
    """Open a model file. Raises ArtifactError when it is foreign or damaged."""
    if int.from_bytes(data[:8], "little") > MAX_HEADER_BYTES:
        raise ArtifactError(f"the model file is damaged or no model file: its header has over {MAX_HEADER_BYTES} bytes")
    try:
        tensors = {name: _view(name, tensor) for name, tensor in deserialize(data)}  # type: ignore[no-untyped-call] # a Rust module without stubs
        header = from_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = from_json(header["__metadata__"]["model"], allow_inf_nan=False)
    except SafetensorError as error:
        raise ArtifactError(f"the model file is damaged or no model file: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError("the model file holds no description of a model") from error
    if not isinstance(metadata, dict):
        raise ArtifactError("the model file's description is not a JSON object")
    return Artifact(metadata, tensors)


def _view(name: str, tensor: Mapping[str, Any]) -> memoryview[Any]:
    dtype, shape = tensor["dtype"], tensor["shape"]
    if dtype not in _FORMATS or not prod(shape):
        raise ArtifactError(f"the model file's tensor {name} is {dtype} of shape {shape}; no model has that")
    return memoryview(tensor["data"]).cast("B").cast(_FORMATS[dtype], shape)
