"""What becomes of a caller when the function is killed, has no disk, no network, the wrong time or no valid token.

What S3 itself may do wrong is in test_store.py.
"""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.bucket import Pointer
from app.model import version_of
from app.store import EMBEDDED
from tests.conftest import ROOT
from tests.integration.conftest import Depot
from tests.integration.lives import WAIT, Life, Lives, Step, mortals
from tests.integration.models import ModelFile, altered
from tests.integration.proxy import OK, Fault, Proxy, Request

PRICE: dict[str, Any] = json.loads((ROOT / "events" / "rest-predecir.json").read_text())
HEALTH: dict[str, Any] = json.loads((ROOT / "events" / "rest-salud.json").read_text())
SHIPPED = version_of(EMBEDDED.read_bytes())
HASTE = {"MODEL_LOAD_TIMEOUT_SECONDS": "0.05"}
OLD, NEW = {"AWS_SESSION_TOKEN": "old"}, {"AWS_SESSION_TOKEN": "new"}
A_YEAR = 365 * 86_400.0


Functions = Callable[..., list[Lives]]


@pytest.fixture(scope="module")
def two_processes() -> Iterator[list[subprocess.Popen[str]]]:
    with mortals() as one, mortals() as other:
        yield [one, other]


@pytest.fixture
def functions(two_processes: list[subprocess.Popen[str]], proxy: Proxy, tmp_path: Path) -> Iterator[Functions]:
    """Makes a function for each depot; all have the same cache folder and the same way to S3."""
    shared = {"AWS_ENDPOINT_URL_S3": proxy.url, "MODEL_CACHE_DIR": str(tmp_path / "cache"), "LOG_FORMAT": "json"}
    with ExitStack() as stack:

        def make(*depots: Depot, around: tuple[str, ...] = (), **settings: str) -> list[Lives]:
            processes = [stack.enter_context(mortals(around))] if around else two_processes
            return [
                Lives(process, tmp_path / f"log-{i}", {**shared, "MODEL_URI": depot.uri, **settings})
                for i, (depot, process) in enumerate(zip(depots, processes, strict=False))
            ]

        yield make


@contextmanager
def no_s3(proxy: Proxy) -> Iterator[None]:
    """S3 refuses every connection."""
    proxy.fault = lambda _: Fault(refuse=True)
    yield
    proxy.fault = lambda _: OK


@pytest.fixture
def neighbour(moto_depot: Depot) -> Depot:
    """Where another function has its models."""
    return Depot(moto_depot.client, moto_depot.port, moto_depot.bucket, f"{moto_depot.prefix}/vecina")


def versions(life: Life) -> list[str]:
    assert [answer["statusCode"] for answer in life.answers] == [200] * len(life.answers)
    return [body["modelo"] for body in life.bodies]


def start(function: Lives, **settings: str) -> tuple[str, str]:
    """The version and the origin that a new start has."""
    (body,) = function.live([HEALTH], settings).bodies
    return body["modelo"], body["origen"]


def whole(folder: Path) -> bool:
    """Whether each file is what its name says."""
    for model in folder.glob("*.safetensors"):
        assert hashlib.sha256(model.read_bytes()).hexdigest() == model.stem
    for memory in folder.glob("current-*.json"):
        Pointer.parse(memory.read_bytes())
    return True


def halves(folder: Path) -> list[Path]:
    return list(folder.glob("*.part"))


def with_litter(folder: Path) -> Path:
    """The folder, with what a killed writer has left in it."""
    folder.mkdir(exist_ok=True)
    (folder / "left.part").write_bytes(b"half")
    return folder


def steps(function: Lives, events: list[Any], folder: Path) -> list[Step]:
    """Whatever a life does that changes its cache folder, when nobody is beside it."""
    return function.live(events, {"MODEL_CACHE_DIR": str(with_litter(folder / "alone"))}).steps


# --- kill -9 --------------------------------------------------------------------------------------------------------


