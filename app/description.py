"""What a model file says of itself, as it has to be for every request to be answered: types, lengths, finite numbers.

Declared rather than programmed, and for pydantic-core directly: classes would cost a cold start milliseconds.
"""

from typing import Any

from pydantic_core import SchemaValidator, ValidationError
from pydantic_core import core_schema as cs

from app.cautions import RATIOS
from app.errors import ArtifactError
from app.features import CONDITIONS, NAMES, OPTIONAL, TERMS
from app.surface import BANDWIDTHS_KM, CHANNELS

FIFTHS = 4
"""Bounds between fifths."""


def _number(ge: float | None = None, le: float | None = None, gt: float | None = None) -> cs.CoreSchema:
    return cs.float_schema(strict=True, allow_inf_nan=False, ge=ge, le=le, gt=gt)


def _list(items: cs.CoreSchema, length: int) -> cs.CoreSchema:
    return cs.list_schema(items, min_length=length, max_length=length, strict=True, fail_fast=True)


def _object(given: dict[str, cs.CoreSchema], optional: dict[str, cs.CoreSchema] | None = None) -> cs.CoreSchema:
    fields = {name: cs.typed_dict_field(schema) for name, schema in given.items()}
    fields |= {name: cs.typed_dict_field(schema, required=False) for name, schema in (optional or {}).items()}
    return cs.typed_dict_schema(fields, strict=True, extra_behavior="allow", extras_schema=_ANYTHING)


_TEXT = cs.str_schema(strict=True)
_YES_OR_NO = cs.bool_schema(strict=True)
_ANYTHING = cs.definition_reference_schema("anything")
_DEFINITION = cs.nullable_schema(
    cs.union_schema(
        [
            _TEXT,
            _YES_OR_NO,
            cs.int_schema(strict=True),
            _number(),
            cs.list_schema(_ANYTHING, strict=True, fail_fast=True),
            cs.dict_schema(_TEXT, _ANYTHING, strict=True, fail_fast=True),
        ],
        custom_error_type="finite_json",
        custom_error_message="Input should be JSON of finite numbers",
    ),
    ref="anything",
)
"""What JSON can say. Python's parser lets 1e999 be infinite, which no answer could say."""

_RANGE = _list(_number(), 2)
_HOME = _object(
    {
        "latitud": _number(ge=-90, le=90),
        "longitud": _number(ge=-180, le=180),
        "surface": _number(gt=0),
        "baños": _number(ge=0),
        "habitaciones": _number(ge=0),
        "jardin": _YES_OR_NO,
        "antiguedad": cs.nullable_schema(_number(ge=0)),
        "superficie_util": cs.nullable_schema(_number(gt=0)),
        "ascensor": _YES_OR_NO,
        "garaje": _YES_OR_NO,
        "condicion": cs.nullable_schema(cs.literal_schema(list(CONDITIONS))),
    }
)
_GRID = {
    "spacing": _number(gt=0),
    "west": _number(),
    "south": _number(),
    "columns": cs.int_schema(strict=True, ge=1),
    "rows": cs.int_schema(strict=True, ge=1),
    "low": _list(_number(), len(CHANNELS)),
    "step": _list(_number(), len(CHANNELS)),
}
_DESCRIPTION = SchemaValidator(
    cs.definitions_schema(
        _object(
            {
                "ensembles": cs.list_schema(
                    _object({"name": _TEXT, "base": _number(), "divisor": _number()}),
                    min_length=1,
                    strict=True,
                    fail_fast=True,
                ),
                "surface": _object(
                    {
                        "grids": _list(
                            cs.typed_dict_schema({name: cs.typed_dict_field(part) for name, part in _GRID.items()}),
                            len(BANDWIDTHS_KM),
                        ),
                        "means": _list(_number(), len(CHANNELS) - 1),
                        "coefficients": _list(_number(), len(TERMS)),
                    }
                ),
                "ranges": cs.typed_dict_schema(
                    {
                        "latitud": cs.typed_dict_field(_list(_number(ge=-90, le=90), 2)),
                        "longitud": cs.typed_dict_field(_list(_number(ge=-180, le=180), 2)),
                        **{
                            name: cs.typed_dict_field(_RANGE, required=False)
                            for name in ("surface", "baños", "habitaciones", "antiguedad", "superficie_util")
                        },
                    },
                    strict=True,
                    extra_behavior="forbid",
                ),
                "ratios": _object({}, dict.fromkeys(RATIOS, _RANGE)),
                "bands": _object({"surface": _list(_number(), FIFTHS), "precio": _list(_number(), FIFTHS)}),
                "coverage": _object({"column": cs.literal_schema(list(NAMES)), "least": _number()}),
                "usual_spread": _number(),
                "reference": _HOME,
                "evaluation": cs.dict_schema(_TEXT, _ANYTHING, strict=True, fail_fast=True),
                "data": cs.dict_schema(_TEXT, _ANYTHING, strict=True, fail_fast=True),
                "versions": cs.dict_schema(_TEXT, _TEXT, strict=True, fail_fast=True),
                "golden": cs.list_schema(
                    _object({"vivienda": _HOME, "precio": _number()}), strict=True, fail_fast=True
                ),
            },
            {
                "interval": cs.nullable_schema(
                    _object(
                        {
                            "confianza": _number(gt=0, le=1),
                            "factors": _list(_number(ge=0), len(OPTIONAL) + 1),
                            "floor": _number(ge=0),
                        }
                    )
                )
            },
        ),
        [_DEFINITION],
    )
)


def check(metadata: dict[str, Any]) -> None:
    """Raise ArtifactError unless this describes a model of which every part can be asked for and written as JSON."""
    try:
        _DESCRIPTION.validate_python(metadata)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ArtifactError(f"The model's description is incomplete or damaged: {where}: {first['msg']}.") from error
