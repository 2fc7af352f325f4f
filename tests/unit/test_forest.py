"""The kernel returns scikit-learn's own float64, bit for bit, in both builds."""

from __future__ import annotations

from array import array
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestRegressor

from app.forest import MAX_FEATURES
from training import artifact

Rows = NDArray[np.float64]


def _homes(n: int, seed: int, *, missing: bool, columns: int = 15) -> Rows:
    """Rows in the ranges of the listings: degrees, areas, counts, ticks, bands with gaps, distances."""
    r = np.random.default_rng(seed)
    surface = np.round(np.exp(r.normal(4.6, 0.6, n))).clip(15, 1500)
    rows = np.column_stack(
        [
            r.normal(40.42, 0.1, n).round(6),
            r.normal(-3.70, 0.12, n).round(6),
            surface,
            r.integers(0, 12, n),
            r.integers(0, 15, n),
            r.integers(0, 2, n),
            r.choice([0, 5, 10, 20, 30, 50], n),
            (surface * r.uniform(0.3, 1.05, n)).round(),
            r.integers(0, 2, n),
            r.integers(0, 2, n),
            r.integers(0, 4, n),
            *(r.normal(0, 10, n) for _ in range(max(4, columns - 11))),
        ]
    ).astype(np.float64)[:, :columns]
    if missing:
        for column, share in ((6, 0.77), (7, 0.52), (10, 0.24)):
            if column < columns:
                rows[r.random(n) < share, column] = np.nan
    return rows


def _prices(rows: Rows, seed: int) -> Rows:
    noise = np.random.default_rng(seed).normal(0, 0.3, len(rows))
    return 12 + np.nan_to_num(rows, nan=7.0)[:, :8] @ np.full(min(8, rows.shape[1]), 0.01) + noise


def _fitted(estimator: Any, n: int = 400, *, missing: bool, columns: int = 15) -> Any:
    rows = _homes(n, seed=1, missing=missing, columns=columns)
    return estimator.fit(rows, _prices(rows, seed=2))


ESTIMATORS = {
    "forest with gaps": lambda: _fitted(
        RandomForestRegressor(30, min_samples_leaf=3, max_features=0.5, random_state=0), 1200, missing=True
    ),
    "forest without gaps": lambda: _fitted(RandomForestRegressor(9, random_state=1), missing=False),
    "one tree": lambda: _fitted(RandomForestRegressor(1, random_state=2), missing=True),
    "stumps": lambda: _fitted(RandomForestRegressor(17, max_depth=1, random_state=3), missing=True),
    "one column": lambda: _fitted(RandomForestRegressor(8, random_state=4), missing=False, columns=1),
    "as many columns as can be": lambda: _fitted(
        RandomForestRegressor(11, max_depth=5, random_state=5), missing=True, columns=MAX_FEATURES
    ),
    "grown best leaf first": lambda: _fitted(
        RandomForestRegressor(10, max_leaf_nodes=40, random_state=6), missing=True
    ),
    "single leaves": lambda: RandomForestRegressor(5).fit(_homes(20, 1, missing=False), np.full(20, 12.3)),
    "leaves that are float32": lambda: RandomForestRegressor(3, bootstrap=False, max_features=3, random_state=7).fit(
        _homes(300, 1, missing=False), np.arange(300.0)
    ),
    "a tree too large for 16 bits": lambda: _fitted(ExtraTreesRegressor(2, random_state=8), 20_000, missing=False),
    "extra trees with gaps": lambda: _fitted(ExtraTreesRegressor(12, random_state=9), missing=True),
    "boosting with gaps": lambda: _fitted(HistGradientBoostingRegressor(max_iter=40), missing=True),
    "boosting without gaps": lambda: _fitted(HistGradientBoostingRegressor(max_iter=15), missing=False),
    "boosting for the median": lambda: _fitted(
        HistGradientBoostingRegressor(loss="absolute_error", max_iter=10), missing=True
    ),
}


