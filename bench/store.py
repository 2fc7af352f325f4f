"""What the model store costs: `python -m bench.store [MODEL]` prints a table.

The S3 server is SeaweedFS on this machine, so the network is missing from every figure: on AWS add a round trip
(TLS included) to each request, and the model's size over the function's bandwidth to the fetch.
"""

import contextlib
import io
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import boto3

from app import observability
from app.settings import Settings
from app.store import EMBEDDED, ModelSource
from tests.integration import servers
from tests.integration.proxy import OK, Fault, Proxy, Request
from training.registry import Registry, pointer_to

Action = Callable[[], object]


def milliseconds(action: Action, times: int) -> float:
    """The median of so many runs."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append((time.perf_counter() - began) * 1e3)
    return median(taken)


def _always(fault: Fault, _: Request) -> Fault:
    return fault


def main(model: Path, folder: Path) -> None:
    data = model.read_bytes()
    rows: list[tuple[str, float]] = []

    def measure(what: str, action: Action, times: int) -> None:
        rows.append((what, milliseconds(action, times)))
        print(f"| {what} | {rows[-1][1]:.3f} ms | {times} |")

    os.environ |= servers.CREDENTIALS
    with servers.seaweedfs(folder) as port, contextlib.closing(Proxy(port)) as proxy:
        os.environ["AWS_ENDPOINT_URL_S3"] = direct = f"http://127.0.0.1:{port}"
        boto3.client("s3").create_bucket(Bucket="modelos")
        registry = Registry("s3://modelos/madrid")
        registry.publish(data, {})
        registry.promote(pointer_to(data), registry.state())

        del os.environ["AWS_ENDPOINT_URL_S3"]  # obstore would prefer it to the proxy's address

        def source(endpoint: str, cache: str, **settings: float) -> ModelSource:
            return ModelSource(
                Settings(
                    model_uri=registry.uri,
                    aws_endpoint_url=endpoint,
                    model_cache_dir=folder / cache,
                    log_level="ERROR",
                    **settings,  # type: ignore[arg-type]  # numbers only
                )
            )

        print(f"\nModel of {len(data) / 1e6:.1f} MB; medians.\n\n| | time | runs |\n| --- | --- | --- |")
        fresh = iter(range(1000))
        measure(
            "cold load from S3: pointer, artifact, digest, golden rows, cache",
            lambda: source(direct, f"c{next(fresh)}").load(),
            20,
        )
        source(direct, "warm").load()
        measure(
            "cold load from the cache folder: pointer, digest, golden rows", lambda: source(direct, "warm").load(), 20
        )
        calm = source(direct, "warm", model_refresh_seconds=60)
        calm.load()
        measure("refresh before it is time", calm.refresh, 10_000)
        eager = source(direct, "warm", model_refresh_seconds=0)
        eager.load()
        measure("refresh, pointer unchanged (304)", eager.refresh, 200)

        observability.configure(Settings(log_format="json"))
        with contextlib.redirect_stdout(io.StringIO()):
            cost = milliseconds(lambda: observability.answered("POST", "/predecir", 200, 1.0, {}), 5_000)
        rows.append(("the record of one request", cost))
        print(f"| the record of one request (EMF) | {cost:.3f} ms | 5000 |")
        observability.configure(Settings(log_level="ERROR", log_format="text"))

        print(
            "\nWith the shipped time limits, worst of 3:\n"
            "\n| S3 ... | cold start waits | a refresh waits |\n| --- | --- | --- |"
        )
        for name, fault in {
            "refuses (403)": Fault(status=403),
            "is overloaded (503)": Fault(status=503),
            "refuses connections": Fault(refuse=True),
            "is silent": Fault(delay_seconds=8),
            "trickles a byte each 50 ms": Fault(trickle=(1, 0.05)),
        }.items():
            trouble = partial(_always, fault)
            proxy.fault = trouble
            cold = max(milliseconds(source(proxy.url, f"c{next(fresh)}").load, 1) for _ in range(3))
            proxy.fault = lambda _: OK
            warm = source(proxy.url, "warm", model_refresh_seconds=0)
            warm.load()
            proxy.fault = trouble
            refresh = max(milliseconds(warm.refresh, 1) for _ in range(3))
            print(f"| {name} | {cold / 1e3:.2f} s | {refresh / 1e3:.2f} s |")


if __name__ == "__main__":
    observability.configure(Settings(log_level="ERROR", log_format="text"))
    logging.disable()
    with tempfile.TemporaryDirectory() as name:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else EMBEDDED, Path(name))
