"""The example for callers, run as a reader runs it, against a live server."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import create_app
from app.model import Model
from tests.browser.watching import Served, Source, served
from tests.conftest import ROOT

KEY = "a-key"


class Keyed:
    """An application behind a key, and throttled once, as API Gateway does it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._throttled = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if dict(scope["headers"]).get(b"x-api-key") != KEY.encode():
            await JSONResponse({"message": "Forbidden"}, 403)(scope, receive, send)
        elif not self._throttled:
            self._throttled = True
            await JSONResponse({"message": "Too Many Requests"}, 429)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def url(small_model: Model) -> Iterator[str]:
    with served(Keyed(create_app(Source(Served(small_model))))) as address:
        yield address


def use(url: str, key: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "examples/uso.py"],
        cwd=ROOT,
        env=os.environ | {"API_URL": url, "API_KEY": key, "PYTHONIOENCODING": "utf-8", "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_the_example_prices_explains_evaluates_and_survives_being_told_to_wait(url: str) -> None:
    ran = use(url, KEY)
    assert ran.returncode == 0, ran.stderr
    for words in (
        "Una vivienda:",
        "Con 240 m²:",
        "Por qué, desde",
        "Error medio en 2 viviendas",
        "surface: Tiene que ser",
    ):
        assert words in ran.stdout


def test_without_the_key_the_example_says_that_the_api_refuses(url: str) -> None:
    ran = use(url, "")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "403" in ran.stderr


def test_where_nobody_answers_the_example_says_so() -> None:
    ran = use("http://127.0.0.1:9", KEY)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "¿está en marcha?" in ran.stderr
