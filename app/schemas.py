"""The bodies of the contract: what may be sent, what comes back, and the words for what may not.

Wire names and texts are Spanish, as the tutorial's are. Values are strict: `"120"` is no area and `true` no
number of bathrooms, because a guess here would quietly change a price.
"""

from enum import StrEnum
from operator import itemgetter
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from app.features import FIELDS, Home

MAX_HOMES = 1_000
"""Homes in one request: what a few hundred milliseconds and a Lambda payload of 6 MB carry with ease."""


_fields = itemgetter(*FIELDS)


class _Whole:
    """Accept 3.0 for 3: it is an integer in JSON Schema, and what spreadsheets and pandas write.

    Put together from pydantic's own parts, because a validator in Python would take as long as all other fields.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        whole_float = core_schema.chain_schema([core_schema.float_schema(), core_schema.int_schema(strict=False)])
        either = core_schema.union_schema(
            [core_schema.int_schema(), whole_float], mode="left_to_right", custom_error_type="int_type"
        )
        return core_schema.chain_schema([either, handler(source)])

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema["steps"][-1])


class Condicion(StrEnum):
    """State of repair."""

    A_REFORMAR = "A reformar"
    REFORMADO = "Reformado"
    A_ESTRENAR = "A estrenar"
    EN_BUEN_ESTADO = "En buen estado"


# Upper limits are there to catch slips (a price in the area's place); what a model knows is far narrower and
# is answered with an `aviso`.
Metros = Annotated[float, Field(gt=0, le=1_000_000)]
Cuenta = Annotated[int, Field(ge=0, le=1_000), _Whole()]


class Formulario(BaseModel):
    """Una vivienda, con los campos en el orden en que el modelo los aprendió."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {
                    "latitud": 40.4237,
                    "longitud": -3.6712,
                    "surface": 96,
                    "baños": 2,
                    "habitaciones": 3,
                    "jardin": False,
                    "antiguedad": 30,
                    "superficie_util": 84,
                    "ascensor": True,
                    "garaje": False,
                    "condicion": "En buen estado",
                }
            ]
        },
    )

    latitud: float = Field(ge=-90, le=90, description="Latitud en grados (WGS 84).")
    longitud: float = Field(ge=-180, le=180, description="Longitud en grados (WGS 84); en Madrid es negativa.")
    surface: Metros = Field(description="Superficie construida, en m².")
    baños: Cuenta = Field(
        description="Número de baños. También se acepta `banos`.",
        validation_alias=AliasChoices("baños", "banos", "ban\u0303os"),
    )
    habitaciones: Cuenta = Field(description="Número de dormitorios; un estudio cuenta como 1.")
    jardin: bool = Field(description="¿Tiene jardín?")
    antiguedad: float | None = Field(
        None, ge=0, le=3_000, description="Años desde la construcción. `null` si no se sabe."
    )
    superficie_util: Metros | None = Field(None, description="Superficie útil, en m². `null` si no se sabe.")
    ascensor: bool = Field(description="¿Tiene ascensor?")
    garaje: bool = Field(description="¿Tiene garaje?")
    condicion: Condicion | None = Field(None, strict=False, description="Estado de conservación. `null` si no se sabe.")

    def home(self) -> Home:
        """The eleven fields as the tuple that `app.features` reads."""
        home: Home = _fields(vars(self))  # a fifth of the time of naming them one by one
        return home


class FormularioConPrecio(Formulario):
    """Una vivienda y lo que se pide por ella."""

    # from 1: a share of a price of 1e-300 isn't finite
    precio: float = Field(ge=1, le=1e12, description="Precio real, en euros.")


def _answered_413(schema: dict[str, Any]) -> None:
    """Leave the upper limit to the description: too many homes are too large (413), not invalid (422)."""
    del schema["maxItems"]


class Lote(BaseModel):
    """Varias viviendas en una petición."""

    model_config = ConfigDict(extra="forbid")
    viviendas: list[Formulario] = Field(
        min_length=1, max_length=MAX_HOMES, description="De 1 a 1.000 viviendas.", json_schema_extra=_answered_413
    )


