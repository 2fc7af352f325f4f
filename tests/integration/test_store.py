"""What becomes of a caller when S3, the network or the cache folder has a bad day."""

import gc
import resource
import signal
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.integration.conftest import Depot
from tests.integration.environment import Environment, counted, logged
from tests.integration.models import ModelFile, altered, of_another_schema, that_prices_wrongly
from tests.integration.proxy import OK, Decide, Fault, Proxy, Request

Start = Callable[..., Environment]
POINTER = "current.json"
Promote = Callable[[Depot, ModelFile], None]
SKEWED = b"<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>"
EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
IMPATIENT: dict[str, Any] = {
    "model_load_timeout_seconds": 0.8,
    "model_refresh_timeout_seconds": 0.4,
    "model_connect_timeout_seconds": 0.3,
    "model_read_timeout_seconds": 0.3,
}
SLACK_SECONDS = 2.0  # for a busy machine, on top of what the settings promise


@pytest.fixture
def start(
    proxy: Proxy,
    shipped: ModelFile,
    tmp_path: Path,
    home: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> Start:
    """Starts an execution environment whose way to S3 leads through the proxy."""
    depot: Depot = request.getfixturevalue("depot" if "depot" in request.fixturenames else "moto_depot")
    embedded = tmp_path / "embedded.safetensors"
    embedded.write_bytes(shipped.data)

    def starts(**changes: Any) -> Environment:
        settings: dict[str, Any] = {
            "model_uri": depot.uri,
            "aws_endpoint_url": proxy.url,
            "model_cache_dir": tmp_path / "cache",
            "model_refresh_seconds": 0,
            "model_retry_seconds": 0,
            "log_format": "json",
        }
        return Environment(Settings(**settings | changes), embedded, home, capsys)

    return starts


@dataclass(frozen=True)
class Trouble:
    """One way in which the promoted model can't be had."""

    name: str
    fault: Fault = OK
    where: str = "model.safetensors"  # the requests that meet the fault end so
    promote: Promote = Depot.promote
    says: str = ""  # part of the reason that is logged
    settings: tuple[tuple[str, Any], ...] = ()

    def decide(self, request: Request) -> Fault:
        return self.fault if request.path.endswith(self.where) else OK


def _pointer_only(depot: Depot, model: ModelFile) -> None:
    depot.point(model)


def _no_pointer(depot: Depot, model: ModelFile) -> None:
    depot.upload(model)
    depot.remove(POINTER)


def _pointer_says(**changes: Any) -> Promote:
    def promote(depot: Depot, model: ModelFile) -> None:
        depot.upload(model)
        depot.point(model, **changes)

    return promote


def _pointer_is(text: bytes) -> Promote:
    def promote(depot: Depot, model: ModelFile) -> None:
        depot.upload(model)
        depot.put("current.json", text)

    return promote


SLOW = tuple(IMPATIENT.items())
TROUBLES = [
    Trouble("no pointer", promote=_no_pointer, says="there is no s3://"),
    Trouble("pointer to a missing artifact", promote=_pointer_only, says="there is no s3://"),
    Trouble("pointer that is no JSON", promote=_pointer_is(b'{"version": "0123'), says="not JSON"),
    Trouble("pointer without a digest", promote=_pointer_is(b'{"version": "0123456789ab"}'), says="not JSON"),
    Trouble("pointer to somewhere else", promote=_pointer_says(version="../../etc"), says="make no sense"),
    Trouble("pointer of the wrong size", promote=_pointer_says(size=17), says="bytes and not 17"),
    Trouble("pointer to something huge", promote=_pointer_says(size=2**40), says="MODEL_MAX_MEBIBYTES"),
    Trouble("huge pointer", promote=_pointer_is(b" " * 100_000), says="which no pointer has"),
    Trouble("403 for the pointer", Fault(status=403), POINTER, says="403"),
    Trouble("403 for the artifact", Fault(status=403), says="403"),
    Trouble("404 for the pointer", Fault(status=404), POINTER, says="there is no s3://"),
    Trouble("expired token", Fault(status=400, body=EXPIRED), "", says="ExpiredToken"),
    Trouble("a clock that is off", Fault(status=403, body=SKEWED), "", says="RequestTimeTooSkewed"),
    Trouble("500 for good", Fault(status=500), "", says="500"),
    Trouble("503 for good", Fault(status=503), says="503"),
    Trouble("connection refused", Fault(refuse=True), "", says="could not be read"),
    Trouble("pointer reset half way", Fault(reset_after=20), POINTER, says="could not be read"),
    Trouble("reset at the start of the body", Fault(reset_after=0), says="could not be read"),
    Trouble("reset half way through the body", Fault(reset_after=4_000), says="could not be read"),
    Trouble("body cut short at the start", Fault(cut_after=1), says="could not be read"),
    Trouble("body cut short half way", Fault(cut_after=4_001), says="could not be read"),
    Trouble("first bit flipped", Fault(flip_bit=0), says="SHA-256"),
    Trouble("one bit flipped half way", Fault(flip_bit=8 * 20_000 + 5), says="SHA-256"),
    Trouble("body that trickles", Fault(trickle=(500, 0.05)), says="time allowed", settings=SLOW),
    Trouble("pointer that trickles", Fault(trickle=(1, 0.05)), POINTER, says="time allowed", settings=SLOW),
    Trouble("silence", Fault(delay_seconds=3), says="time allowed", settings=SLOW),
    Trouble("silence about the pointer", Fault(delay_seconds=3), POINTER, says="time allowed", settings=SLOW),
]
# The proxy's faults are the same whoever stands behind it; what the server itself answers is tried with both.
any_trouble = pytest.mark.parametrize(
    ("depot", "trouble"),
    [
        pytest.param(server, trouble, id=f"{server}-{trouble.name}")
        for trouble in TROUBLES
        for server in (("moto", "seaweedfs") if trouble.fault is OK else ("moto",))
    ],
    indirect=["depot"],
)


def eventually(environment: Environment, version: str) -> None:
    """Ask until this version answers; S3 is well again, but the machine may be busy."""
    deadline = time.monotonic() + 10
    while environment.price().version != version:
        assert time.monotonic() < deadline, f"{version} is not served after 10 seconds"


def _recovers(environment: Environment, proxy: Proxy, depot: Depot, model: ModelFile) -> None:
    """The trouble is over, and what is promoted then is served."""
    proxy.fault = lambda _: OK
    depot.promote(model)
    eventually(environment, model.version)
    assert environment.health() == (200, model.version, "s3")
    assert counted(environment.records(), "ModelRefreshed") == 1


@any_trouble
def test_a_cold_start_in_trouble_serves_the_embedded_model_and_then_recovers(
    trouble: Trouble, depot: Depot, proxy: Proxy, start: Start, first: ModelFile, shipped: ModelFile
) -> None:
    trouble.promote(depot, first)
    proxy.fault = trouble.decide

    began = time.monotonic()
    environment = start(**dict(trouble.settings))
    took = time.monotonic() - began

    answer, records = environment.price(), environment.records()
    assert (answer.status, answer.version) == (200, shipped.version)
    assert environment.health() == (200, shipped.version, "embedded")
    assert any(trouble.says in line["reason"] for line in logged(records, "ERROR"))
    assert (counted(records, "ColdStart"), counted(records, "ModelFallback")) == (1, 1)
    assert took < dict(trouble.settings).get("model_load_timeout_seconds", 4.0) + SLACK_SECONDS

    _recovers(environment, proxy, depot, first)


@any_trouble
def test_a_refresh_in_trouble_keeps_serving_what_is_loaded_and_then_recovers(
    trouble: Trouble, depot: Depot, proxy: Proxy, start: Start, first: ModelFile, second: ModelFile
) -> None:
    depot.promote(first)
    environment = start(**dict(trouble.settings))
    eventually(environment, first.version)
    environment.records()

    trouble.promote(depot, second)
    proxy.fault = trouble.decide
    began = time.monotonic()
    answer = environment.price()
    took = time.monotonic() - began

    records = environment.records()
    assert (answer.status, answer.version) == (200, first.version)
    assert environment.health() == (200, first.version, "s3")
    assert any(trouble.says in line["reason"] for line in logged(records, "WARNING"))
    assert counted(records, "ModelRefreshFailed") == 1
    assert took < dict(trouble.settings).get("model_refresh_timeout_seconds", 1.5) + SLACK_SECONDS

    _recovers(environment, proxy, depot, second)


@any_trouble
def test_without_an_embedded_model_trouble_is_a_503_until_it_is_over(
    trouble: Trouble, depot: Depot, proxy: Proxy, start: Start, first: ModelFile
) -> None:
    trouble.promote(depot, first)
    proxy.fault = trouble.decide

    environment = start(model_embedded=False, **dict(trouble.settings))

    answer, records = environment.price(), environment.records()
    assert answer.status == 503
    assert isinstance(answer.body["detail"], str)
    assert environment.health()[0] == 503
    assert any(trouble.says in line["reason"] for line in logged(records, "ERROR"))
    assert counted(records, "ModelUnavailable") >= 1

    proxy.fault = lambda _: OK
    depot.promote(first)
    eventually(environment, first.version)
    assert environment.health() == (200, first.version, "s3")


def once(fault: Fault, where: str) -> Decide:
    """The first request that ends so meets the fault."""
    met: list[Request] = []

    def decide(request: Request) -> Fault:
        if request.path.endswith(where) and not met:
            met.append(request)
            return fault
        return OK

    return decide


@pytest.mark.parametrize("where", [POINTER, "model.safetensors"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=503),
        Fault(refuse=True),
        Fault(reset_after=0),
        Fault(reset_after=50),
        Fault(cut_after=50),
    ],
    ids=["500", "503", "refused", "reset at once", "reset", "cut short"],
)
def test_what_fails_once_is_tried_again_within_the_same_start(
    fault: Fault, where: str, moto_depot: Depot, proxy: Proxy, start: Start, first: ModelFile
) -> None:
    moto_depot.promote(first)
    proxy.fault = once(fault, where)

    environment = start()

    assert environment.health() == (200, first.version, "s3")
    assert counted(environment.records(), "ModelFallback") == 0


