"""A model file -> the same file, damaged: bytes, header, description or tensors, as a seed says.

What is damaged is told apart by where: a file whose bytes are hit at random is mostly no safetensors file any more,
so the others know the format and damage what lies behind it.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, nan
from random import Random
from typing import Any

from app.features import FIELDS, NAMES

TYPES = {"U8": "B", "U16": "H", "U32": "I", "F32": "f", "F64": "d"}
WIDER = {"U16": "U32", "F32": "F64"}
OTHER_TYPES = [*TYPES, "I8", "I64", "F16", "BF16", "BOOL", "F8_E4M3", "U64", "X9", ""]
INTEGERS = (0, 1, 2, 3, 7, 8, 9, 57, 58, 127, 128, 255, 256, 32767, 32768, 65534, 65535, 2**24, 2**31, 2**32 - 1)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 100.0, 300.0, -300.0, 1e30, -1e30, 3.4e38, 1e-45, inf, -inf, nan)
HUGE = (2**31, 2**32, 2**53, 2**62, 2**63, 2**64 - 1, 2**64, 10**30)
RAW = {"@1e999@": "1e999", "@deep@": "[" * 5000 + "]" * 5000, "@digits@": "9" * 5000, "@minus@": "-", "@nan@": "nan"}
"""What `json` wouldn't write, by what stands in its place until it has written the rest."""
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    3,
    10**18,
    10**400,
    -(10**30),
    0.0,
    -0.0,
    1e-320,
    0.5,
    1e6,
    1e30,
    1e308,
    -1e308,
    nan,
    inf,
    -inf,
    "",
    "0",
    "12",
    "nan",
    "surface",
    "a" * 10_000,
    "\ud800",
    "\x00",
    [],
    {},
    [[]],
    [None],
    [1, 2],
    [2, 1],
    [0.0] * 1000,
    {"latitud": 1},
    *RAW,
)

NO_MORE_A_MODEL = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, struct.error)
"""What taking a file apart may raise when an earlier damage was thorough."""


@dataclass(frozen=True)
class ModelFile:
    """A model file taken apart. tensors: name -> type, shape, bytes."""

    tensors: dict[str, tuple[str, list[int], bytes]]
    description: str

    @classmethod
    def read(cls, data: bytes) -> ModelFile:
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        description = header.pop("__metadata__")["model"]
        return cls(
            {
                name: (
                    found["dtype"],
                    found["shape"],
                    data[end + found["data_offsets"][0] : end + found["data_offsets"][1]],
                )
                for name, found in header.items()
            },
            description,
        )

    def header(self) -> dict[str, Any]:
        header: dict[str, Any] = {"__metadata__": {"model": self.description}}
        at = 0
        for name, (dtype, shape, data) in self.tensors.items():
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
            at += len(data)
        return header

    def write(self, header: str | None = None) -> bytes:
        text = (json.dumps(self.header()) if header is None else header).encode("utf-8", "surrogatepass")
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in self.tensors.values())


def mutate(data: bytes, random: Random) -> tuple[str, bytes]:
    """Damage a model file once or a few times; what was damaged, and the bytes."""
    kind = random.choice(list(KINDS))
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        try:
            data = KINDS[kind](data, random)
        except NO_MORE_A_MODEL:
            data = _bytes(data, random)
    return kind, data


def _bytes(data: bytes, random: Random) -> bytes:
    """Hit the file anywhere, or its first part, which a random hit of a large file would hardly meet."""
    reach = random.choice((8, 64, 4096, len(data), len(data)))
    at = random.randrange(max(1, min(reach, len(data))))
    length = random.choice((1, 1, 2, 4, 8, 64, 4096))
    hit = bytearray(data)
    match random.randrange(7):
        case 0:
            hit[at : at + 1] = bytes([hit[at] ^ 1 << random.randrange(8)]) if hit else b""
        case 1:
            hit[at : at + length] = random.randbytes(length)
        case 2:
            hit[at : at + length] = bytes([random.choice((0, 1, 0x20, 0x7F, 0x80, 0xFF))]) * length
        case 3:
            del hit[at:]
        case 4:
            del hit[at : at + length]
        case 5:
            other = random.randrange(max(1, len(hit)))
            hit[at : at + length] = hit[other : other + length]
        case _:
            other = random.randrange(max(1, len(hit)))
            hit[at:at] = hit[other : other + length]
    return bytes(hit) or b"\x00"


