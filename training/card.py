"""The model card: what the model is, how wrong it is and for whom, with pictures. Made at every `fit --card`."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from sklearn.ensemble import RandomForestRegressor

from app.features import FIELDS, Home
from app.model import Model
from app.surface import KM_EAST, KM_NORTH
from training.data import Listings
from training.evaluate import FOLDS, OutOfFold, intervals
from training.fit import Floats
from training.recipe import Trained

LEAST_IN_A_PLOT = 40
"""Listings of a municipality that gets a bar of its own."""
MAP_STEPS = 140
_ENGLISH = {
    "todas": "all listings",
    "completas": "every field known",
    "incompletas": "some field unknown",
    "fuera de la capital": "outside the capital",
}


def write_card(folder: Path, listings: Listings, trained: Trained, about: str) -> None:
    """Write `model-card.md` and its pictures (`img/model-*.png`) into a folder; `about` tells of the data."""
    predicted = trained.predicted
    model = Model.load(trained.data)
    pictures = {
        "predicted": _predicted_against_asked(listings, predicted),
        "districts": _error_by_municipality(listings, predicted),
        "coverage": _coverage(trained.evaluation),
        "map": _price_map(model),
    }
    (folder / "img").mkdir(parents=True, exist_ok=True)
    for name, figure in pictures.items():
        figure.savefig(folder / "img" / f"model-{name}.png", dpi=100, metadata={"Software": None})
        plt.close(figure)
    (folder / "model-card.md").write_text(_text(listings, predicted, trained, model, about), encoding="utf-8")


def _text(listings: Listings, predicted: OutOfFold, trained: Trained, model: Model, about: str) -> str:
    figures, data = trained.evaluation, model.metadata["data"]
    everything, complete = figures["todas"], figures["completas"]
    tutorial = _tutorial_recipe(listings, predicted)
    gain = {name: 1 - complete[name] / tutorial[name] for name in ("mae", "medape")}
    by_place = _bias_by_price_level(listings, predicted)
    worst = sorted((f for f in figures.items() if f[0].startswith("tipo ")), key=lambda item: -item[1]["medape"])[:3]
    return f"""# Model card

Made by `python -m training fit --card` on {date.today().isoformat()}; not edited by hand.

| | |
|---|---|
| version | `{trained.version}`, {len(trained.data) / 1e6:.1f} MB |
| estimator | {model.metadata["estimator"]}, {model.card()["arboles"]} trees, on the log price less a hedonic score |
| verified | the served kernel gave scikit-learn's own float64s for {model.metadata["verified"]["rows"]:,} rows |
| made with | {", ".join(f"{name} {version}" for name, version in model.metadata["versions"].items())} |

## What the number is, and isn't

The **asking price**, in euro of {data["año"]}, that a home like this would have been advertised at in the Comunidad
de Madrid. It is no valuation and no sale price: homes sell for less than is asked, by an amount that this data can't
tell. Prices have moved since {data["año"]}. Don't use it to grant credit, to tax or to value a collateral.

## Data

{len(listings):,} listings; source: {data["fuente"] or "not stated"}.

{about}

## How wrong it is

{FOLDS}-fold cross-validation by cell of about 100 m, never by random rows: homes of one building are never on both
sides. The price surface and the interval are fitted inside the folds too.

{_table(figures)}

Median error is the one that half of the homes stay below, relative to the price asked. Coverage is the share of
asked prices inside the 90 % interval, width its median width relative to the estimate; each fold's interval was
calibrated on the other folds.

![Predicted against asked](img/model-predicted.png)

![Coverage of the interval](img/model-coverage.png)

Against the tutorial's recipe (RandomForestRegressor with its defaults, raw price, complete rows only, the eleven
fields) on the same {complete["n"]:,} complete rows and folds: MAE {tutorial["mae"] / 1e3:.1f} k€ there,
{complete["mae"] / 1e3:.1f} k€ here ({gain["mae"]:.0%} less); median error {tutorial["medape"]:.1%} there,
{complete["medape"]:.1%} here ({gain["medape"]:.0%} less).