def test_killed_at_any_step_of_a_cold_start_the_next_one_serves_the_promoted_model(
    functions: Functions,
    moto_depot: Depot,
    neighbour: Depot,
    proxy: Proxy,
    first: ModelFile,
    second: ModelFile,
    tmp_path: Path,
) -> None:
    moto_depot.promote(first)
    neighbour.promote(second)
    function, other = functions(moto_depot, neighbour)
    killed = []
    for step in steps(function, [PRICE], tmp_path):
        folder = with_litter(tmp_path / "-".join(map(str, step)))
        here = {"MODEL_CACHE_DIR": str(folder)}

        function.begin([PRICE], here, fatal=step)
        beside = other.live([PRICE], here)
        if function.end().ended == -signal.SIGKILL:
            killed.append(step)

        assert versions(beside) == [second.version]
        assert whole(folder)
        with no_s3(proxy):
            assert start(function, **here, **HASTE) in {(first.version, "cache"), (SHIPPED, "embedded")}
        assert versions(function.live([PRICE], here)) == [first.version]
        with no_s3(proxy):
            assert start(function, **here, **HASTE) == (first.version, "cache")
        assert halves(folder) == []

    assert {("os.rename", 1), ("os.rename", 2)} <= set(killed)  # the model, and what remembers it


def test_killed_at_any_step_of_a_refresh_nothing_older_than_before_is_served(
    functions: Functions,
    moto_depot: Depot,
    neighbour: Depot,
    proxy: Proxy,
    first: ModelFile,
    second: ModelFile,
    tmp_path: Path,
) -> None:
    theirs = [altered(model.data, data={"filas": 1}) for model in (first, second)]
    neighbour.upload(theirs[1])
    moto_depot.promote(second)
    function, other = functions(moto_depot, neighbour, MODEL_REFRESH_SECONDS="0")
    killed = []
    for step in steps(function, [PRICE], tmp_path):  # a refresh that brings a model does what a cold start does
        folder = with_litter(tmp_path / "-".join(map(str, step)))
        here = {"MODEL_CACHE_DIR": str(folder)}
        moto_depot.promote(first)
        neighbour.promote(theirs[0])

        function.begin([PRICE, WAIT, PRICE], here, fatal=step)
        other.begin([PRICE, WAIT, PRICE], here)
        function.until_it_waits()
        other.until_it_waits()
        with_litter(folder)
        moto_depot.point(second)
        neighbour.point(theirs[1])
        function.go_on()
        other.go_on()
        life, beside = function.end(), other.end()
        if life.ended == -signal.SIGKILL:
            killed.append(step)

        assert versions(beside) == [model.version for model in theirs]
        assert whole(folder)
        with no_s3(proxy):
            assert start(function, **here, **HASTE) in {(first.version, "cache"), (second.version, "cache")}
        assert versions(function.live([PRICE], here)) == [second.version]
        with no_s3(proxy):
            assert start(function, **here, **HASTE) == (second.version, "cache")
        assert halves(folder) == []

    assert {("os.rename", 1), ("os.rename", 2)} <= set(killed)


@pytest.mark.parametrize("where", ["current.json", "model.safetensors"])
@pytest.mark.parametrize("answered", [False, True], ids=["before the answer", "half way through it"])
def test_killed_while_s3_answers_the_next_start_serves_the_promoted_model(
    where: str, answered: bool, functions: Functions, moto_depot: Depot, proxy: Proxy, first: ModelFile, tmp_path: Path
) -> None:
    moto_depot.promote(first)
    victim: list[int] = []

    def kill(request: Request) -> Fault:
        if not request.path.endswith(where) or not victim:
            return OK
        pid = victim.pop()
        if not answered:
            os.kill(pid, signal.SIGKILL)
            return OK
        return Fault(half_way=lambda: os.kill(pid, signal.SIGKILL))

    (function,) = functions(moto_depot)
    function.live([PRICE], {"MODEL_URI": ""})  # so that the one to be killed is quick to start
    holding = threading.Event()
    proxy.fault = lambda request: kill(request) if holding.wait(10) else OK
    victim.append(function.begin([PRICE]))
    holding.set()

    assert function.end().ended == -signal.SIGKILL
    assert versions(function.live([PRICE])) == [first.version]
    assert whole(tmp_path / "cache")


