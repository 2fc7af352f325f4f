"""FastAPI and Mangum with a constant answer: what everything else is compared to."""

from enum import StrEnum
from time import time

from fastapi import FastAPI
from mangum import Mangum
from pydantic import BaseModel, Field


class Condicion(StrEnum):
    A_REFORMAR = "A reformar"
    REFORMADO = "Reformado"
    A_ESTRENAR = "A estrenar"
    EN_BUEN_ESTADO = "En buen estado"


class Formulario(BaseModel):
    latitud: float = Field(ge=-90, le=90)
    longitud: float = Field(ge=-180, le=180)
    surface: float = Field(gt=0)
    baños: int = Field(ge=0)
    habitaciones: int = Field(ge=0)
    jardin: bool
    antiguedad: float | None = Field(None, ge=0)
    superficie_util: float | None = Field(None, gt=0)
    ascensor: bool
    garaje: bool
    condicion: Condicion | None = None


class Lote(BaseModel):
    viviendas: list[Formulario] = Field(min_length=1, max_length=1000)


class Intervalo(BaseModel):
    inferior: float
    superior: float
    confianza: float


class Aviso(BaseModel):
    campo: str
    mensaje: str


class PrediccionDeLote(BaseModel):
    precio: float
    intervalo: Intervalo | None
    avisos: list[Aviso]


class Prediccion(PrediccionDeLote):
    timestamp: float
    modelo: str


class Predicciones(BaseModel):
    predicciones: list[PrediccionDeLote]
    modelo: str
    timestamp: float


INTERVALO = Intervalo(inferior=200_000.25, superior=400_000.75, confianza=0.9)

app = FastAPI()


@app.post("/predecir")
async def predecir(vivienda: Formulario) -> Prediccion:
    return Prediccion(precio=300_000.5, intervalo=INTERVALO, avisos=[], timestamp=time(), modelo="constante")


@app.post("/predecir/lote")
async def predecir_lote(lote: Lote) -> Predicciones:
    predicciones = [PrediccionDeLote(precio=300_000.5, intervalo=INTERVALO, avisos=[]) for _ in lote.viviendas]
    return Predicciones(predicciones=predicciones, modelo="constante", timestamp=time())


handler = Mangum(app, lifespan="off")