class LoteConPrecio(BaseModel):
    """Varias viviendas con su precio real, para medir el modelo."""

    model_config = ConfigDict(extra="forbid")
    viviendas: list[FormularioConPrecio] = Field(
        min_length=1,
        max_length=MAX_HOMES,
        description="De 1 a 1.000 viviendas con su precio.",
        json_schema_extra=_answered_413,
    )


class _Answer(BaseModel):
    """What comes back. Nothing is validated with it, so it is built when the documentation asks for it."""

    model_config = ConfigDict(defer_build=True)


class Intervalo(_Answer):
    """Entre qué precios cae una vivienda así con la confianza dada."""

    inferior: float = Field(description="Extremo inferior, en euros.")
    superior: float = Field(description="Extremo superior, en euros.")
    confianza: float = Field(description="Parte de las viviendas cuyo precio cae dentro, p. ej. 0,9.")


class Aviso(_Answer):
    """Algo que el modelo no ha visto o que no encaja, y lo que significa para el precio."""

    campo: str = Field(description="Campo de la vivienda al que se refiere.")
    mensaje: str = Field(description="Qué pasa y qué significa para el precio.")


class PrediccionDeLote(_Answer):
    """El precio de una de las viviendas de un lote."""

    precio: float = Field(description="Precio de oferta estimado (2023), en euros.")
    intervalo: Intervalo | None = Field(description="Intervalo calibrado; `null` si el modelo no trae calibración.")
    avisos: list[Aviso] = Field(description="Vacío cuando no hay nada raro.")


class Prediccion(PrediccionDeLote):
    """El precio de una vivienda."""

    timestamp: float = Field(description="Momento de la respuesta, en segundos desde 1970.")
    modelo: str = Field(description="Versión del modelo que ha puesto el precio.")


class Predicciones(_Answer):
    """Los precios de un lote, en el orden en que llegaron las viviendas."""

    predicciones: list[PrediccionDeLote]
    modelo: str = Field(description="Versión del modelo que ha puesto todos los precios.")
    timestamp: float = Field(description="Momento de la respuesta, en segundos desde 1970.")


class Cifras(_Answer):
    """Cómo de lejos quedan los precios del modelo de los reales. Los errores en euros; lo demás, en tanto por uno."""

    n: int = Field(description="Número de viviendas.")
    mae: float = Field(description="Error absoluto medio, en euros.")
    rmse: float = Field(description="Raíz del error cuadrático medio, en euros.")
    r2: float | None = Field(description="Coeficiente de determinación; `null` si todos los precios son iguales.")
    mape: float = Field(description="Error relativo medio.")
    medape: float = Field(description="Error relativo mediano.")
    dentro_10: float = Field(description="Parte de las viviendas con error de un 10 % o menos.")
    dentro_20: float = Field(description="Parte de las viviendas con error de un 20 % o menos.")
    cobertura: float | None = Field(description="Parte de los precios reales dentro del intervalo.")


class Evaluacion(Cifras):
    """Las cifras de todas las viviendas y las de cada parte que haya."""

    segmentos: dict[str, Cifras] = Field(
        description="Las mismas cifras por partes: completas o no, con avisos o sin ellos, y por quintil de precio "
        "de los datos de entrenamiento."
    )
    modelo: str = Field(description="Versión del modelo evaluado.")


class Referencia(_Answer):
    """La vivienda con la que se compara."""

    precio: float = Field(description="Su precio estimado, en euros.")
    vivienda: dict[str, Any] = Field(description="Sus campos.")


class Explicacion(_Answer):
    """Por qué una vivienda no cuesta lo que la de referencia."""

    precio: float = Field(description="Precio estimado de la vivienda, en euros.")
    referencia: Referencia
    contribuciones: dict[str, float] = Field(
        description="Lo que aporta cada campo, en euros (valor de Shapley). Suman la diferencia entre los dos precios."
    )
    modelo: str = Field(description="Versión del modelo que ha puesto los precios.")


