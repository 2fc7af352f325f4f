"""The data scientist's side: listings in, an artifact out, and clear words where the data is bad."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from typer.testing import CliRunner

from app.errors import DataError
from app.model import Model
from tests.conftest import made_up_listings
from training.__main__ import cli
from training.data import Listings, read
from training.evaluate import FOLDS, OutOfFold, calibrate, folds_by_cell
from training.fit import fit
from training.options import Kind, Options
from training.recipe import Trained, train


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "listings.csv"
    made_up_listings(300).to_csv(path, index=False)
    return path


def test_fit_writes_a_model_and_reports_as_json_and_as_a_table(csv: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli, ["fit", "--data", str(csv), "--out", str(tmp_path / "m.safetensors"), "--trees", "10"]
    )

    assert result.exit_code == 0, result.output
    evaluation = json.loads(result.stdout)
    assert evaluation["todas"]["n"] == 300
    assert {"completas", "incompletas", "capital", "fuera de la capital", "quintil de precio 1", "tipo Piso"} <= set(
        evaluation
    )
    assert "completas" in result.stderr
    model = Model.load((tmp_path / "m.safetensors").read_bytes())
    assert model.metadata["verified"]["rows"] == 300


def test_the_same_listings_give_the_same_bytes(listings: Listings, trained: Trained) -> None:
    again = train(listings, Options(trees=10, jobs=2), year=2020, source="made up")

    assert again.data == trained.data


def test_csv_and_parquet_give_the_same_listings(csv: Path, tmp_path: Path) -> None:
    parquet = tmp_path / "listings.parquet"
    made_up_listings(300).to_parquet(parquet)

    assert read(parquet).homes == read(csv).homes
    assert read(parquet).prices.tolist() == read(csv).prices.tolist()


def test_a_random_forest_can_be_served_too(listings: Listings, home: dict[str, object]) -> None:
    options = Options(estimator=Kind.RANDOM_FOREST, trees=10, jobs=1)
    fitted = fit(listings, options)
    assert isinstance(fitted.forest, RandomForestRegressor)

    model = Model.load(train(listings, options, year=2020, source="made up").data)

    served = np.array(model.corrections(listings.homes))
    assert served.tobytes() == fitted.forest.predict(fitted.matrix(listings.homes)).tobytes()


def test_homes_of_one_cell_share_a_fold(listings: Listings) -> None:
    fold = folds_by_cell(listings, seed=0)

    by_cell: dict[tuple[int, int], set[int]] = {}
    for home, number in zip(listings.homes, fold, strict=True):
        by_cell.setdefault((round(home[0] * 1000), round(home[1] * 1000)), set()).add(int(number))
    assert all(len(numbers) == 1 for numbers in by_cell.values())
    assert set(fold) == set(range(FOLDS))


def test_the_calibrated_interval_covers_data_it_has_not_seen() -> None:
    rng = np.random.default_rng(3)
    spread = rng.uniform(0.05, 0.5, 20_000)
    unknown = rng.integers(0, 4, 20_000)
    truth = rng.normal(0, spread * (1 + unknown))
    predicted = OutOfFold(np.zeros_like(spread), spread, unknown, spread, np.zeros_like(unknown))
    seen = np.arange(20_000) < 10_000

    interval = calibrate(truth[seen], predicted.take(seen))

    reach = np.array(interval["factors"])[unknown] * (spread + interval["floor"])
    for k in range(4):
        held_out = ~seen & (unknown == k)
        assert np.mean(np.abs(truth[held_out]) <= reach[held_out]) == pytest.approx(0.9, abs=0.02)


def _with(column: str, value: str | float, row: int = 4) -> pd.DataFrame:
    table = made_up_listings(30).astype(object)
    table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (made_up_listings(30).drop(columns=["surface", "garaje"]), ["surface", "garaje"]),
        (_with("surface", "grande"), ["surface", "line 6"]),
        (_with("precio", -1), ["precio", "line 6"]),
        (_with("precio", ""), ["precio", "line 6"]),
        (_with("condicion", "Como nueva"), ["condicion", "line 6"]),
        (_with("latitud", 400), ["latitud", "line 6"]),
        (_with("baños", 1.5), ["baños", "line 6"]),
        (_with("ascensor", "quizás"), ["ascensor", "line 6"]),
        (made_up_listings(30).iloc[:0], ["no rows"]),
    ],
    ids=["columns", "text", "negative", "empty", "condition", "latitude", "half a bath", "flag", "header only"],
)
def test_bad_listings_get_one_error_with_the_file_the_columns_and_the_rows(
    tmp_path: Path, table: pd.DataFrame, words: list[str]
) -> None:
    path = tmp_path / "bad.csv"
    table.to_csv(path, index=False)

    with pytest.raises(DataError) as caught:
        read(path)

    assert all(word in str(caught.value) for word in ["bad.csv", *words])


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00\x01", b'latitud,longitud\n"1,2\n'], ids=["empty", "binary", "quote"]
)
def test_a_file_that_is_no_table_gets_one_error(tmp_path: Path, content: bytes) -> None:
    for name in ("bad.csv", "bad.parquet"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=name):
            read(path)


def test_a_missing_file_a_folder_and_another_ending_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "no.csv", tmp_path, tmp_path / "listings.xlsx"):
        if path.suffix == ".xlsx":
            path.write_bytes(b"PK")
        with pytest.raises(DataError, match=path.name):
            read(path)


def test_a_failed_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    data, out = tmp_path / "bad.csv", tmp_path / "out" / "m.safetensors"
    _with("surface", "grande").to_csv(data, index=False)

    result = CliRunner().invoke(cli, ["fit", "--data", str(data), "--out", str(out)])

    assert result.exit_code != 0
    assert not out.parent.exists()