def _header(data: bytes, random: Random) -> bytes:
    """Let the header say something else than lies behind it."""
    file = ModelFile.read(data)
    header = file.header()
    name, other = random.choice(list(file.tensors)), random.choice(list(file.tensors))
    entry = header[name]
    text = None
    match random.randrange(12):
        case 0:
            entry["dtype"] = random.choice(OTHER_TYPES)
        case 1:
            entry["shape"] = random.choice(
                ([], [0], [1], [2**32, 2**32], [random.choice(HUGE)], [-1], entry["shape"] * 2)
            )
        case 2:
            entry["shape"] = random.choice(([1, *entry["shape"]], [*entry["shape"], 1], [1] * 70 + entry["shape"]))
        case 3:
            entry["data_offsets"][random.randrange(2)] = random.choice(
                (*HUGE, 0, -1, 1.5, None, "0", random.randrange(len(data)))
            )
        case 4:
            entry["data_offsets"] = list(header[other]["data_offsets"])
        case 5:
            header[name], header[other] = header[other], header[name]
        case 6:
            del header[random.choice(list(header))]
        case 7:
            header[random.choice(("surface.3.index", "x", "", "__metadata__", other))] = header.pop(name)
        case 8:
            text = json.dumps(header)[:-1] + f", {json.dumps(name)}: {json.dumps(header[other])}}}"
        case 9:
            entry[random.choice(("dtype", "shape", "data_offsets", "more"))] = random.choice(VALUES)
        case 10:
            header["__metadata__"] = random.choice(
                (None, {}, [], "", {"model": random.choice(VALUES)}, {"model": file.description, "x": "y"})
            )
        case _:
            length = random.choice(
                (*HUGE[:6], 0, 1, len(data), len(data) - 8, int.from_bytes(data[:8], "little") + random.randint(-9, 9))
            )
            return (length % 2**64).to_bytes(8, "little") + data[8:]
    return file.write(_raw(json.dumps(header)) if text is None else text)


def _description(data: bytes, random: Random) -> bytes:
    """Let the description be of other types, lengths and numbers, or lack something."""
    file = ModelFile.read(data)
    description = json.loads(file.description)
    holder, key = _somewhere(description, random)
    value = holder[key]
    match random.randrange(9):
        case 0 | 1 | 2:
            holder[key] = random.choice(VALUES)
        case 3:
            del holder[key]
        case 4 if isinstance(value, int | float):
            holder[key] = random.choice(
                (
                    -value,
                    value * 1e3,
                    value + 1,
                    str(value),
                    [value],
                    int(value) if abs(value) < 1e300 else 0,
                    bool(value),
                )
            )
        case 5 if isinstance(value, list):
            holder[key] = random.choice((value[:-1], value + value, value[::-1], value[:1], dict(enumerate(value))))
        case 5 if isinstance(value, dict):
            holder[key] = random.choice((list(value), list(value.values()), value | {"more": 1}))
        case 6:
            other_holder, other = _somewhere(description, random)
            holder[key] = json.loads(json.dumps(other_holder[other]))
        case 7 if isinstance(holder, dict):
            holder[random.choice((*FIELDS, *NAMES[-3:], "x"))] = holder.pop(key)
        case _:
            holder[key] = random.choice(
                (random.uniform(-1e3, 1e3), random.randrange(-1000, 1000), random.choice(VALUES))
            )
    return replace(file, description=_raw(json.dumps(description))).write()


