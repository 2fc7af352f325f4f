"""Listings from a file, checked with the same rules as a request."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError

from app.errors import DataError
from app.features import FIELDS, Home
from app.records import field_name, values
from app.schemas import FormularioConPrecio, mend

REQUIRED = (*FIELDS, "precio")
DETACHED = ("Casa", "Chalet", "Finca")
SHOWN = 5
"""Offending rows that an error names."""


@dataclass(frozen=True)
class Listings:
    """Homes and their prices; row i of each belongs together."""

    homes: list[Home]
    prices: npt.NDArray[np.float64]
    """Asking prices, euro."""
    extra: pd.DataFrame
    """The file's other columns, for segments of the report."""

    @property
    def detached(self) -> npt.NDArray[np.bool_]:
        """Which listings are detached homes, where the file says so: no input of the service, but telling."""
        if "tipo" not in self.extra:
            return np.zeros(len(self), bool)
        return self.extra["tipo"].isin(DETACHED).to_numpy(bool)

    def __len__(self) -> int:
        return len(self.homes)

    def take(self, rows: npt.NDArray[Any]) -> "Listings":
        """The listings at these positions."""
        return Listings([self.homes[i] for i in rows], self.prices[rows], self.extra.iloc[rows])


def read(path: Path) -> Listings:
    """Read a CSV or Parquet file (by its ending) with the contract's columns and `precio`.

    Raises:
        DataError: one message that names the file, what is wrong and the first offending rows.
    """
    table = _table(path)
    table.columns = pd.Index([field_name(str(column)) for column in table.columns])
    if missing := [name for name in REQUIRED if name not in table.columns]:
        raise DataError(f"{path}: missing column{'s' * (len(missing) > 1)} {', '.join(missing)}.")
    if table.columns.duplicated().any():
        raise DataError(f"{path}: column {table.columns[table.columns.duplicated()][0]!r} is there twice.")
    if table.empty:
        raise DataError(f"{path}: has a header but no rows.")
    homes: list[Home] = []
    prices: list[float] = []
    problems: list[tuple[int, dict[str, Any]]] = []
    records: list[dict[str, str]] = table[list(REQUIRED)].to_dict("records")  # type: ignore[assignment]  # text cells
    for line, record in enumerate(records, start=2):
        try:
            listing = FormularioConPrecio.model_validate(values(record))
        except ValidationError as error:
            problems.extend((line, mend(dict(problem))) for problem in error.errors())
            continue
        homes.append(listing.home())
        prices.append(listing.precio)
    if problems:
        columns = sorted({str(problem["loc"][0]) for _, problem in problems})
        rows = "\n".join(f"  line {line}, {problem['loc'][0]}: {problem['msg']}" for line, problem in problems[:SHOWN])
        raise DataError(
            f"{path}: {len({line for line, _ in problems})} of {len(table)} rows can't be used "
            f"(columns {', '.join(columns)}). The first:\n{rows}"
        )
    return Listings(homes, np.array(prices), table.drop(columns=list(REQUIRED)).reset_index(drop=True))


def _table(path: Path) -> pd.DataFrame:
    """The file as text cells, empty where a value is missing."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file.")
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
            return table.astype(object).where(table.notna(), "").astype(str)
        if path.suffix == ".csv":
            return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' parser errors and pyarrow's are ValueErrors
        raise DataError(f"{path}: can't be read as {path.suffix[1:]}: {error}") from error
    raise DataError(f"{path}: end the name in .csv or .parquet, so that it is clear how to read it.")