# --- the disk -------------------------------------------------------------------------------------------------------


def with_disk(folder: Path, options: str) -> tuple[str, ...]:
    """A command that runs what follows it with a file system of its own in this folder; skips where that may not be."""
    folder.mkdir()
    mount = f"mount -t tmpfs -o {options} tmpfs {folder}"
    private = ("unshare", "--map-root-user", "--mount", "sh", "-c")
    return _permitted((*private, f'{mount} && exec "$@"', "sh"))


def without_network() -> tuple[str, ...]:
    """A command that runs what follows it where there is no network, loopback included; skips where that may not be."""
    return _permitted(("unshare", "--map-root-user", "--net"))


def _permitted(around: tuple[str, ...]) -> tuple[str, ...]:
    if shutil.which("unshare") is None:
        pytest.skip("there is no `unshare` here")
    tried = subprocess.run([*around, "true"], check=False, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"this machine doesn't let its users make namespaces: {tried.stderr.strip()}")
    return around


@pytest.mark.parametrize("kind", ["ro", "size=4k"], ids=["read-only", "full"])
def test_on_a_disk_that_takes_nothing_the_promoted_model_is_served_from_s3(
    kind: str, functions: Functions, moto_depot: Depot, first: ModelFile, tmp_path: Path
) -> None:
    moto_depot.promote(first)
    disk = with_disk(tmp_path / "tmp", kind)
    (function,) = functions(moto_depot, around=disk, MODEL_CACHE_DIR=str(tmp_path / "tmp" / "cache"))

    assert [start(function) for _ in range(2)] == [(first.version, "s3")] * 2
    assert function.log.read_text().count("can't be cached") == 2


def test_what_killed_functions_leave_never_fills_the_disk(
    functions: Functions, moto_depot: Depot, first: ModelFile, tmp_path: Path
) -> None:
    moto_depot.promote(first)
    disk = with_disk(tmp_path / "tmp", f"size={2 * len(first.data) + 65_536}")
    (function,) = functions(moto_depot, around=disk, MODEL_CACHE_DIR=str(tmp_path / "tmp" / "cache"))

    for _ in range(4):
        assert function.live([HEALTH], fatal=("os.rename", 1)).ended == -signal.SIGKILL

    assert start(function) == (first.version, "s3")
    assert start(function) == (first.version, "cache")


# --- the network ----------------------------------------------------------------------------------------------------


def test_without_a_network_the_last_served_model_answers_or_else_the_embedded_one(
    functions: Functions, moto_depot: Depot, proxy: Proxy, first: ModelFile, tmp_path: Path
) -> None:
    moto_depot.promote(first)
    (cut_off,) = functions(moto_depot, around=without_network(), MODEL_REFRESH_SECONDS="0", **HASTE)
    assert versions(cut_off.live([PRICE, PRICE])) == [SHIPPED, SHIPPED]
    (connected,) = functions(moto_depot)
    assert versions(connected.live([PRICE])) == [first.version]
    assert versions(cut_off.live([PRICE, PRICE])) == [first.version, first.version]
    refused = cut_off.live([PRICE], {"MODEL_EMBEDDED": "false", "MODEL_CACHE_DIR": str(tmp_path / "empty")})
    assert [answer["statusCode"] for answer in refused.answers] == [503]


