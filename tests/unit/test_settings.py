"""What can be set from outside, and what is said when it can't be used."""

from pathlib import Path

import pytest

from app.errors import SettingsError
from app.settings import Settings


def test_nothing_set_serves_the_embedded_model() -> None:
    settings = Settings.from_environment({})

    assert settings.model_uri == ""
    assert settings.model_embedded
    assert not settings.json_logs


def test_an_empty_or_blank_variable_counts_as_unset() -> None:
    assert Settings.from_environment({"MODEL_REFRESH_SECONDS": "", "MODEL_URI": " "}) == Settings()


def test_variables_are_read_as_they_are_meant() -> None:
    settings = Settings.from_environment(
        {
            "MODEL_URI": "s3://bucket/a/prefix/",
            "MODEL_CACHE_DIR": "/somewhere",
            "MODEL_EMBEDDED": "false",
            "MODEL_REFRESH_SECONDS": "0.5",
            "CORS_ORIGINS": "https://a.example, https://b.example",
            "LOG_LEVEL": "debug",
            "AWS_DEFAULT_REGION": "eu-south-2",
            "AWS_LAMBDA_FUNCTION_NAME": "precio",
        }
    )

    assert (settings.bucket, settings.prefix) == ("bucket", "a/prefix")
    assert settings.model_cache_dir == Path("/somewhere")
    assert not settings.model_embedded
    assert settings.model_refresh_seconds == 0.5
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.log_level == "DEBUG"
    assert settings.aws_region == "eu-south-2"
    assert settings.json_logs


def test_the_endpoint_for_s3_goes_before_the_endpoint_for_everything() -> None:
    both = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:2"}

    assert Settings.from_environment(both).aws_endpoint_url == "http://127.0.0.1:2"
    del both["AWS_ENDPOINT_URL_S3"]
    assert Settings.from_environment(both).aws_endpoint_url == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODEL_URI", "models"),
        ("MODEL_URI", "https://bucket.s3.amazonaws.com/prefix"),
        ("MODEL_URI", "s3://"),
        ("MODEL_URI", "s3://bucket/../other"),
        ("MODEL_URI", "s3://bucket//prefix"),
        ("MODEL_EMBEDDED", "perhaps"),
        ("MODEL_REFRESH_SECONDS", "soon"),
        ("MODEL_REFRESH_SECONDS", "-1"),
        ("MODEL_REFRESH_SECONDS", "nan"),
        ("MODEL_LOAD_TIMEOUT_SECONDS", "0"),
        ("MODEL_REFRESH_TIMEOUT_SECONDS", "inf"),
        ("MODEL_MAX_MEBIBYTES", "1.5"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("API_ROOT_PATH", "precios/"),
        ("AWS_ENDPOINT_URL_S3", "127.0.0.1:8333"),
    ],
)
def test_a_value_that_cannot_be_used_is_one_line_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({name: value})

    assert str(error.value).startswith(f"{name}={value!r}: ")
    assert "\n" not in str(error.value)


def test_no_embedded_model_and_no_uri_leaves_nothing_to_serve() -> None:
    with pytest.raises(SettingsError, match="MODEL_URI"):
        Settings.from_environment({"MODEL_EMBEDDED": "false"})