@cache
def _estimator(name: str) -> Any:
    return ESTIMATORS[name]()


@pytest.fixture(params=ESTIMATORS)
def estimator(request: pytest.FixtureRequest) -> Any:
    return _estimator(request.param)


def _kernel_forest(kernel: ModuleType, estimator: Any) -> Any:
    tensors = artifact.tensors(estimator, "forest")
    arrays = [tensors[f"forest.{name}"].data for name in ("slot", "right", "value", "roots")]
    return kernel.Forest(*arrays, n_features=estimator.n_features_in_, **artifact.summation(estimator))


def _predict(forest: Any, rows: Rows) -> Rows:
    return np.array(forest.predict(array("d", rows.tobytes()), len(rows)))


def _scikit_learn(estimator: Any, rows: Rows) -> Rows:
    """What scikit-learn's trees give for float32 rows; its `predict` refuses infinities, the trees don't."""
    with np.errstate(over="ignore"):
        rounded = rows.astype(np.float32)
    if isinstance(estimator, HistGradientBoostingRegressor):
        return np.asarray(estimator.predict(rounded.astype(np.float64)))
    total = np.zeros(len(rows))
    for tree in estimator.estimators_:
        total += tree.tree_.predict(rounded)[:, 0]
    return total / len(estimator.estimators_)


def _assert_same_bits(ours: Rows, theirs: Rows) -> None:
    np.testing.assert_array_equal(ours.view(np.uint64), theirs.view(np.uint64))


