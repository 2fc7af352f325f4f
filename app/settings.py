"""What can be set from outside: a frozen, validated reading of environment variables.

The field `model_refresh_seconds` is the variable `MODEL_REFRESH_SECONDS`, and so on; an empty variable counts
as unset. Nothing is read before `from_environment` is called, in the composition root.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from app.errors import SettingsError

S3_URI = re.compile(r"s3://[A-Za-z0-9._-]{3,63}(/(?!\.{1,2}(/|$))[^/\x00-\x1f]+)*/?")

Words = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda text: text.replace(",", " ").split() if isinstance(text, str) else text),
]
UpperCase = BeforeValidator(lambda text: text.upper() if isinstance(text, str) else text)


class Settings(BaseModel):
    """Settings of one process. Seconds and mebibytes are in the names."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=str.upper,
        validate_by_name=True,
        validate_by_alias=True,
        protected_namespaces=(),
    )

    model_uri: str = ""
    """Where the pointer is, `s3://bucket/prefix`; empty serves the embedded model."""
    model_embedded: bool = True
    """Whether the copy shipped with the code may be served when S3 fails."""
    model_cache_dir: Path = Path("/tmp/precio-madrid")  # noqa: S108 - the one folder Lambda lets a function write to
    model_max_mebibytes: Annotated[int, Field(gt=0, le=2048)] = 128
    """A pointer to something larger is refused before a byte of it is read."""

    model_refresh_seconds: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """How old the knowledge of the pointer may get in a warm environment; 0 asks before every request."""
    model_retry_seconds: Annotated[float, Field(ge=0, le=3_600)] = 2.0
    """Pause between attempts while there is no model at all (only possible with `model_embedded` off)."""

    model_load_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 4.0
    """Everything a cold start may spend on S3; Lambda gives INIT 10 seconds."""
    model_refresh_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 1.5
    """Everything one refresh may spend on S3: a caller is waiting."""
    model_connect_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    model_read_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    """How long a connection may be silent before it is given up and tried again within the limits above."""

    aws_endpoint_url: str = Field(
        default="",
        validation_alias=AliasChoices("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "aws_endpoint_url"),
    )
    aws_region: str = Field(default="", validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION", "aws_region"))
    aws_profile: str = ""
    """A profile of `~/.aws`, for a developer's machine; it takes boto3, which the serving image lacks."""
    powertools_service_name: str = "precio-madrid"
    """What log lines and metrics are filed under; two stacks in one account need two names."""
    aws_lambda_function_name: str = ""
    """Set by Lambda itself; elsewhere empty."""

    api_root_path: Annotated[str, Field(pattern=r"^(/.*[^/])?$")] = ""
    """The path a proxy in front strips, such as `/precios`. API Gateway's stage is found without it."""
    cors_origins: Words = ()
    """Origins whose pages may call the API, separated by commas or spaces; `*` is any."""

    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], UpperCase] = "INFO"
    log_format: Literal["auto", "json", "text"] = "auto"
    """`auto`: JSON lines and EMF metrics on Lambda, text for people elsewhere."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings; raises SettingsError naming the variable at fault."""
        # lower-case names are field names to pydantic, and not variables of ours
        given = {name: value.strip() for name, value in environment.items() if name.isupper() and value.strip()}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = str(first["loc"][0]) if first["loc"] else "MODEL_URI"
            shown = f"{where}={given[where]!r}" if where in given else where
            raise SettingsError(f"{shown}: {first['msg'].removeprefix('Value error, ')}.") from None

    @field_validator("model_uri")
    @classmethod
    def _names_a_bucket(cls, uri: str) -> str:
        if uri and not S3_URI.fullmatch(uri):
            raise ValueError("should look like s3://bucket/prefix, or be empty for the embedded model")
        return uri

    @field_validator("aws_endpoint_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if url and not re.fullmatch(r"https?://[^/\s]+/?", url):
            raise ValueError("should look like http://127.0.0.1:8333")
        return url

    @model_validator(mode="after")
    def _leaves_something_to_serve(self) -> Self:
        if not self.model_uri and not self.model_embedded:
            raise ValueError("with MODEL_EMBEDDED off, MODEL_URI must say where the model is (s3://...)")
        return self

    @property
    def json_logs(self) -> bool:
        """Whether log lines and metrics are for CloudWatch rather than for a person."""
        return self.log_format == "json" or (self.log_format == "auto" and self.aws_lambda_function_name != "")

    @property
    def bucket(self) -> str:
        """The bucket of `model_uri`."""
        return self.model_uri.removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """The prefix of `model_uri`, without slashes at its ends; may be empty."""
        return self.model_uri.removeprefix("s3://").partition("/")[2].strip("/")
