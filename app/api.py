"""The HTTP side of the contract: routes, their documentation and their errors.

Routes only translate: what a price is, the model knows; where a model comes from, its source knows.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from time import time
from typing import Any, Protocol

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from pydantic_core import from_json, to_json
from starlette.types import Lifespan

from app.accuracy import accuracy
from app.errors import ModelUnavailable
from app.estimate import Estimate
from app.features import FIELDS
from app.middleware import Surroundings
from app.model import Model
from app.pages import add_pages
from app.schemas import (
    DETAIL,
    FIELD_ERRORS,
    Evaluacion,
    Explicacion,
    FichaDelModelo,
    Formulario,
    Lote,
    LoteConPrecio,
    Prediccion,
    Predicciones,
    Salud,
    Saludo,
    mend,
)

MAX_BODY_BYTES = 6 * 1024 * 1024
"""What a Lambda function can be sent in one synchronous call."""
MAX_FIELDS = 20_000
"""In one body; 1,000 homes have 12,001. Six megabytes hold 600,000 unknown ones, and listing what is wrong with each
would take half a gigabyte."""
MAX_PROBLEMS = 100
"""Listed in one answer. Lambda lets no answer of more than 6 MB out, and 1,000 wrong homes come to more than one."""

_DESCRIPTION = """
Estima el **precio de oferta** (2023) de una vivienda en la Comunidad de Madrid, con un intervalo y con avisos
cuando la vivienda no se parece a las que el modelo conoce. No es una tasación ni un precio de venta.

`antiguedad`, `superficie_util` y `condicion` pueden ser `null` o faltar: el modelo aprendió lo que eso significa.
"""


class Served(Protocol):
    """A model and where it came from; both are read at once, so that one answer names one model."""

    @property
    def model(self) -> Model:
        """The model."""
        ...

    @property
    def origin(self) -> str:
        """`s3`, `cache` or `embedded`."""
        ...


class Source(Protocol):
    """Where the application gets the model of the moment."""

    @property
    def current(self) -> Served:
        """Raises ModelUnavailable when there is none."""
        ...


class _JSONRequest(Request):
    """Reads JSON with pydantic's parser: strict UTF-8, bounded depth, and faster than `json`."""

    async def stream(self) -> AsyncGenerator[bytes]:
        size = 0
        async for chunk in super().stream():
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise HTTPException(
                    413, f"El cuerpo pasa de {MAX_BODY_BYTES // 2**20} MB: repártelo en varias peticiones."
                )
            yield chunk

    async def json(self) -> Any:
        body = await self.body()
        if body.count(b":") > MAX_FIELDS:  # before anything is made of them
            raise HTTPException(413, f"El cuerpo tiene más de {MAX_FIELDS} campos, y en 1.000 viviendas caben 12.000.")
        try:
            return from_json(body)
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from error