def _thresholds(estimator: Any, most: int = 400) -> list[tuple[int, float]]:
    splits: list[tuple[int, float]] = []
    if isinstance(estimator, HistGradientBoostingRegressor):
        for (predictor,) in estimator._predictors:
            nodes = predictor.nodes[predictor.nodes["is_leaf"] == 0]
            splits += zip(nodes["feature_idx"].tolist(), nodes["num_threshold"].tolist(), strict=True)
    else:
        for fitted in estimator.estimators_:
            inner = fitted.tree_.children_left >= 0
            splits += zip(fitted.tree_.feature[inner].tolist(), fitted.tree_.threshold[inner].tolist(), strict=True)
    step = max(1, len(splits) // most)
    return splits[::step]


def test_homes_are_priced_as_scikit_learn_prices_them(kernel: ModuleType, estimator: Any) -> None:
    gaps = estimator.__sklearn_tags__().input_tags.allow_nan and _learned_gaps(estimator)
    rows = _homes(500, seed=11, missing=gaps, columns=estimator.n_features_in_)

    ours = _predict(_kernel_forest(kernel, estimator), rows)

    _assert_same_bits(ours, estimator.predict(rows.astype(np.float32)))
    _assert_same_bits(ours, _scikit_learn(estimator, rows))


def _learned_gaps(estimator: Any) -> bool:
    try:
        estimator.predict(np.full((1, estimator.n_features_in_), np.nan))
    except ValueError:
        return False
    return True


def test_a_row_on_a_threshold_or_a_step_beside_it_goes_where_scikit_learn_sends_it(
    kernel: ModuleType, estimator: Any
) -> None:
    splits = _thresholds(estimator)
    home = _homes(1, seed=12, missing=False, columns=estimator.n_features_in_)[0]
    rows = []
    for column, threshold in splits:
        near = np.float32(threshold)
        up, down = np.float32(np.inf), np.float32(-np.inf)
        for value in (
            threshold,
            np.nextafter(threshold, np.inf),
            np.nextafter(threshold, -np.inf),
            near,
            np.nextafter(near, up),
            np.nextafter(near, down),
            (float(near) + float(np.nextafter(near, up))) / 2,  # as far from one float32 as from the next
        ):
            row = home.copy()
            row[column] = value
            rows.append(row)
    if not rows:  # single leaves have no threshold
        rows = [home]
    batch = np.array(rows)

    _assert_same_bits(_predict(_kernel_forest(kernel, estimator), batch), _scikit_learn(estimator, batch))


def test_a_missing_value_goes_where_scikit_learn_sends_it_in_every_column(kernel: ModuleType, estimator: Any) -> None:
    columns = estimator.n_features_in_
    homes = _homes(20, seed=13, missing=False, columns=columns)
    one_missing = np.repeat(homes, columns, axis=0)
    one_missing[np.arange(len(one_missing)), np.tile(np.arange(columns), len(homes))] = np.nan
    r = np.random.default_rng(14)
    some_missing = np.where(r.random((200, columns)) < 0.4, np.nan, np.repeat(homes, 10, axis=0))
    rows = np.vstack([one_missing, some_missing, np.full((1, columns), np.nan)])

    _assert_same_bits(_predict(_kernel_forest(kernel, estimator), rows), _scikit_learn(estimator, rows))


@pytest.mark.parametrize(
    "value", [np.inf, -np.inf, 0.0, -0.0, 1e39, -1e39, 3.4028235677973366e38, 1e-46, -1e-46, 5e-324]
)
def test_a_value_at_the_edge_of_the_numbers_goes_where_scikit_learn_sends_it(
    kernel: ModuleType, estimator: Any, value: float
) -> None:
    columns = estimator.n_features_in_
    homes = _homes(3, seed=15, missing=False, columns=columns)
    rows = np.repeat(homes, columns, axis=0)
    rows[np.arange(len(rows)), np.tile(np.arange(columns), len(homes))] = value
    rows = np.vstack([rows, np.full((1, columns), value)])

    _assert_same_bits(_predict(_kernel_forest(kernel, estimator), rows), _scikit_learn(estimator, rows))


def test_a_row_has_the_same_price_alone_and_in_any_batch(kernel: ModuleType) -> None:
    estimator = _estimator("forest with gaps")
    forest = _kernel_forest(kernel, estimator)
    rows = _homes(70, seed=16, missing=True)
    alone = np.concatenate([_predict(forest, row[None]) for row in rows])

    for n in (0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 70):
        _assert_same_bits(_predict(forest, rows[:n]), alone[:n])
    many = np.tile(rows, (80, 1))
    _assert_same_bits(_predict(forest, many), np.tile(alone, 80))


def test_the_spread_is_the_standard_deviation_over_the_trees(kernel: ModuleType, estimator: Any) -> None:
    if isinstance(estimator, HistGradientBoostingRegressor):
        pytest.skip("boosted trees correct one another; their spread says nothing")
    rows = _homes(40, seed=17, missing=False, columns=estimator.n_features_in_)
    by_tree = [tree.tree_.predict(rows.astype(np.float32))[:, 0] for tree in estimator.estimators_]

    means, spreads = _kernel_forest(kernel, estimator).predict_spread(array("d", rows.tobytes()), len(rows))

    _assert_same_bits(np.array(means), _scikit_learn(estimator, rows))
    np.testing.assert_allclose(np.array(spreads), np.std(by_tree, axis=0), rtol=1e-9, atol=1e-12)


def test_both_builds_give_the_same_bits(plain_kernel: ModuleType, compiled_kernel: ModuleType, estimator: Any) -> None:
    rows = _homes(100, seed=18, missing=True, columns=estimator.n_features_in_)
    numbers = array("d", rows.tobytes())

    plain = _kernel_forest(plain_kernel, estimator).predict_spread(numbers, len(rows))
    compiled = _kernel_forest(compiled_kernel, estimator).predict_spread(numbers, len(rows))

    assert plain == compiled


def test_a_batch_that_is_not_whole_rows_is_refused(kernel: ModuleType) -> None:
    forest = _kernel_forest(kernel, _estimator("stumps"))

    with pytest.raises(ValueError, match="2 rows of 15 columns"):
        forest.predict(array("d", [0.0] * 29), 2)
