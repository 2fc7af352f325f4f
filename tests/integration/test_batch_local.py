"""Files priced on this machine by the command line, killed and started again."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from app.errors import DataError, StoreError
from app.model import Model
from app.settings import Settings
from batch import local
from batch.local import price_file
from training.recipe import Trained

ROOT = Path(__file__).parent.parent.parent
HEADER = "id,latitud,longitud,surface,baños,habitaciones,jardin,antiguedad,superficie_util,ascensor,garaje,condicion"


def write_homes(path: Path, n: int, broken_every: int = 100) -> Path:
    """Homes as CSV; of every `broken_every` one has no area."""
    areas = ["" if i % broken_every == 3 else str(50 + i % 90) for i in range(n)]
    lines = [f"h{i},40.4{i % 10},-3.7{i % 7},{area},1,2,False,,40,True,False,Reformado" for i, area in enumerate(areas)]
    path.write_text("\n".join([HEADER, *lines, ""]))
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def model(tmp_path: Path, trained: Trained) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(trained.data)
    return path


def command(source: Path, out: Path, model: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "batch", "local", str(source), str(out), "--model", str(model), *options]


def test_a_run_that_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path, model: Path) -> None:
    n = 12_000
    source, out = write_homes(tmp_path / "homes.csv", n), tmp_path / "prices.csv"
    arguments = command(source, out, model, "--range-size", "10000")
    done = 0
    for _ in range(2):
        with subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 60
            # killed while it works: some ranges further than the run before it
            while len(list((tmp_path / "prices.csv.run" / "parts").glob("*.json"))) < done + 10:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            os.kill(process.pid, signal.SIGKILL)
        assert not out.exists()
        done = len(list((tmp_path / "prices.csv.run" / "parts").glob("*.json")))

    ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)

    assert json.loads(ended.stdout)["rows"] == n
    assert json.loads(ended.stdout)["refused"] == n // 100
    found = read(out)
    assert [row["id"] for row in found] == [f"h{i}" for i in range(n)]
    assert [row["fila"] for row in found] == [str(i) for i in range(1, n + 1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "homes.csv",
        "model.safetensors",
        "prices.csv",
        "prices.csv.manifest.json",
    ]


def price(source: Path, out: Path, model: Path, **options: Any) -> dict[str, Any]:
    return price_file(source, out, Settings(), model=model, processes=1, **options)


def test_prices_and_refusals_are_those_of_the_model_and_the_api(
    tmp_path: Path, model: Path, small_model: Model
) -> None:
    source = write_homes(tmp_path / "homes.csv", 100, broken_every=10)

    manifest = price(source, tmp_path / "prices.csv", model, range_size=2_000)

    assert manifest["ranges"] > 1
    assert manifest["counts"]["refused"] == 10
    found = read(tmp_path / "prices.csv")
    (expected,) = small_model.price([(40.40, -3.70, 50.0, 1, 2, False, None, 40.0, True, False, "Reformado")])
    assert expected["intervalo"] is not None
    assert [float(found[0][name]) for name in ("precio", "inferior", "superior", "confianza")] == [
        expected["precio"],
        *expected["intervalo"].values(),
    ]
    assert found[3]["error"] == "surface: Falta, y es obligatorio."
    assert found[3]["precio"] == ""
    assert {row["modelo"] for row in found} == {small_model.version}


def test_parquet_and_json_lines_give_the_prices_of_csv(tmp_path: Path, model: Path) -> None:
    source = write_homes(tmp_path / "homes.csv", 300, broken_every=10)
    table = pacsv.read_csv(source)
    pq.write_table(table, tmp_path / "homes.parquet", row_group_size=120)
    lines = [json.dumps({k: v for k, v in row.items() if v is not None}) for row in table.to_pylist()]
    (tmp_path / "homes.jsonl").write_text("\n".join(lines))
    price(source, tmp_path / "csv.csv", model, range_size=5_000)

    price(tmp_path / "homes.parquet", tmp_path / "parquet.csv", model, range_size=50)
    price(tmp_path / "homes.jsonl", tmp_path / "jsonl.csv", model, range_size=5_000)

    assert read(tmp_path / "parquet.csv") == read(tmp_path / "csv.csv")
    assert read(tmp_path / "jsonl.csv") == read(tmp_path / "csv.csv")


def test_results_can_be_parquet_or_json_lines(tmp_path: Path, model: Path) -> None:
    source = write_homes(tmp_path / "homes.csv", 200, broken_every=10)
    price(source, tmp_path / "prices.csv", model, range_size=3_000)

    price(source, tmp_path / "prices.parquet", model, range_size=3_000)
    price(source, tmp_path / "prices.jsonl", model, range_size=3_000)

    table = pq.read_table(tmp_path / "prices.parquet")
    lines = [json.loads(line) for line in (tmp_path / "prices.jsonl").read_text().splitlines()]
    assert table.to_pylist() == lines
    assert table.schema.field("fila").type == pa.int64()
    assert table.schema.field("precio").type == pa.float64()
    expected = read(tmp_path / "prices.csv")
    assert [{k: "" if v is None else str(v) for k, v in line.items()} for line in lines] == expected


def test_an_id_with_a_line_break_comes_back_as_it_was(tmp_path: Path, model: Path) -> None:
    source = tmp_path / "homes.csv"
    id_ = 'two\nlines, and "quotes"'
    with source.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER.split(","))
        for i in range(30):
            writer.writerow([f"{id_} {i}", 40.4, -3.7, 80, 1, 2, 0, "", "", 1, 0, ""])

    price(source, tmp_path / "prices.csv", model, range_size=300)

    found = read(tmp_path / "prices.csv")
    assert [row["id"] for row in found] == [f"{id_} {i}" for i in range(30)]
    assert [row["fila"] for row in found] == [str(i) for i in range(1, 31)]


def test_done_is_done_and_another_file_is_not_overwritten(tmp_path: Path, model: Path) -> None:
    source, out = write_homes(tmp_path / "homes.csv", 50), tmp_path / "prices.csv"
    first = price(source, out, model)
    written = out.stat().st_mtime_ns

    assert price(source, out, model) == first
    assert out.stat().st_mtime_ns == written

    write_homes(source, 60)
    with pytest.raises(DataError, match="--overwrite"):
        price(source, out, model)
    assert price(source, out, model, overwrite=True)["counts"]["rows"] == 60


def test_a_file_changed_under_an_interrupted_run_is_noticed(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = write_homes(tmp_path / "homes.csv", 50), tmp_path / "prices.csv"
    with monkeypatch.context() as patch:
        patch.setattr(local, "merge", interrupted)
        with pytest.raises(KeyboardInterrupt):
            price(source, out, model)
    write_homes(source, 60)

    with pytest.raises(DataError, match="the file is another now"):
        price(source, out, model)

    assert not out.exists()
    assert price(source, out, model, restart=True)["counts"]["rows"] == 60


def interrupted(*_: object) -> int:
    raise KeyboardInterrupt


def test_a_result_that_lost_rows_on_the_disk_is_priced_again(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = write_homes(tmp_path / "homes.csv", 200), tmp_path / "prices.csv"
    with monkeypatch.context() as patch:
        patch.setattr(local, "merge", interrupted)
        with pytest.raises(KeyboardInterrupt):
            price(source, out, model, range_size=2_000)
    part = tmp_path / "prices.csv.run" / "parts" / "000001.csv"
    part.write_bytes(part.read_bytes()[:-30])

    assert price(source, out, model)["counts"]["rows"] == 200
    assert [row["fila"] for row in read(out)] == [str(i) for i in range(1, 201)]


def test_a_folder_that_only_looks_like_a_run_is_left_alone(tmp_path: Path, model: Path) -> None:
    source = write_homes(tmp_path / "homes.csv", 10)
    (tmp_path / "prices.csv.run").mkdir()
    (tmp_path / "prices.csv.run" / "thesis.txt").write_text("years of work")

    with pytest.raises(DataError, match=r"thesis\.txt"):
        price(source, tmp_path / "prices.csv", model, restart=True)

    assert (tmp_path / "prices.csv.run" / "thesis.txt").exists()


def test_a_disk_that_is_full_leaves_no_result(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = write_homes(tmp_path / "homes.csv", 50), tmp_path / "prices.csv"

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StoreError, match="No space left on device"):
        price(source, out, model)

    assert not out.exists()
    assert not list(tmp_path.rglob("*unfinished*"))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("homes.csv", b"id;latitud\n1;40,4\n"),
        ("homes.csv", b""),
        ("homes.parquet", b"PAR1 and no more"),
        ("homes.txt", b"latitud\n"),
    ],
)
def test_a_bad_file_is_one_message_and_no_output(tmp_path: Path, model: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)

    ended = subprocess.run(
        command(tmp_path / name, tmp_path / "prices.csv", model),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stdout == ""
    messages = [line for line in ended.stderr.splitlines() if "error:" in line]
    assert len(messages) == 1
    assert name in messages[0]
    assert "Traceback" not in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "model.safetensors"])
