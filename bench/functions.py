"""Cold start, warm requests, a batch and memory of every contestant, round by round."""

import io
import json
import pickle
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib

from app.artifact import read
from app.store import EMBEDDED
from bench.bucket import Bucket
from bench.forests import onnx_model, scikit_learn
from bench.homes import event, home, homes
from bench.service import Environment

WARM = 60
"""Warm requests in a round; their median is the round's figure."""
BATCHES = 5
BATCH = 1000
AGREEMENT = 1e-4  # onnxruntime adds float32


@dataclass(frozen=True)
class Contestant:
    """One way to serve the forest."""

    name: str
    handler: str
    variables: Mapping[str, str] = field(default_factory=dict)
    prices: bool = True
    """Whether its answers are the forest's."""


@contextmanager
def contestants(folder: Path) -> Iterator[list[Contestant]]:
    """Publish the embedded model in every form, and name who serves it from where."""
    data = EMBEDDED.read_bytes()
    artifact = read(data)
    estimator = scikit_learn(artifact)
    surface = {
        "metadata": artifact.metadata,
        "tensors": {
            name: (view.format, view.shape, bytes(view))
            for name, view in artifact.tensors.items()
            if name.startswith("surface.")
        },
    }
    pickled = folder / "model.pickle"
    pickled.write_bytes(pickle.dumps((surface, estimator)))
    joined = io.BytesIO()
    joblib.dump((surface, estimator), joined)
    digest = _digest(data)
    objects = {
        f"{digest[:12]}/model.safetensors": data,
        "current.json": json.dumps({"version": digest[:12], "sha256": digest, "size": len(data)}).encode(),
        "model.joblib": joined.getvalue(),
        "model.onnx": onnx_model(estimator),
        "surface.pickle": pickle.dumps(surface),
    }
    with Bucket(objects) as bucket:
        aws = {
            "AWS_ENDPOINT_URL_S3": bucket.url,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "MODEL_BUCKET": "bench",
        }
        ours = {**aws, "MODEL_URI": bucket.uri, "MODEL_EMBEDDED": "false"}
        yield [
            Contestant("constant", "bench/contestants/constant.handler", prices=False),
            Contestant("this project, S3", "lambda_handler.handler", ours),
            Contestant("this project, embedded", "lambda_handler.handler"),
            Contestant("this project, S3, plain kernel", "bench/contestants/plain.handler", ours),
            Contestant(
                "onnxruntime, S3",
                "bench/contestants/onnx.handler",
                {**aws, "MODEL_KEY": "model.onnx", "SURFACE_KEY": "surface.pickle"},
            ),
            Contestant("scikit-learn, S3", "bench/contestants/usual.handler", {**aws, "MODEL_KEY": "model.joblib"}),
            Contestant("pickle per request", "bench/contestants/tutorial.handler", {"MODEL_FILE": str(pickled)}),
        ]


@dataclass
class Figures:
    """What was measured of one contestant, a number for each round. Milliseconds and MiB."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def measure(rounds: int, only: str, say: Callable[[str], None]) -> dict[str, Figures]:
    """Let every contestant whose name contains `only` take its turn in each round; the first round isn't counted."""
    ask_one, ask_many = homes(1, seed=1), homes(BATCH, seed=2)
    one, many = event("rest-predecir", ask_one[0]), event("rest-lote", {"viviendas": ask_many})
    expected = _served_prices(ask_one + ask_many)
    with tempfile.TemporaryDirectory() as temporary, contestants(Path(temporary)) as all_of_them:
        chosen = [c for c in all_of_them if only in c.name or c.name == "constant"]
        figures = {contestant.name: Figures() for contestant in chosen}
        for number in range(rounds + 1):  # the first fills the page cache and writes the .pyc
            for turn in range(len(chosen)):
                contestant = chosen[(turn + number) % len(chosen)]
                with tempfile.TemporaryDirectory() as cache:
                    taken = _turn(contestant, {"MODEL_CACHE_DIR": f"{cache}/models"}, one, many, expected)
                if number:
                    for name, value in taken.items():
                        getattr(figures[contestant.name], name).append(value)
            say(f"round {number} of {rounds}" if number else "warmed up")
        return figures


def _turn(
    contestant: Contestant, variables: Mapping[str, str], one: bytes, many: bytes, expected: list[float]
) -> dict[str, float]:
    with Environment(contestant.handler, {**contestant.variables, **variables}) as environment:
        _, answer = environment.invoke(one)
        cold = environment.answered - environment.began
        answers = [_body(answer)["precio"]]
        warm = statistics.median(environment.invoke(one)[0] for _ in range(WARM))
        taken = [environment.invoke(many) for _ in range(BATCHES)]
        answers += [prediction["precio"] for prediction in _body(taken[-1][1])["predicciones"]]
        if contestant.prices:
            for price, other in zip(answers, expected, strict=True):
                if abs(price / other - 1) > AGREEMENT:
                    raise AssertionError(f"{contestant.name} prices {price}, the others {other}")
        batch = statistics.median(seconds for seconds, _ in taken)
        return {
            "cold": cold * 1e3,
            "warm": warm * 1e3,
            "batch": batch * 1e3,
            "memory": environment.peak_mebibytes(),
        }


def _body(answer: dict[str, Any]) -> Any:
    if answer["statusCode"] != 200:
        raise AssertionError(answer["body"])
    return json.loads(answer["body"])


def _served_prices(asked: list[dict[str, Any]]) -> list[float]:
    from app.model import Model  # noqa: PLC0415 # only here, to check the others

    return [estimate["precio"] for estimate in Model.load(EMBEDDED.read_bytes()).price([home(h) for h in asked])]


def _digest(data: bytes) -> str:
    import hashlib  # noqa: PLC0415

    return hashlib.sha256(data).hexdigest()
