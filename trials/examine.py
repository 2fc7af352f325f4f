"""`python -m trials.examine SEED FIRST LAST SMALL LARGE`: open damaged models one after another, as the service would.

One line a mutation: its number, what was damaged, what came of it, a digest of all answers. It is run by
`trials.artifacts` in a process of its own, because it may crash: time and memory are limited by the system.
"""

from __future__ import annotations

import hashlib
import json
import resource
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any

from pydantic_core import to_json

from app.errors import ArtifactError
from app.features import Home
from app.model import Model
from app.pricemap import price_map
from app.schemas import Formulario
from trials.mutations import mutate

LARGE_EVERY = 100
"""One of so many mutations is of the large model, the others are of the small one."""
EXPLAIN_EVERY, MAP_EVERY = 16, 64
"""One of so many mutations is asked for explanations, and for the map of prices, which take long."""
SECONDS = 60
"""An answer that takes longer is an endless loop."""
ADDRESS_SPACE = 1 << 30

HOME: dict[str, Any] = {
    "latitud": 40.42,
    "longitud": -3.7,
    "surface": 90,
    "baños": 2,
    "habitaciones": 3,
    "jardin": False,
    "antiguedad": 30,
    "superficie_util": 80,
    "ascensor": True,
    "garaje": False,
    "condicion": "Reformado",
}
NOTHING_KNOWN = {"antiguedad": None, "superficie_util": None, "condicion": None}
TINY, ODD = 5e-324, {"baños": 0, "habitaciones": 0}
HOMES: list[Home] = [
    Formulario.model_validate(HOME | changes).home()
    for changes in (
        {},
        NOTHING_KNOWN,
        {"condicion": "A reformar", "antiguedad": 0, "jardin": True, "garaje": True},
        {"latitud": 40.3, "longitud": -3.83, "surface": 400, "condicion": "A estrenar", "superficie_util": None},
        {"latitud": 40.41, "longitud": -3.71, "surface": 30, **ODD},
        {"latitud": 41.05, "longitud": -3.2, "antiguedad": None},
        {"latitud": 90, "longitud": 180, "surface": 1e6, "superficie_util": 1e6, "baños": 1000, "habitaciones": 1000},
        {"latitud": -90, "longitud": -180, "surface": TINY, "superficie_util": TINY, "antiguedad": 3000, **ODD},
        {"latitud": 0, "longitud": 0, "surface": TINY, "superficie_util": 1e6, **ODD},
        {"surface": 1e6, "superficie_util": TINY, "antiguedad": TINY},
    )
]
"""Ordinary ones and the ends of what the contract takes; more than eight, so that the kernel walks them abreast."""


def verdict(data: bytes, number: int) -> tuple[str, str]:
    """What comes of a model file: a word, and a digest of the answers or the type of its refusal.

    Any exception but ArtifactError is one too many.
    """
    try:
        model, word = Model.load(data, sha256="0" * 64), "served"
    except ArtifactError as refusal:
        try:
            model, word = Model.load(data, sha256="0" * 64, replay=False), "unproven"
        except ArtifactError:
            return "refused", type(refusal).__name__
    return word, hashlib.sha256(answers(model, number)).hexdigest()[:16]


def answers(model: Model, number: int) -> bytes:
    """All that can be asked of a model, as JSON. Raises ValueError where JSON can't say it."""
    estimates = model.price(HOMES)
    found: list[Any] = [
        estimates,
        model.price(HOMES[:1]),
        model.tally(HOMES, estimates),
        model.segments(HOMES, [1e5 * i for i in range(1, len(HOMES) + 1)], estimates),
        model.card() | {"nucleo": ""},
        dict(enumerate(model.reference)),
    ]
    if number % EXPLAIN_EVERY == 0:
        found += [model.explain(HOMES[0], model.reference), model.explain(HOMES[7], HOMES[6])]
    if number % MAP_EVERY == 0:
        found.append(price_map(model))
    text = to_json(found, inf_nan_mode="constants")
    json.loads(text, parse_constant=_not_finite)
    return text


def _not_finite(name: str) -> None:
    raise ValueError(f"an answer holds {name}")


def mutated(seed: int, number: int, small: bytes, large: bytes) -> tuple[str, bytes]:
    """One mutation of a trial, the same in every process: what was damaged, and the bytes."""
    return mutate(small if number % LARGE_EVERY else large, Random(f"{seed} {number}"))


def main(seed: int, first: int, last: int, small: bytes, large: bytes) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    for number in range(first, last):
        kind, data = mutated(seed, number, small, large)
        signal.alarm(SECONDS)  # nobody handles it, so it ends even a loop that never comes back from C
        try:
            word, detail = verdict(data, number)
        except Exception as error:  # noqa: BLE001 # not swallowed: it is what is looked for
            word, detail = "broke", f"{type(error).__name__}: {error}"[:300].replace("\n", " ")
        print(number, kind, word, detail, sep="\t", flush=True)
    signal.alarm(0)
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, sep="\t", flush=True)


if __name__ == "__main__":
    numbers, files = [int(text) for text in sys.argv[1:4]], [Path(path).read_bytes() for path in sys.argv[4:6]]
    main(numbers[0], numbers[1], numbers[2], files[0], files[1])
