"""Load: the server that `make run` starts and a pool of runtime clients, asked by many while models come and go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import TypeAlias

from app.store import EMBEDDED
from bench.bucket import Bucket
from bench.report import markdown
from bench.service import Environment
from tests.integration.models import ModelFile, dearer
from tests.integration.servers import free_port, wait_until_it_answers
from trials.callers import LOT, LOT_EVERY, Figures, Questions, ask_pool, ask_server
from trials.memory import Memory, Watch

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
ENVIRONMENTS = 8
SERVER, POOL = "the server of `make run`", f"{ENVIRONMENTS} environments of the runtime client"
CALLERS = (1, 8, 64)
SOAKING = 8
"""Callers during a soak."""
REFRESH_SECONDS = 0.5
GROWTH_MEBIBYTES = 16
"""What a process may gain in a soak before it counts as growing: two models, as it holds one more or less at times."""

Advance: TypeAlias = Callable[[str, float], None]
Ask: TypeAlias = Callable[[int, float], Figures]


@dataclass
class Trial:
    """What came of a load trial."""

    seconds: int
    soak_minutes: float
    swaps: int = 0
    figures: list[Figures] = field(default_factory=list)
    soaks: list[Figures] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    unwatched: list[str] = field(default_factory=list)
    """Processes that a soak says nothing of, and why."""

    @property
    def broken(self) -> list[str]:
        """What went wrong, in sentences."""
        asked = self.figures + self.soaks
        found = [f"{one.target}, {one.callers} callers: {words}" for one in asked for words in one.words]
        for target in (SERVER, POOL):
            served = {version for one in asked if one.target == target for version in one.versions}
            if len(served) != 2:
                found.append(f"{target} answered with {len(served)} of the two models")
        found += self.unwatched
        for one in self.memory:
            if one.after > one.before + GROWTH_MEBIBYTES:
                found.append(f"{one.process} grew from {one.before:.1f} to {one.after:.1f} MiB")
            if one.files_after > one.files_before + 2:  # a refresh under way has some
                found.append(f"{one.process} had {one.files_before} open files, then {one.files_after}")
        return found


def measure(seconds: int, soak_minutes: float, advance: Advance = lambda _what, _seconds: None) -> Trial:
    """Load both with each number of callers in turn, then both together for longer.

    `advance` is told what is done, and of the seconds that have passed.
    """
    trial = Trial(seconds, soak_minutes)
    shipped = ModelFile(EMBEDDED.read_bytes())
    models = [shipped, dearer(shipped.data, 1.5)]
    questions = Questions(models)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bucket = stack.enter_context(Bucket({f"{model.version}/model.safetensors": model.data for model in models}))
        bucket.put("current.json", json.dumps(shipped.pointer).encode())
        variables = {
            "MODEL_URI": bucket.uri,
            "AWS_ENDPOINT_URL_S3": bucket.url,
            "AWS_ACCESS_KEY_ID": "trial",
            "AWS_SECRET_ACCESS_KEY": "trial",
            "AWS_REGION": "us-east-1",
            "MODEL_EMBEDDED": "false",
            "MODEL_REFRESH_SECONDS": str(REFRESH_SECONDS),
        }
        server = stack.enter_context(_server(folder, variables | {"MODEL_CACHE_DIR": str(folder / "server")}))
        pool = [
            stack.enter_context(
                Environment("lambda_handler.handler", variables | {"MODEL_CACHE_DIR": str(folder / f"environment-{i}")})
            )
            for i in range(ENVIRONMENTS)
        ]

        def forget() -> None:
            server.forget()
            for environment in pool:
                environment.forget()

        asks: list[Ask] = [
            lambda callers, time: ask_server(server.port, questions, Figures(SERVER, callers), time),
            lambda callers, time: ask_pool(pool, questions, Figures(POOL, callers), time),
        ]
        _together(asks, ENVIRONMENTS, 3, "starting", advance)  # the cold starts
        stack.enter_context(_swapping(bucket, models, trial))
        for ask in asks:
            for callers in CALLERS:
                trial.figures += _together([ask], callers, seconds, f"{callers} callers", advance)
                forget()
        processes = {SERVER: server.process.pid} | {f"environment {i + 1}": one.pid for i, one in enumerate(pool)}
        with Watch(processes, forget) as watch:
            trial.soaks = _together(asks, SOAKING, soak_minutes * 60, "soaking", advance) if soak_minutes else []
        if soak_minutes:
            trial.memory, trial.unwatched = watch.memory(), watch.broken
    return trial


def _together(asks: list[Ask], callers: int, seconds: float, what: str, advance: Advance) -> list[Figures]:
    with ThreadPoolExecutor(len(asks)) as threads:
        asking: list[Future[Figures]] = [threads.submit(ask, callers, seconds) for ask in asks]
        while wait(asking, 0.5).not_done:
            advance(what, 0.5)
        return [one.result() for one in asking]


@dataclass
class _Server:
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def forget(self) -> None:
        """Throw away what it has written: a line for each request."""
        os.truncate(self.log, 0)


@contextmanager
def _server(folder: Path, variables: dict[str, str]) -> Iterator[_Server]:
    port, log = free_port(), folder / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "lambda_handler:app", "--port", str(port), "--no-access-log"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **variables},
            stdout=output,
            stderr=output,
        )
        try:
            wait_until_it_answers(f"http://127.0.0.1:{port}/salud", process, log)
            yield _Server(port, process, log)
        finally:
            process.kill()
            process.wait()


@contextmanager
def _swapping(bucket: Bucket, models: list[ModelFile], trial: Trial) -> Iterator[None]:
    """Let the pointer lead to the other model about every second."""
    stop, random = threading.Event(), Random(1)

    def swap() -> None:
        while not stop.wait(random.uniform(0.7, 1.5)):
            trial.swaps += 1
            bucket.put("current.json", json.dumps(models[trial.swaps % 2].pointer).encode())

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def table(trial: Trial) -> str:
    """The section of docs/reliability.md."""
    rows = [["asked", "callers", "answers a second", "p50", "p99", "longest", "errors"]]
    for one in trial.figures:
        times = (f"{milliseconds:,.1f} ms" for milliseconds in (one.p50, one.p99, one.longest))
        rows.append([one.target, str(one.callers), f"{one.answers / one.seconds:,.0f}", *times, str(one.errors)])
    text = markdown(rows) + (
        f"\n{trial.seconds} s each. Times are those of requests for one home; one request in {LOT_EVERY} was for a lot "
        f"of {LOT}. {trial.swaps:,} times the pointer led to another model, the soak included.\n"
    )
    if not trial.memory:
        return text
    soak = [["process", "MiB after warming up", "at the end", "MiB an hour", "open files", "at the end"]]
    for held in trial.memory:
        sizes = f"{held.before:.1f}", f"{held.after:.1f}", f"{held.mebibytes_an_hour:+.1f}"
        soak.append([held.process, *sizes, str(held.files_before), str(held.files_after)])
    asked = "; ".join(f"{one.target}: {one.answers:,} answers, {one.errors} errors" for one in trial.soaks)
    text += f"\nThen {trial.soak_minutes:g} minutes of both at once, {SOAKING} callers each. {asked}.\n\n"
    return text + markdown(soak)


def save(trial: Trial) -> None:
    """Keep what came of it as JSON."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "load.json").write_text(json.dumps(asdict(trial), indent=1, ensure_ascii=False))