class _JSONRoute(APIRoute):
    """A route that takes JSON and says so when it is sent anything else."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        # FastAPI types the return as a Coroutine; an async function is one.
        answer = super().get_route_handler()
        takes_body = self.body_field is not None

        async def handler(request: Request) -> Response:
            if takes_body:
                media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
                kind, _, form = media_type.partition("/")
                if kind != "application" or not (form == "json" or form.endswith("+json")):
                    raise HTTPException(415, "El cuerpo tiene que ser JSON: envía «Content-Type: application/json».")
                request = _JSONRequest(request.scope, request.receive)
            return await answer(request)

        return handler


_REFUSALS = {
    400: "El cuerpo no ha llegado entero.",
    404: "Esta ruta no existe: en /docs están todas.",
    405: "Esta ruta existe, pero no con este método: en /docs está cuál.",
}


def _header(description: str, of_type: str) -> dict[str, Any]:
    return {"description": description, "required": True, "schema": {"type": of_type}}


_REQUEST_ID = {"X-Request-Id": _header("Identifica la petición, para comunicar un fallo.", "string")}
_RETRY_AFTER = {"Retry-After": _header("Dentro de cuántos segundos volver a probar.", "integer")}


def _error(description: str, schema: dict[str, Any] = DETAIL, headers: dict[str, Any] = _REQUEST_ID) -> dict[str, Any]:
    return {"description": description, "headers": headers, "content": {"application/json": {"schema": schema}}}


_ANYWHERE: dict[int | str, dict[str, Any]] = {
    200: {"headers": _REQUEST_ID},
    400: _error("La petición llega rota: al cuerpo le falta un trozo o no es el base64 que dice ser."),
    500: _error("Algo ha fallado al responder; el registro dice qué, con la petición que nombra `detail`."),
}
_NO_MODEL: dict[int | str, dict[str, Any]] = {
    503: _error("No hay ningún modelo cargado; se vuelve a intentar solo.", headers=_REQUEST_ID | _RETRY_AFTER)
}
_BODY_ERRORS: dict[int | str, dict[str, Any]] = {
    413: _error(f"Más de 1.000 viviendas, más de 6 MB o más de {MAX_FIELDS} campos."),
    415: _error("El cuerpo no se anuncia como `application/json`."),
    422: _error("Algún campo está mal; dice cuál y qué hay que corregir.", FIELD_ERRORS),
    **_NO_MODEL,
}

# FastAPI has no way to say that a parameter is JSON; it would pass for any text.
_REFERENCE = {
    "name": "referencia",
    "in": "query",
    "description": "Otra vivienda con la que comparar, en JSON. Si falta, la vivienda mediana.",
    "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{Formulario.__name__}"}}},
}


def create_app(
    source: Source, cors_origins: tuple[str, ...] = (), lifespan: Lifespan[FastAPI] | None = None
) -> FastAPI:
    """The application around a source of models. Reads no environment; its only I/O is to find its own files."""
    app = FastAPI(
        title="Precio Madrid",
        summary="Cuánto pediría el mercado por una vivienda en Madrid.",
        description=_DESCRIPTION,
        version="1",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would lose the gateway's stage
        # Relative to openapi.json, so that «Try it out» works behind a stage and behind a custom domain.
        servers=[{"url": "."}],
        responses=_ANYWHERE,
        telemetry={"tracing": False, "metrics": False},
        lifespan=lifespan,
    )
    app.router.route_class = _JSONRoute
    app.add_middleware(Surroundings)
    if cors_origins:
        from app.origins import Origins  # noqa: PLC0415  # most functions serve one origin

        app.add_middleware(Origins, cors_origins)
    _add_errors(app)

    @app.get("/", response_model=Saludo, tags=["servicio"], summary="Saludo")
    async def hello() -> Response:
        """El saludo del tutorial."""
        return _json({"Hola": "Mundo"})

    @app.post(
        "/predecir",
        response_model=Prediccion,
        responses=_BODY_ERRORS,
        tags=["precios"],
        summary="Precio de una vivienda",
    )
    async def predict(request: Request, vivienda: Formulario) -> Response:
        """El precio estimado de una vivienda, con su intervalo y sus avisos."""
        model = source.current.model
        (estimate,) = _price(request, model, [vivienda])
        return _json({**estimate, "timestamp": time(), "modelo": model.version})

    @app.post(
        "/predecir/lote",
        response_model=Predicciones,
        responses=_BODY_ERRORS,
        tags=["precios"],
        summary="Precio de varias",
    )
    async def predict_many(request: Request, lote: Lote) -> Response:
        """De 1 a 1.000 viviendas; los precios vuelven en el mismo orden y los pone un único modelo."""
        model = source.current.model
        estimates = _price(request, model, lote.viviendas)
        return _json({"predicciones": estimates, "modelo": model.version, "timestamp": time()})

    @app.post(
        "/explicar",
        response_model=Explicacion,
        responses=_BODY_ERRORS,
        tags=["precios"],
        summary="Por qué ese precio",
        openapi_extra={"parameters": [_REFERENCE]},
    )
    async def explain(request: Request, vivienda: Formulario) -> Response:
        """Lo que aporta cada campo a la diferencia con una vivienda de referencia, en euros."""
        referencia = request.query_params.get("referencia")
        model = source.current.model
        other = model.reference if referencia is None else _compared(referencia).home()
        explanation = model.explain(vivienda.home(), other)
        return _json(
            {
                "precio": explanation.precio,
                "referencia": {"precio": explanation.referencia, "vivienda": dict(zip(FIELDS, other, strict=True))},
                "contribuciones": explanation.contribuciones,
                "modelo": model.version,
            }
        )

    @app.post(
        "/evaluar",
        response_model=Evaluacion,
        responses=_BODY_ERRORS,
        tags=["modelo"],
        summary="Error en viviendas propias",
    )
    async def evaluate(lote: LoteConPrecio) -> Response:
        """Compara los precios del modelo con precios reales. Euros para los errores, tanto por uno para lo demás."""
        model = source.current.model
        homes = [vivienda.home() for vivienda in lote.viviendas]
        real = [vivienda.precio for vivienda in lote.viviendas]
        estimates = model.price(homes)
        segments = {
            name: _figures([real[i] for i in rows], [estimates[i] for i in rows])
            for name, rows in model.segments(homes, real, estimates).items()
        }
        return _json(_figures(real, estimates) | {"segmentos": segments, "modelo": model.version})

    @app.get(
        "/modelo",
        response_model=FichaDelModelo,
        responses=_NO_MODEL,
        tags=["modelo"],
        summary="Ficha del modelo",
    )
    async def describe() -> Response:
        """Qué modelo se sirve, de dónde ha salido, con qué se entrenó y cuánto se equivoca."""
        model, origin = (served := source.current).model, served.origin
        return _json(model.card() | {"origen": origin})

    @app.get("/salud", response_model=Salud, responses=_NO_MODEL, tags=["servicio"], summary="Estado")
    async def health() -> Response:
        """200 cuando hay un modelo cargado."""
        served = source.current
        return _json({"estado": "ok", "modelo": served.model.version, "origen": served.origin})

    add_pages(app, lambda: source.current.model)  # last: routes are tried one by one, and prices come first
    return app


def _compared(text: str) -> Formulario:
    try:
        return Formulario.model_validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise RequestValidationError(
            [problem | {"loc": ("query", "referencia", *problem["loc"])} for problem in problems]
        ) from error


def _price(request: Request, model: Model, viviendas: list[Formulario]) -> list[Estimate]:
    homes = [vivienda.home() for vivienda in viviendas]
    estimates = model.price(homes)
    request.scope["tally"] = model.tally(homes, estimates)  # for the request's one record, see app.middleware
    return estimates


def _figures(real: list[float], estimates: list[Estimate]) -> dict[str, Any]:
    intervals = [(i["inferior"], i["superior"]) for e in estimates if (i := e["intervalo"])]
    return accuracy(real, [estimate["precio"] for estimate in estimates], intervals or None)._asdict()


def _json(content: dict[str, Any], status: int = 200) -> Response:
    # What goes out was made here, so validating it against its own schema again would be time for nothing;
    # tests hold every answer against the OpenAPI schema.
    return Response(to_json(content), status, media_type="application/json")


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        problems = error.errors()
        if any(problem["type"] == "too_long" for problem in problems):
            return _json({"detail": mend(problems[0])["msg"]}, 413)
        listed = list(map(mend, problems[:MAX_PROBLEMS]))
        if more := len(problems) - len(listed):
            source = listed[0]["loc"][0]
            listed.append({"loc": [source], "msg": f"Y {more} problemas más, que no se enumeran.", "type": "and_more"})
        return _json({"detail": listed}, 422)

    @app.exception_handler(HTTPException)
    @app.exception_handler(404)
    @app.exception_handler(405)
    async def refused(_: Request, error: HTTPException) -> Response:
        response = _json({"detail": _REFUSALS.get(error.status_code, error.detail)}, error.status_code)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(ModelUnavailable)
    async def unavailable(_: Request, error: ModelUnavailable) -> Response:
        response = _json({"detail": str(error)}, 503)
        response.headers["retry-after"] = "5"  # seconds; S3 is asked again every MODEL_RETRY_SECONDS
        return response
