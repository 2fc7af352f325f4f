"""Callers that hold every answer against what the two models that take turns price; none may be of both.

One thread asks the server over as many connections as there are callers, so that asking costs little. An environment
takes one invocation at a time, as on Lambda, so its callers wait for a free one.
"""

from __future__ import annotations

import itertools
import json
import selectors
import socket
import statistics
import threading
from array import array
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from time import monotonic, perf_counter

from pydantic_core import from_json

from app.model import Model
from app.schemas import Formulario
from bench.homes import event, homes
from bench.service import Environment, FunctionError
from tests.integration.models import ModelFile

LOT = 20
LOT_EVERY = 16
"""One of so many requests is for a lot, whose homes must all be priced by one model; the others are for one home."""
PATIENCE_SECONDS = 30
NOTED = 20
"""Errors whose words are kept; all are counted."""


@dataclass
class Figures:
    """What callers met. Milliseconds of the requests for one home, from when a caller wanted to ask."""

    target: str
    callers: int
    seconds: float = 0.0
    answers: int = 0
    p50: float = 0.0
    p99: float = 0.0
    longest: float = 0.0
    versions: dict[str, int] = field(default_factory=dict)
    """Right answers by the model that gave them."""
    errors: int = 0
    words: list[str] = field(default_factory=list)

    def note(self, error: str) -> None:
        """Count an error, and keep its words if they are among the first."""
        self.errors += 1
        if len(self.words) < NOTED:
            self.words.append(error)

    def sum_up(self, taken: array[float], seconds: float) -> Figures:
        """Fill in the times, given seconds of each request and of all."""
        self.seconds = seconds
        if len(taken) > 1:
            percentiles = statistics.quantiles(taken, n=100, method="inclusive")
            self.p50, self.p99, self.longest = 1e3 * percentiles[49], 1e3 * percentiles[98], 1e3 * max(taken)
        return self


class Questions:
    """The requests of a trial, in an order that all callers share, and their right answers by model."""

    def __init__(self, models: list[ModelFile]) -> None:
        bodies = homes(200, seed=3)
        asked = [Formulario.model_validate(body).home() for body in bodies]
        self._right = {model.version: Model.load(model.data).price(asked) for model in models}
        self._order = itertools.count()
        lots = [{"viviendas": bodies[start : start + LOT]} for start in range(0, len(bodies), LOT)]
        self.requests = {False: list(map(_request, bodies)), True: list(map(_request, lots))}
        self.events = {
            False: [event("rest-predecir", body) for body in bodies],
            True: [event("rest-lote", lot) for lot in lots],
        }

    def next(self) -> tuple[bool, int]:
        """What to ask next: whether for a lot, and which."""
        number = next(self._order)
        lots, single = divmod(number, LOT_EVERY)
        if single == 0:
            return True, lots % len(self.requests[True])
        return False, number % len(self.requests[False])

    def check(self, lot: bool, which: int, status: int, body: bytes | str, figures: Figures) -> None:
        """Hold an answer against what the model that it names prices."""
        try:
            answer = from_json(body)
            version = answer["modelo"]
            if lot:
                good = answer["predicciones"] == self._right[version][which * LOT : (which + 1) * LOT]
            else:
                good = answer | self._right[version][which] == answer
        except (ValueError, LookupError, TypeError) as error:
            figures.note(f"{status}, {error!r}: {body[:300]!r}")
            return
        if status != 200 or not good:
            figures.note(f"{status}, not what this model prices: {body[:300]!r}")
            return
        figures.versions[version] = figures.versions.get(version, 0) + 1
        figures.answers += 1


def _request(body: Mapping[str, object]) -> bytes:
    path, content = "/predecir/lote" if "viviendas" in body else "/predecir", json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    )
    return f"{head}\r\n\r\n".encode() + content


class _Caller:
    """One connection, which asks again as soon as it is answered."""

    def __init__(self, port: int, questions: Questions) -> None:
        self._questions = questions
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self.ask()

    def ask(self) -> None:
        self._lot, self._which = self._questions.next()
        self._began = perf_counter()
        self.socket.sendall(self._questions.requests[self._lot][self._which])

    def hear(self, figures: Figures, taken: array[float]) -> bool:
        """Read what has come; True when that was the rest of an answer."""
        chunk = self.socket.recv(1 << 18)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        self._received += chunk
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]) if end else 0
        if not end or len(body) < length:
            return False
        if not self._lot:
            taken.append(perf_counter() - self._began)
        self._received = b""
        self._questions.check(self._lot, self._which, int(head[9:12]), body, figures)
        return True


def ask_server(port: int, questions: Questions, figures: Figures, seconds: float) -> Figures:
    """Ask over as many connections as there are callers, for so long."""
    taken, began = array("d"), monotonic()
    with selectors.DefaultSelector() as selector:
        for _ in range(figures.callers):
            caller = _Caller(port, questions)
            selector.register(caller.socket, selectors.EVENT_READ, caller)
        while waiting := len(selector.get_map()):
            ready = selector.select(PATIENCE_SECONDS)
            if not ready:
                figures.note(f"{waiting} callers wait for an answer in vain")
                break
            for key, _ in ready:
                caller = key.data
                try:
                    if not caller.hear(figures, taken):
                        continue
                    if monotonic() - began < seconds:
                        caller.ask()
                        continue
                except (OSError, ValueError) as error:
                    figures.note(repr(error))
                selector.unregister(caller.socket)
                caller.socket.close()
    return figures.sum_up(taken, monotonic() - began)


def ask_pool(pool: list[Environment], questions: Questions, figures: Figures, seconds: float) -> Figures:
    """Let callers stand in line for the environments, first come, first served; answered, they join its end again."""
    taken, began, counting = array("d"), monotonic(), threading.Lock()
    line: SimpleQueue[float | None] = SimpleQueue()
    """When each caller came; None closes an environment."""

    def serve(environment: Environment) -> None:
        while (came := line.get()) is not None:
            lot, which = questions.next()
            try:
                _, answer = environment.invoke(questions.events[lot][which])
            except (FunctionError, OSError, ValueError) as error:
                figures.note(repr(error))
                line.put(came)  # the caller goes on to another environment: this one is of no use any more
                return
            with counting:
                if not lot:
                    taken.append(perf_counter() - came)
                questions.check(lot, which, answer["statusCode"], answer["body"], figures)
            line.put(perf_counter() if monotonic() - began < seconds else None)

    for _ in range(figures.callers):
        line.put(perf_counter())
    for _ in range(len(pool) - figures.callers):
        line.put(None)
    with ThreadPoolExecutor(len(pool)) as threads:
        for done in [threads.submit(serve, environment) for environment in pool]:
            done.result()  # raises what was met and not foreseen
    return figures.sum_up(taken, monotonic() - began)