## Where it is worst

{_sentence((f"{name.removeprefix('tipo ')} ({f['medape']:.0%} median error, n={f['n']})" for name, f in worst))}
are the hardest kinds; the kind is no input of the service, so it can't warn by it. Among prices, the dearest fifth
has the largest errors: MAE {figures["quintil de precio 5"]["mae"] / 1e3:.0f} k€. R² over all rows is
{everything["r2"]:.2f}, but within a fifth of the prices the model explains far less than that: an overall R² mostly
says that flats cost less than mansions. Fifths are cut by the asked price, which the model doesn't know, so the
cheapest fifth is overpriced on average and the dearest underpriced, as any unbiased estimate would be.

![Error by municipality](img/model-districts.png)

## Fairness by the price level of the area

Areas in fifths of the surface's price level around the listing (its own cell left out). Bias is the median of
predicted over asked, less one: above zero the model asks too much.

{by_place}

## The surface

€/m² for the median home, moved over the region; blank where there is nothing to learn from, and where an answer
carries a warning.

![What the model thinks of places](img/model-map.png)

## Keeping it honest

docs/monitoring.md says how drift shows and how to re-evaluate on fresh listings. A model is replaced when a
candidate passes the gate of `python -m training publish --validate`.
"""


def _table(figures: dict[str, dict[str, Any]]) -> str:
    rows = [
        "| segment | n | MAE | median error | within 10 % | within 20 % | coverage | width |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    rows += [
        f"| {_in_english(name)} | {f['n']:,} | {f['mae'] / 1e3:.1f} k€ | {f['medape']:.1%} | "
        f"{f['dentro_10']:.0%} | {f['dentro_20']:.0%} | {f['cobertura']:.1%} | {f['ancho_mediano']:.2f} |"
        for name, f in figures.items()
    ]
    return "\n".join(rows)


def _in_english(segment: str) -> str:
    return _ENGLISH.get(segment, segment.replace("quintil de precio", "price fifth").replace("tipo ", ""))


def _sentence(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _tutorial_recipe(listings: Listings, predicted: OutOfFold) -> dict[str, float]:
    """Error of the tutorial's recipe on the complete rows, with the folds of the model itself."""
    rows = np.flatnonzero(predicted.unknown == 0)
    conditions = sorted({str(listings.homes[i][-1]) for i in rows})
    table = np.array(
        [[*map(float, listings.homes[i][:-1]), conditions.index(str(listings.homes[i][-1]))] for i in rows]  # type: ignore[arg-type]  # complete rows
    )
    prices, fold, guess = listings.prices[rows], predicted.fold[rows], np.empty(len(rows))
    for k in range(FOLDS):
        forest = RandomForestRegressor(random_state=0, n_jobs=2).fit(table[fold != k], prices[fold != k])
        guess[fold == k] = forest.predict(table[fold == k])
    errors = np.abs(guess - prices)
    return {"mae": float(errors.mean()), "medape": float(np.median(errors / prices))}


