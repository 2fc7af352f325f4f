"""Publishing, promoting and rolling back, against real servers."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.errors import PricingError, StoreError
from tests.conftest import ROOT, made_up_listings
from tests.integration.conftest import Depot
from tests.integration.models import ModelFile, altered, dearer, of_another_schema, that_prices_wrongly
from tests.integration.proxy import OK, Fault, Proxy, Request
from training.__main__ import cli
from training.registry import Registry, pointer_to

POINTER = "current.json"
Run = Callable[..., str]


@pytest.fixture
def on_disk(tmp_path: Path) -> Callable[[ModelFile], str]:
    def write(model: ModelFile) -> str:
        path = tmp_path / f"{model.version}.safetensors"
        path.write_bytes(model.data)
        return str(path)

    return write


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Run:
    """`python -m training` in this process: gives what it prints, raises what it refuses with."""
    depot: Depot = request.getfixturevalue("depot" if "depot" in request.fixturenames else "moto_depot")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", depot.url)
    monkeypatch.setenv("MODEL_URI", depot.uri)  # what --to is when it isn't given

    def runs(*arguments: str) -> str:
        result = CliRunner().invoke(cli, arguments)
        if result.exception is not None:
            raise result.exception
        return result.output

    return runs


def current(depot: Depot) -> str:
    return str(json.loads(depot.read(POINTER))["version"])


def snapshot(depot: Depot) -> dict[str, bytes]:
    return {name: depot.read(name) for name in depot.names()}


def test_publishing_writes_the_model_and_promotes_nothing(
    depot: Depot, run: Run, on_disk: Callable[[ModelFile], str], first: ModelFile
) -> None:
    output = run("publish", on_disk(first))

    assert snapshot(depot) == {f"{first.version}/model.safetensors": first.data}
    assert first.version in output


def test_promoting_at_once_writes_a_pointer_that_functions_read(
    depot: Depot, run: Run, on_disk: Callable[[ModelFile], str], first: ModelFile
) -> None:
    run("publish", on_disk(first), "--to", depot.uri, "--promote")

    pointer = json.loads(depot.read(POINTER))
    assert first.pointer.items() <= pointer.items()
    assert depot.read(f"{first.version}/model.safetensors") == first.data


def test_publishing_twice_changes_nothing(
    depot: Depot, run: Run, on_disk: Callable[[ModelFile], str], first: ModelFile
) -> None:
    run("publish", on_disk(first), "--promote")
    before = snapshot(depot)

    output = run("publish", on_disk(first), "--promote")

    assert "was published before" in output
    assert "is current already" in output
    assert snapshot(depot) == before


def test_what_stands_under_a_version_is_never_overwritten(
    depot: Depot, run: Run, on_disk: Callable[[ModelFile], str], first: ModelFile
) -> None:
    depot.put(f"{first.version}/model.safetensors", b"something else")
    before = snapshot(depot)

    with pytest.raises(StoreError, match="damaged"):
        run("publish", on_disk(first), "--promote")

    assert snapshot(depot) == before


def test_a_model_that_is_read_back_damaged_is_not_promoted(
    moto_depot: Depot,
    proxy: Proxy,
    run: Run,
    on_disk: Callable[[ModelFile], str],
    first: ModelFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    proxy.fault = lambda request: Fault(flip_bit=80_003) if "model" in request.path and request.method == "GET" else OK

    with pytest.raises(StoreError):
        run("publish", on_disk(first), "--promote")

    assert POINTER not in moto_depot.names()


def test_every_rollback_goes_one_promotion_further_back_and_promote_goes_anywhere(
    depot: Depot, run: Run, on_disk: Callable[[ModelFile], str], first: ModelFile, second: ModelFile, shipped: ModelFile
) -> None:
    for model in (first, second, shipped):
        run("publish", on_disk(model), "--promote")
    visited = []
    for _ in range(2):
        run("rollback")
        visited.append(current(depot))

    assert visited == [second.version, first.version]
    with pytest.raises(StoreError, match="no model promoted before"):
        run("rollback")
    assert current(depot) == first.version
    run("promote", shipped.version)
    assert current(depot) == shipped.version


def test_rolling_back_never_returns_to_what_was_rolled_back_from(
    moto_depot: Depot, run: Run, on_disk: Callable[[ModelFile], str], first: ModelFile, second: ModelFile
) -> None:
    run("publish", on_disk(first), "--promote")
    run("publish", on_disk(second), "--promote")
    run("promote", first.version)
    run("promote", second.version)

    run("rollback")

    assert current(moto_depot) == first.version
    with pytest.raises(StoreError, match="no model promoted before"):
        run("rollback")


def test_of_two_who_promote_at_once_one_is_told_and_changes_nothing(
    depot: Depot, run: Run, on_disk: Callable[[ModelFile], str], first: ModelFile, second: ModelFile, shipped: ModelFile
) -> None:
    for model in (first, second, shipped):
        run("publish", on_disk(model))
    registry = Registry(depot.uri)
    for fastest, slower in ((first, second), (second, shipped)):  # without a pointer, then with one
        as_both_see_it = registry.state()
        registry.promote(pointer_to(fastest.data), as_both_see_it)
        before = snapshot(depot)

        with pytest.raises(StoreError, match=f"somebody else changed .* {fastest.version}"):
            registry.promote(pointer_to(slower.data), as_both_see_it)

        assert snapshot(depot) == before


def test_a_promotion_that_is_overtaken_on_its_way_is_told(
    depot: Depot,
    proxy: Proxy,
    run: Run,
    on_disk: Callable[[ModelFile], str],
    first: ModelFile,
    second: ModelFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run("publish", on_disk(first))
    run("publish", on_disk(second))

    def overtaken(request: Request) -> Fault:
        if request.method == "PUT" and POINTER not in depot.names():
            depot.point(second)
        return OK

    proxy.fault = overtaken
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)

    with pytest.raises(StoreError, match=f"somebody else changed .* {second.version}"):
        run("promote", first.version)

    assert current(depot) == second.version


def test_a_lost_answer_to_a_promotion_is_no_lost_race(
    depot: Depot,
    proxy: Proxy,
    run: Run,
    on_disk: Callable[[ModelFile], str],
    first: ModelFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run("publish", on_disk(first))
    lost: list[Request] = []

    def lose_the_first_answer(request: Request) -> Fault:
        if request.method == "PUT" and not lost:
            lost.append(request)
            return Fault(status_lost=True)
        return OK

    proxy.fault = lose_the_first_answer
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)

    run("promote", first.version)

    assert current(depot) == first.version
    assert len([r for r, _ in proxy.requests if r.method == "PUT"]) == 2


@pytest.mark.parametrize("spoil", [of_another_schema, that_prices_wrongly, lambda data: ModelFile(data[:-100])])
def test_a_model_that_cannot_be_served_is_never_published(
    spoil: Callable[[bytes], ModelFile],
    moto_depot: Depot,
    run: Run,
    on_disk: Callable[[ModelFile], str],
    first: ModelFile,
) -> None:
    bad = on_disk(spoil(first.data))

    for force in ([], ["--force", "--reason", "in a hurry"]):
        with pytest.raises(PricingError):
            run("publish", bad, "--promote", *force)

    assert moto_depot.names() == []


def test_a_model_without_the_record_of_its_verification_needs_a_reason_which_is_kept(
    moto_depot: Depot, run: Run, on_disk: Callable[[ModelFile], str], first: ModelFile
) -> None:
    unverified = altered(first.data, verified=None)

    with pytest.raises(PricingError, match="verified it against scikit-learn"):
        run("publish", on_disk(unverified), "--promote")
    assert moto_depot.names() == []

    run("publish", on_disk(unverified), "--promote", "--force", "--reason", "comprobado a mano, señas aparte")
    assert current(moto_depot) == unverified.version
    assert "comprobado a mano, señas aparte" in run("status")


def test_a_model_worse_than_the_current_one_needs_a_reason_which_is_kept(
    depot: Depot, run: Run, on_disk: Callable[[ModelFile], str], first: ModelFile, second: ModelFile, tmp_path: Path
) -> None:
    listings = tmp_path / "validation.csv"
    made_up_listings(60, seed=11).to_csv(listings, index=False)
    run("publish", on_disk(first), "--promote", "--validate", str(listings))
    before = snapshot(depot)

    with pytest.raises(PricingError, match="more than 2% worse"):
        run("publish", on_disk(second), "--promote", "--validate", str(listings))
    assert snapshot(depot) == before

    for wrong in (["--force"], ["--reason", "because"]):
        with pytest.raises(StoreError, match="go together"):
            run("publish", on_disk(second), "--promote", "--validate", str(listings), *wrong)
    assert snapshot(depot) == before

    reason = ["--force", "--reason", "prices have doubled"]
    run("publish", on_disk(second), "--promote", "--validate", str(listings), *reason)
    assert current(depot) == second.version
    assert "prices have doubled" in run("status")


def test_a_model_a_little_worse_is_within_the_margin(
    moto_depot: Depot, run: Run, on_disk: Callable[[ModelFile], str], first: ModelFile, tmp_path: Path
) -> None:
    listings = tmp_path / "validation.csv"
    made_up_listings(60, seed=11).to_csv(listings, index=False)
    run("publish", on_disk(first), "--promote")
    slightly = dearer(first.data, 1.001)

    run("publish", on_disk(slightly), "--promote", "--validate", str(listings))

    assert current(moto_depot) == slightly.version


def test_listing_and_status_say_what_is_current_and_where_a_rollback_leads(
    depot: Depot, run: Run, on_disk: Callable[[ModelFile], str], first: ModelFile, second: ModelFile, shipped: ModelFile
) -> None:
    assert "no models" in run("list")
    run("publish", on_disk(first), "--promote")
    run("publish", on_disk(second), "--promote")
    run("publish", on_disk(shipped))

    lines = run("list").splitlines()

    about = {version: next(line for line in lines if version in line) for version in (first.version, second.version)}
    assert "current" in about[second.version]
    assert "1 rollback away" in about[first.version]
    assert any(shipped.version in line for line in lines)
    status = run("status")
    assert second.sha256 in status
    assert f"rollback to  {first.version}" in status


def _unknown_bucket(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_URI", "s3://no-such-bucket-anywhere/models")


def _no_credentials(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def _no_network(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")


def _wrong_secret(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")


def _unknown_key(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")


def _bad_uri(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_URI", "https://modelos.example/madrid")


@pytest.mark.parametrize(
    ("command", "obstacle", "says"),
    [
        ("publish", _unknown_bucket, "there is no such bucket"),
        ("publish", _no_credentials, "no AWS credentials; set AWS_PROFILE"),
        ("publish", _no_network, "check the network"),
        ("publish", _wrong_secret, "check the credentials"),
        ("publish", _unknown_key, "check the credentials"),
        ("publish", _bad_uri, "should look like s3://bucket/prefix"),
        ("promote", _wrong_secret, "check the credentials"),
        ("rollback", _no_credentials, "no AWS credentials"),
        ("list", _unknown_bucket, "there is no such bucket"),
        ("status", _no_network, "check the network"),
    ],
)
def test_what_stands_in_the_way_is_one_line_and_nothing_is_changed(
    command: str,
    obstacle: Callable[[Depot, pytest.MonkeyPatch], None],
    says: str,
    seaweedfs_depot: Depot,
    run: Run,
    on_disk: Callable[[ModelFile], str],
    first: ModelFile,
    second: ModelFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    depot = seaweedfs_depot
    depot.promote(first)
    depot.upload(second)
    before = snapshot(depot)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", depot.url)
    monkeypatch.setenv("MODEL_URI", depot.uri)
    obstacle(depot, monkeypatch)
    arguments: dict[str, list[Any]] = {"publish": [on_disk(second), "--promote"], "promote": [second.version]}

    with pytest.raises(StoreError) as error:
        run(command, *arguments.get(command, []))

    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert snapshot(depot) == before


@pytest.mark.parametrize("version", ["0123456789ab", "latest", "../../etc"])
def test_an_unknown_version_is_said_to_be_unknown(version: str, moto_depot: Depot, run: Run, first: ModelFile) -> None:
    moto_depot.promote(first)
    before = snapshot(moto_depot)

    with pytest.raises(StoreError, match="`list` shows which there are"):
        run("promote", version)

    assert snapshot(moto_depot) == before


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_a_model_damaged_in_the_bucket_does_not_become_current(
    command: str, depot: Depot, run: Run, on_disk: Callable[[ModelFile], str], first: ModelFile, second: ModelFile
) -> None:
    run("publish", on_disk(first), "--promote")
    run("publish", on_disk(second), "--promote")
    depot.put(f"{first.version}/model.safetensors", first.data[:-1])
    before = snapshot(depot)

    with pytest.raises(StoreError, match="damaged"):
        run(command, *([first.version] if command == "promote" else []))

    assert snapshot(depot) == before


def test_a_pointer_that_is_none_of_ours_is_replaced_by_the_next_promotion(
    depot: Depot, run: Run, on_disk: Callable[[ModelFile], str], first: ModelFile
) -> None:
    depot.put(POINTER, b"half a poin")
    with pytest.raises(StoreError, match="none of ours"):
        run("status")

    run("publish", on_disk(first), "--promote")

    assert current(depot) == first.version


def test_the_program_ends_with_one_line_and_an_exit_code(moto_depot: Depot) -> None:
    command = [sys.executable, "-m", "training", "promote", "0123456789ab", "--to", moto_depot.uri]
    environment = {"AWS_ENDPOINT_URL_S3": moto_depot.url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}

    ended = subprocess.run(
        command, check=False, cwd=ROOT, env=environment | {"PATH": ""}, capture_output=True, text=True, timeout=60
    )

    assert ended.returncode != 0
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("error: there is no model 0123456789ab")
    assert ended.stdout == ""