@contextmanager
def black_hole() -> Iterator[str]:
    """An address where nobody answers, not even with a refusal: its queue is full."""
    with socket.socket() as listening, ExitStack() as stack:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_where_s3_has_no_address_or_never_answers_the_embedded_model_is_served(
    functions: Functions, moto_depot: Depot, proxy: Proxy, tmp_path: Path
) -> None:
    impatient = {"MODEL_LOAD_TIMEOUT_SECONDS": "0.5", "MODEL_CONNECT_TIMEOUT_SECONDS": "0.2"}
    (function,) = functions(moto_depot, **impatient)
    with black_hole() as address:
        for endpoint in (address, "http://s3.invalid"):
            assert start(function, AWS_ENDPOINT_URL_S3=endpoint) == (SHIPPED, "embedded")

    lines = [json.loads(line) for line in function.log.read_text().splitlines()]
    assert len([line for line in lines if line.get("level") == "ERROR" and line["reason"]]) == 2


# --- the clock ------------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_between_invocations_stops_no_refresh(
    functions: Functions, moto_depot: Depot, first: ModelFile, second: ModelFile
) -> None:
    promoted = [first, second, first, second, first]
    moto_depot.promote(promoted[0])
    (function,) = functions(moto_depot, MODEL_REFRESH_SECONDS="0.2")

    function.begin([PRICE, *[WAIT, PRICE] * 4])
    for model, clock_ahead_seconds in zip(
        promoted[1:], (3_600, 10 * A_YEAR, -10 * A_YEAR, -10 * A_YEAR - 3_600), strict=True
    ):
        function.until_it_waits()
        moto_depot.promote(model)
        time.sleep(0.25)
        function.go_on(clock_ahead_seconds)

    assert versions(function.end()) == [model.version for model in promoted]


def test_after_the_clock_was_set_back_the_cache_keeps_what_is_new(
    functions: Functions, moto_depot: Depot, proxy: Proxy, first: ModelFile, tmp_path: Path
) -> None:
    models = [altered(first.data, data={"filas": i}) for i in range(9)]
    (function,) = functions(moto_depot)
    for i, model in enumerate(models):
        moto_depot.promote(model)
        assert versions(function.live([PRICE])) == [model.version]
        if i < 5:
            for path in (tmp_path / "cache").iterdir():
                os.utime(path, times=(time.time() + A_YEAR, time.time() + A_YEAR))
    with no_s3(proxy):
        assert start(function, **HASTE) == (models[-1].version, "cache")
    assert {path.stem for path in (tmp_path / "cache").glob("*.safetensors")} == {model.sha256 for model in models[-4:]}


# --- credentials ----------------------------------------------------------------------------------------------------


def test_when_the_token_expires_what_is_loaded_is_served_and_a_start_with_a_new_one_asks_again(
    functions: Functions, moto_depot: Depot, proxy: Proxy, first: ModelFile, second: ModelFile, tmp_path: Path
) -> None:
    expired: set[str] = set()

    def check(request: Request) -> Fault:
        if request.headers["x-amz-security-token"] in expired:
            return Fault(status=400, body=b"<Error><Code>ExpiredToken</Code></Error>")
        return OK

    proxy.fault = check
    moto_depot.promote(first)
    (function,) = functions(moto_depot, MODEL_REFRESH_SECONDS="0")
    function.begin([PRICE, WAIT, PRICE], OLD)
    function.until_it_waits()
    expired.add("old")
    moto_depot.promote(second)
    function.go_on()

    assert versions(function.end()) == [first.version, first.version]
    assert start(function, **OLD) == (first.version, "cache")
    assert start(function, **NEW) == (second.version, "s3")
    assert "ExpiredToken" in function.log.read_text()


# --- a shared folder ------------------------------------------------------------------------------------------------


def test_a_busy_neighbour_in_the_cache_folder_pushes_nobody_s_model_out(
    functions: Functions,
    moto_depot: Depot,
    neighbour: Depot,
    proxy: Proxy,
    first: ModelFile,
    second: ModelFile,
    tmp_path: Path,
) -> None:
    moto_depot.promote(second)
    function, other = functions(moto_depot, neighbour)
    function.live([PRICE])
    for i in range(6):
        neighbour.promote(altered(first.data, data={"filas": i}))
        other.live([PRICE])

    with no_s3(proxy):
        assert start(function, **HASTE) == (second.version, "cache")
