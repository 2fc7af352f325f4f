"""Made-up homes in the ranges of the listings, and the API Gateway events that ask for their price."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from app.features import Home

EVENTS = Path(__file__).parents[1] / "events"
CONDITIONS = ("A reformar", "En buen estado", "Reformado", "A estrenar", None)


def homes(n: int, seed: int) -> list[dict[str, Any]]:
    """Draw n homes as the contract's JSON objects, with gaps as often as the listings have them."""
    r = np.random.default_rng(seed)
    drawn = []
    for _ in range(n):
        surface = int(np.exp(r.normal(4.6, 0.5)).clip(20, 900))
        drawn.append(
            {
                "latitud": round(float(r.normal(40.42, 0.06)), 6),
                "longitud": round(float(r.normal(-3.70, 0.07)), 6),
                "surface": surface,
                "baños": int(r.integers(1, 4)),
                "habitaciones": int(r.integers(1, 6)),
                "jardin": bool(r.random() < 0.2),
                "antiguedad": int(r.integers(0, 80)) if r.random() < 0.3 else None,
                "superficie_util": round(surface * float(r.uniform(0.75, 0.95))) if r.random() < 0.5 else None,
                "ascensor": bool(r.random() < 0.6),
                "garaje": bool(r.random() < 0.4),
                "condicion": CONDITIONS[r.integers(0, 5)],
            }
        )
    return drawn


def home(fields: dict[str, Any]) -> Home:
    """The same home as `app.features` reads it."""
    return tuple(fields.values())  # the keys stand in the contract's order


def event(name: str, body: object) -> bytes:
    """An event of the sample's kind with another body."""
    sample = json.loads((EVENTS / f"{name}.json").read_text())
    return json.dumps(sample | {"body": json.dumps(body, ensure_ascii=False)}, ensure_ascii=False).encode()