def _bias_by_price_level(listings: Listings, predicted: OutOfFold) -> str:
    guess = np.exp(predicted.mean)
    level = np.searchsorted(np.quantile(predicted.level, [0.2, 0.4, 0.6, 0.8]), predicted.level)
    low, high = intervals(listings, predicted)
    rows = [
        "| price level of the area | n | median asked | bias | median error | coverage |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for k, name in enumerate(("lowest fifth", "second", "third", "fourth", "highest fifth")):
        here = level == k
        price = listings.prices[here]
        covered = (low[here] <= price) & (price <= high[here])
        rows.append(
            f"| {name} | {here.sum():,} | {np.median(price) / 1e3:,.0f} k€ | "
            f"{np.median(guess[here] / price) - 1:+.1%} | "
            f"{np.median(np.abs(guess[here] / price - 1)):.1%} | {covered.mean():.1%} |"
        )
    return "\n".join(rows)


def _predicted_against_asked(listings: Listings, predicted: OutOfFold) -> Figure:
    figure, axes = plt.subplots(figsize=(6.4, 5.4), layout="constrained")
    asked, guess = listings.prices / 1e3, np.exp(predicted.mean) / 1e3
    cloud = axes.hexbin(asked, guess, xscale="log", yscale="log", gridsize=60, mincnt=1, norm=LogNorm(), cmap="viridis")
    ends = [asked.min(), asked.max()]
    axes.plot(ends, ends, color="crimson", linewidth=1, label="equal")
    axes.set(xlabel="asked, k€", ylabel="predicted out of fold, k€", title="Predicted against asked")
    axes.legend(loc="upper left")
    figure.colorbar(cloud, label="listings")
    return figure


def _error_by_municipality(listings: Listings, predicted: OutOfFold) -> Figure:
    errors: Floats = np.abs(np.exp(predicted.mean) / listings.prices - 1)
    towns = listings.extra.get("municipio")
    groups = {} if towns is None else {str(name): errors[(towns == name).to_numpy()] for name in towns.unique()}
    shown = sorted(((np.median(e), name, len(e)) for name, e in groups.items() if len(e) >= LEAST_IN_A_PLOT))
    figure, axes = plt.subplots(figsize=(6.4, max(2.0, 0.2 * len(shown))), layout="constrained")
    axes.barh([f"{name} ({n})" for _, name, n in shown], [100 * error for error, _, _ in shown], color="steelblue")
    axes.axvline(100 * float(np.median(errors)), color="crimson", linewidth=1, label="all")
    axes.set(xlabel="median error, %", title=f"Error by municipality, {LEAST_IN_A_PLOT} listings or more")
    axes.tick_params(axis="y", labelsize=7)
    axes.legend(loc="lower right")
    return figure


def _coverage(figures: dict[str, dict[str, Any]]) -> Figure:
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    shown = {name: f for name, f in figures.items() if f["n"] >= LEAST_IN_A_PLOT}
    half = [1.96 * (f["cobertura"] * (1 - f["cobertura"]) / f["n"]) ** 0.5 for f in shown.values()]
    places = np.arange(len(shown))[::-1]
    axes.errorbar([f["cobertura"] for f in shown.values()], places, xerr=half, fmt="o", color="steelblue", capsize=3)
    axes.axvline(0.9, color="crimson", linewidth=1, label="promised")
    axes.set_yticks(places, [_in_english(name) for name in shown], fontsize=8)
    axes.set(xlabel="share of asked prices inside the 90 % interval", title="Coverage, with 95 % error bars")
    axes.legend(loc="lower left")
    return figure


def _price_map(model: Model) -> Figure:
    reference = dict(zip(FIELDS, model.reference, strict=True))
    (south, north), (west, east) = (model.metadata["ranges"][name] for name in ("latitud", "longitud"))
    latitudes, longitudes = np.linspace(south, north, MAP_STEPS), np.linspace(west, east, MAP_STEPS)
    homes: list[Home] = [(lat, lon, *model.reference[2:]) for lat in latitudes.tolist() for lon in longitudes.tolist()]
    estimates = model.price(homes)
    value = np.array([e["precio"] / float(reference["surface"] or 1) for e in estimates])
    value[[any(caution["campo"] == "latitud" for caution in e["avisos"]) for e in estimates]] = np.nan
    figure, axes = plt.subplots(figsize=(6.4, 6.0), layout="constrained")
    shade = axes.pcolormesh(longitudes, latitudes, value.reshape(MAP_STEPS, MAP_STEPS), norm=LogNorm(), cmap="magma")
    axes.set_aspect(KM_NORTH / KM_EAST)
    axes.set(xlabel="longitude", ylabel="latitude", title="€/m² of the median home, by place")
    bar = figure.colorbar(shade, label="€/m²", format=mpl.ticker.ScalarFormatter())
    bar.ax.yaxis.set_minor_formatter(mpl.ticker.ScalarFormatter())
    return figure