def test_a_wrong_key_is_a_refusal_that_is_said(
    seaweedfs_depot: Depot,
    start: Start,
    first: ModelFile,
    shipped: ModelFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seaweedfs_depot.promote(first)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")

    environment = start(aws_endpoint_url=seaweedfs_depot.url, model_uri=seaweedfs_depot.uri)

    assert environment.health() == (200, shipped.version, "embedded")
    assert any("SignatureDoesNotMatch" in line["reason"] for line in logged(environment.records(), "ERROR"))


def test_a_profile_of_the_developer_s_is_used_as_boto3_uses_it(
    seaweedfs_depot: Depot, start: Start, first: ModelFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seaweedfs_depot.promote(first)
    shared = tmp_path / "credentials"
    shared.write_text("[yo]\naws_access_key_id = testing\naws_secret_access_key = testing-secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    where = {"aws_endpoint_url": seaweedfs_depot.url, "model_uri": seaweedfs_depot.uri}

    monkeypatch.setenv("AWS_PROFILE", "nadie")
    unknown = start(**where, aws_profile="nadie")
    monkeypatch.setenv("AWS_PROFILE", "yo")
    known = start(**where, aws_profile="yo")

    assert unknown.health()[2] == "embedded"
    assert known.health() == (200, first.version, "s3")
    assert any("AWS_PROFILE=nadie" in line["reason"] for line in logged(known.records(), "ERROR"))


def test_nobody_listening_is_found_out_quickly(
    start: Start, moto_depot: Depot, proxy: Proxy, shipped: ModelFile
) -> None:
    proxy.close()

    environment = start()

    assert environment.health() == (200, shipped.version, "embedded")


@pytest.mark.parametrize("spoil", [of_another_schema, that_prices_wrongly])
def test_a_bad_new_model_is_refused_once_and_a_good_one_is_served_after_it(
    spoil: Callable[[bytes], ModelFile],
    depot: Depot,
    proxy: Proxy,
    start: Start,
    first: ModelFile,
    second: ModelFile,
) -> None:
    bad = spoil(second.data)
    depot.promote(first)
    environment = start()
    environment.records()

    depot.promote(bad)
    versions = {environment.price().version for _ in range(5)}

    records = environment.records()
    assert versions == {first.version}
    assert proxy.count(f"{bad.version}/model.safetensors") == 1
    assert (len(logged(records, "WARNING")), counted(records, "ModelRefreshFailed")) == (1, 1)

    depot.promote(second)
    assert environment.price().version == second.version
    assert environment.health() == (200, second.version, "s3")


def test_a_bad_model_at_a_cold_start_gives_way_to_the_embedded_one(
    depot: Depot, start: Start, first: ModelFile, shipped: ModelFile
) -> None:
    depot.promote(of_another_schema(first.data))

    environment = start()

    assert environment.price().version == shipped.version
    records = environment.records()
    assert any("madrid-price/2" in line["reason"] for line in logged(records, "ERROR"))
    assert counted(records, "ModelFallback") == 1


def test_an_unchanged_pointer_costs_a_304_and_no_log_line(
    depot: Depot, proxy: Proxy, start: Start, first: ModelFile
) -> None:
    depot.promote(first)
    environment = start()
    environment.records()
    proxy.requests.clear()

    for _ in range(3):
        environment.price()

    assert [status for _, status in proxy.requests] == [304, 304, 304]
    assert not logged(environment.records(), "INFO", "WARNING", "ERROR")


def test_a_model_is_gone_from_memory_as_soon_as_another_is_served(
    moto_depot: Depot, start: Start, first: ModelFile, second: ModelFile, proxy: Proxy
) -> None:
    moto_depot.promote(first)
    environment = start(model_refresh_timeout_seconds=5)
    before = weakref.ref(environment.source.current.model)
    gc.disable()  # without it, only circles of references would keep a model
    try:
        environment.source.refresh()  # S3 answers 304, which the client makes an error
        proxy.fault = lambda _: Fault(status=404)
        environment.source.refresh()
        proxy.fault = lambda _: OK
        moto_depot.promote(second)
        environment.source.refresh()

        assert environment.source.current.model.version == second.version
        assert before() is None
    finally:
        gc.enable()


def test_s3_is_not_asked_again_before_it_is_time(
    moto_depot: Depot, proxy: Proxy, start: Start, first: ModelFile, second: ModelFile
) -> None:
    moto_depot.promote(first)
    environment = start(model_refresh_seconds=0.5)
    moto_depot.promote(second)
    proxy.requests.clear()

    assert {environment.price().version for _ in range(3)} == {first.version}
    assert not proxy.requests
    time.sleep(0.5)
    assert environment.price().version == second.version


def test_trouble_is_not_looked_for_more_often_than_it_is_time(
    moto_depot: Depot, proxy: Proxy, start: Start, shipped: ModelFile
) -> None:
    proxy.fault = lambda _: Fault(status=403)
    environment = start(model_refresh_seconds=60)
    asked = len(proxy.requests)

    assert {environment.price().version for _ in range(5)} == {shipped.version}
    assert len(proxy.requests) == asked


def test_the_next_start_takes_the_artifact_from_the_cache_folder(
    depot: Depot, proxy: Proxy, start: Start, first: ModelFile
) -> None:
    depot.promote(first)
    start()

    environment = start()

    assert environment.health() == (200, first.version, "cache")
    assert environment.price().version == first.version
    assert proxy.count("model.safetensors") == 1


def test_what_was_served_last_is_better_than_the_embedded_model_when_s3_fails(
    depot: Depot, proxy: Proxy, start: Start, first: ModelFile
) -> None:
    depot.promote(first)
    start().records()
    proxy.fault = lambda _: Fault(status=503)

    environment = start()

    assert environment.health() == (200, first.version, "cache")
    records = environment.records()
    assert logged(records, "ERROR")
    assert counted(records, "ModelFallback") == 1


@pytest.mark.parametrize("left", [0, 1, 20_000, -1], ids=lambda left: f"{left} bytes left")
def test_a_cached_file_cut_short_is_replaced(
    left: int, depot: Depot, start: Start, first: ModelFile, tmp_path: Path
) -> None:
    depot.promote(first)
    start().records()
    (cached,) = (tmp_path / "cache").glob("*.safetensors")
    cached.write_bytes(first.data[:left])

    environment = start()

    assert environment.health() == (200, first.version, "s3")
    assert environment.price().version == first.version
    assert logged(environment.records(), "WARNING")
    assert cached.read_bytes() == first.data


@pytest.mark.parametrize("bit", [0, 8 * 20_000 + 3, -1])
def test_a_cached_file_with_a_flipped_bit_is_not_served_even_when_s3_fails(
    bit: int, depot: Depot, proxy: Proxy, start: Start, first: ModelFile, shipped: ModelFile, tmp_path: Path
) -> None:
    depot.promote(first)
    start()
    (cached,) = (tmp_path / "cache").glob("*.safetensors")
    damaged = bytearray(first.data)
    damaged[bit // 8] ^= 1 << bit % 8
    cached.write_bytes(damaged)
    proxy.fault = lambda _: Fault(status=503)

    environment = start()

    assert environment.health() == (200, shipped.version, "embedded")


@pytest.mark.parametrize("text", ["", "{", '{"version": "x"}'])
def test_a_damaged_memory_of_the_last_pointer_is_only_a_log_line(
    text: str,
    moto_depot: Depot,
    proxy: Proxy,
    start: Start,
    first: ModelFile,
    shipped: ModelFile,
    tmp_path: Path,
) -> None:
    moto_depot.promote(first)
    start().records()
    (remembered,) = (tmp_path / "cache").glob("current-*.json")
    remembered.write_text(text)
    proxy.fault = lambda _: Fault(status=503)

    environment = start()

    assert environment.health() == (200, shipped.version, "embedded")
    assert logged(environment.records(), "WARNING")


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Writing a file past this many bytes fails for this process, as on a full disk."""
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("obstacle", ["a file", "below a file", "a read-only file system", "a full disk"])
def test_a_cache_folder_that_cannot_be_written_is_only_a_log_line(
    obstacle: str, moto_depot: Depot, start: Start, first: ModelFile, tmp_path: Path
) -> None:
    moto_depot.promote(first)
    in_the_way = tmp_path / "in-the-way"
    in_the_way.write_text("")
    # /proc takes no new files from anybody, root included
    folder = {"a file": in_the_way, "below a file": in_the_way / "cache", "a read-only file system": Path("/proc")}
    if obstacle == "a full disk":
        with room_for(10_000):
            environment = start()
        assert not list((tmp_path / "cache").iterdir()), "something half written was left"
    else:
        environment = start(model_cache_dir=folder[obstacle])

    assert environment.price().version == first.version
    assert environment.health() == (200, first.version, "s3")
    records = environment.records()
    assert any("can't be cached" in line["message"] for line in logged(records, "WARNING"))
    assert counted(records, "ModelFallback") == 0


def test_two_functions_share_a_cache_folder_without_mixing_their_models(
    moto_depot: Depot, proxy: Proxy, start: Start, first: ModelFile, second: ModelFile
) -> None:
    other = Depot(moto_depot.client, moto_depot.port, moto_depot.bucket, "otra/ciudad")
    moto_depot.promote(first)
    other.promote(second)
    start()
    start(model_uri=other.uri)
    proxy.fault = lambda _: Fault(status=503)

    assert start().health() == (200, first.version, "cache")
    assert start(model_uri=other.uri).health() == (200, second.version, "cache")


def test_the_cache_folder_does_not_grow_with_every_promotion(
    moto_depot: Depot, start: Start, first: ModelFile, tmp_path: Path
) -> None:
    environment = start()
    for i in range(7):
        model = altered(first.data, data={"filas": i})
        moto_depot.promote(model)
        assert environment.price().version == model.version

    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 4
    assert not list((tmp_path / "cache").glob("*.part"))


def test_an_empty_model_uri_serves_the_embedded_model_and_asks_nobody(
    proxy: Proxy, start: Start, shipped: ModelFile
) -> None:
    environment = start(model_uri="")

    assert environment.price().version == shipped.version
    assert environment.health() == (200, shipped.version, "embedded")
    records = environment.records()
    assert (counted(records, "ModelFallback"), logged(records, "WARNING", "ERROR")) == (0, [])
    assert not proxy.requests


def test_an_embedded_model_that_is_promoted_too_is_then_served_from_s3(
    moto_depot: Depot, start: Start, shipped: ModelFile
) -> None:
    environment = start()
    assert environment.health() == (200, shipped.version, "embedded")

    moto_depot.promote(shipped)

    assert environment.price().version == shipped.version
    assert environment.health() == (200, shipped.version, "s3")


def test_a_prefix_may_be_empty_or_hold_spaces_and_accents(
    moto_depot: Depot, proxy: Proxy, start: Start, first: ModelFile
) -> None:
    for prefix in ("", "a b/ñandú+1"):
        depot = Depot(moto_depot.client, moto_depot.port, moto_depot.bucket, prefix)
        depot.promote(first)

        assert start(model_uri=depot.uri).health()[:2] == (200, first.version)


def test_no_feature_value_and_no_secret_is_logged(
    moto_depot: Depot, proxy: Proxy, start: Start, first: ModelFile, home: dict[str, Any]
) -> None:
    moto_depot.promote(first)
    proxy.fault = lambda _: Fault(status=403)
    environment = start(log_level="DEBUG", model_refresh_seconds=0)

    environment.price()

    text = str(environment.records())
    assert "testing-secret" not in text
    assert str(home["latitud"]) not in text
    assert "longitud" not in text