class Saludo(_Answer):
    """El saludo del tutorial."""

    Hola: str


class Salud(_Answer):
    """Qué se está sirviendo."""

    estado: str = Field(description="`ok` cuando hay un modelo cargado.")
    modelo: str = Field(description="Versión del modelo.")
    origen: str = Field(description="De dónde salió: `s3`, `cache` o `embedded` (la copia de la imagen).")


class FichaDelModelo(_Answer):
    """El modelo servido y lo que se sabe de él."""

    version: str
    origen: str = Field(description="`s3`, `cache` o `embedded`.")
    nucleo: str = Field(description="`compilado` o `python`: cómo se recorren los árboles.")
    arboles: int
    entrenamiento: dict[str, Any] = Field(description="Cifras de la validación cruzada por celdas.")
    rangos: dict[str, list[float]] = Field(description="Rango de cada campo en los datos de entrenamiento.")
    datos: dict[str, Any] = Field(description="De qué datos se aprendió, de qué año y qué es el precio.")
    versiones: dict[str, str] = Field(description="Bibliotecas con las que se entrenó.")


DETAIL = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
"""JSON Schema of an error that fits in a sentence. (As a model, each of its uses would cost 0.4 ms of a cold start.)"""

_FIELD_ERROR = {
    "type": "object",
    "properties": {
        "loc": {
            "type": "array",
            "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "description": "Dónde está: `body`, el campo y, en un lote, el índice de la vivienda.",
        },
        "msg": {"type": "string", "description": "Qué hay que corregir. Nunca repite lo recibido."},
        "type": {"type": "string", "description": "El tipo de error, para programas."},
    },
    "required": ["loc", "msg", "type"],
}
FIELD_ERRORS = {
    "type": "object",
    "properties": {"detail": {"type": "array", "items": _FIELD_ERROR}},
    "required": ["detail"],
}
"""JSON Schema of the errors of a request, field by field."""


MAX_NAME = 100
"""Characters of a field's name in an error."""

_MESSAGES = {
    "missing": "Falta, y es obligatorio.",
    "extra_forbidden": "Este campo no existe. Revisa cómo está escrito: un campo desconocido no se ignora.",
    "float_type": "Tiene que ser un número, sin comillas.",
    "int_type": "Tiene que ser un número entero, sin decimales ni comillas.",
    "bool_type": "Tiene que ser true o false, sin comillas.",
    "finite_number": "Tiene que ser un número finito: NaN e infinito no valen.",
    "greater_than": "Tiene que ser mayor que {gt:g}.",
    "greater_than_equal": "Tiene que ser {ge:g} o más.",
    "less_than_equal": "Tiene que ser {le:g} o menos.",
    "enum": "Tiene que ser uno de estos valores: {expected}.",
    "model_attributes_type": "Tiene que ser un objeto JSON con los campos de la petición.",
    "model_type": "Tiene que ser un objeto JSON con los campos de la petición.",
    "list_type": "Tiene que ser una lista.",
    "too_short": "La lista está vacía: hace falta al menos una vivienda.",
    "too_long": "Hay más de {max_length} viviendas: repártelas en varias peticiones.",
    "json_invalid": "No es JSON válido en UTF-8: {error}.",
    "string_unicode": "El texto no es UTF-8 válido.",
}


def mend(error: dict[str, Any]) -> dict[str, Any]:
    """One pydantic error as the contract shows it: where, what to mend, its type; never the value received."""
    template = _MESSAGES.get(error["type"])
    message = template.format_map(error.get("ctx", {})).replace(" or ", " o ") if template else error["msg"]
    # a name that isn't one of ours may be as long as the whole body
    place = [part[:MAX_NAME] if isinstance(part, str) else part for part in error["loc"]]
    return {"loc": place, "msg": message, "type": error["type"]}