def _somewhere(value: Any, random: Random) -> tuple[Any, Any]:
    """A container inside a JSON value and a key of it; small parts are met as often as large ones."""
    while True:
        key = random.choice(list(value)) if isinstance(value, dict) else random.randrange(len(value))
        inside = value[key]
        if not isinstance(inside, dict | list) or not inside or random.random() < 0.2:
            return value, key
        value = inside


def _raw(text: str) -> str:
    for mark, raw in RAW.items():
        text = text.replace(f'"{mark}"', raw)
    return text


def _tensors(data: bytes, random: Random) -> bytes:
    """Change the elements of a tensor, or their number, in a file that stays whole."""
    file = ModelFile.read(data)
    name = random.choice(list(file.tensors))
    dtype, shape, content = file.tensors[name]
    letter = TYPES[dtype]
    size = struct.calcsize(letter)
    hit = bytearray(content)
    count = len(hit) // size

    def element() -> bytes:
        """One of the tensor's own, which it mostly bears in another place, or one that it may not."""
        at = random.randrange(count)
        if random.random() < 0.7:
            return content[at * size : (at + 1) * size]
        return _packed(
            dtype, random.choice((*(FLOATS if dtype in ("F32", "F64") else INTEGERS), at, count, count - at))
        )

    at, length = random.randrange(count), random.choice((1, 1, 1, 3, 10, 1000))
    match random.randrange(9):
        case 0 | 1 | 2:
            for _ in range(length):
                at = random.randrange(count)
                hit[at * size : (at + 1) * size] = element()
        case 3:
            hit[at * size : (at + length) * size] = element() * min(length, count - at)
        case 4:
            hit[:] = element() * count
        case 5:
            hit[at * size : (at + length) * size] = random.randbytes(size * min(length, count - at))
        case 6:
            del hit[-min(length, count) * size :]
        case 7:
            dtype = WIDER.get(dtype, dtype)  # the kernel takes both; what is done to it next may need the room
            hit[:] = array(TYPES[dtype], array(letter, content)).tobytes()
        case _:
            hit += hit[: length * size] if random.random() < 0.5 else element() * length
    shape = [len(hit) // struct.calcsize(TYPES[dtype])] if len(hit) != len(content) else shape
    return ModelFile(file.tensors | {name: (dtype, shape, bytes(hit))}, file.description).write()


_NODES = {"forest.slot": "U8", "forest.right": "U32", "forest.value": "F64"}


def _nodes(data: bytes, random: Random) -> bytes:
    """Change whole nodes, slot, offset and value together, in the widest types that the kernel takes."""
    file = ModelFile.read(data)
    nodes: list[list[Any]] = [
        list(array(TYPES[dtype], content)) for dtype, _, content in (file.tensors[name] for name in _NODES)
    ]
    slot, right, value = nodes
    slots, offsets = range(256), (*INTEGERS, *(k << 24 for k in range(1, 256)))
    n = len(slot)
    fixed = random.choice(slots), random.choice(offsets)
    for _ in range(random.choice((1, 3, 100, n))):
        i = random.randrange(n)
        slot[i], right[i] = fixed if random.random() < 0.9 else (random.choice(slots), random.choice(offsets))
        if random.random() < 0.1:
            value[i] = random.choice(FLOATS)
    changed = {
        name: (dtype, [n], array(TYPES[dtype], part).tobytes())
        for (name, dtype), part in zip(_NODES.items(), nodes, strict=True)
    }
    return ModelFile(file.tensors | changed, file.description).write()


def _packed(dtype: str, value: float) -> bytes:
    letter = TYPES[dtype]
    if letter in "fd":
        return struct.pack(f"<{letter}", min(value, 3.4e38) if letter == "f" and value < inf else value)
    return (int(value) % (1 << 8 * struct.calcsize(letter))).to_bytes(struct.calcsize(letter), "little")


KINDS: dict[str, Callable[[bytes, Random], bytes]] = {
    "bytes anywhere": _bytes,
    "header": _header,
    "description": _description,
    "tensors": _tensors,
    "nodes": _nodes,
}
"""What can be damaged, by how the tables call it."""
