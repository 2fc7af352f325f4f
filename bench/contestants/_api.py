"""The application of the contestants that serve the same forest in another way: the tutorial's answer, no more."""

from collections.abc import Callable
from time import time
from typing import Any

import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray

from app.artifact import Artifact
from app.features import HEDONIC, WIDTH, matrix
from app.surface import PriceSurface
from bench.contestants.constant import Formulario, Lote

Predict = Callable[[NDArray[np.float64]], NDArray[np.floating[Any]]]


def surface(saved: dict[str, Any]) -> PriceSurface:
    """The price surface, which makes rows of homes, from what was saved beside the forest."""
    tensors = {
        name: memoryview(data).cast("B").cast(kind, shape) for name, (kind, shape, data) in saved["tensors"].items()
    }
    return PriceSurface.read(Artifact(saved["metadata"], tensors))


def create_app(forest: Callable[[], tuple[PriceSurface, Predict]]) -> FastAPI:
    """An application that asks for the forest on every request."""
    app = FastAPI()

    def prices(viviendas: list[Formulario]) -> list[float]:
        surface, predict = forest()
        rows = np.frombuffer(matrix([_home(vivienda) for vivienda in viviendas], surface)).reshape(-1, WIDTH)
        return [float(price) for price in np.exp(rows[:, HEDONIC] + predict(rows))]

    @app.post("/predecir")
    async def predecir(vivienda: Formulario) -> dict[str, float]:
        return {"precio": prices([vivienda])[0], "timestamp": time()}

    @app.post("/predecir/lote")
    async def predecir_lote(lote: Lote) -> dict[str, object]:
        return {"predicciones": [{"precio": precio} for precio in prices(lote.viviendas)], "timestamp": time()}

    return app


def _home(
    v: Formulario,
) -> tuple[float, float, float, int, int, bool, float | None, float | None, bool, bool, str | None]:
    return (
        v.latitud,
        v.longitud,
        v.surface,
        v.baños,
        v.habitaciones,
        v.jardin,
        v.antiguedad,
        v.superficie_util,
        v.ascensor,
        v.garaje,
        v.condicion,
    )
