"""A real browser in front of the real application. Every page is watched: what it logs, and where it sends requests."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from app.api import create_app
from app.model import Model
from tests.browser.gateway import STAGE, Gateway
from tests.browser.watching import Open, Served, Source, Watched, served, settled

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
TIMEOUT_MS = 15_000  # the machine may be busy; nothing waits this long when all is well


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium, or name one in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        expect.set_options(timeout=TIMEOUT_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(small_model: Model) -> Iterator[str]:
    """The application as `make run` serves it."""
    with served(create_app(Source(Served(small_model)))) as address:
        yield address


@pytest.fixture(scope="session")
def _gateway(small_model: Model) -> Iterator[tuple[Gateway, str]]:
    gateway = Gateway(create_app(Source(Served(small_model))))
    with served(gateway) as address:
        yield gateway, f"{address}/{STAGE}"
    gateway.close()


@pytest.fixture
def gateway(_gateway: tuple[Gateway, str]) -> Gateway:
    gateway, _ = _gateway
    gateway.key, gateway.throttled = "", 0
    return gateway


@pytest.fixture
def stage(gateway: Gateway, _gateway: tuple[Gateway, str]) -> str:
    """The address of the same application behind an API Gateway stage."""
    return _gateway[1]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open an address in a fresh session; at the end nothing may have complained or gone outside."""
    opened: list[Watched] = []

    def open_page(
        address: str,
        *,
        width: int = 1440,
        height: int = 900,
        prepare: Callable[[Page], object] = lambda page: None,
        **options: Any,
    ) -> Watched:
        context = browser.new_context(viewport={"width": width, "height": height}, locale="es-ES", **options)
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        watched = Watched(page, [], [], [])
        opened.append(watched)
        home = urlsplit(address).netloc

        def on_console(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                watched.complaints.append(f"{message.type}: {message.text}")

        def on_request(request: Request) -> None:
            parts = urlsplit(request.url)
            if parts.scheme not in {"data", "blob"} and parts.netloc != home:
                watched.outside.append(request.url)

        page.on("console", on_console)
        page.on("pageerror", lambda error: watched.complaints.append(f"exception: {error}"))
        context.on("request", on_request)
        prepare(page)
        page.goto(address)
        return watched

    yield open_page
    for watched in opened:
        watched.page.context.close()
    assert [trouble for watched in opened for trouble in watched.unexpected()] == []


@pytest.fixture
def page(open_page: Open, site: str) -> Page:
    """The estimator, open and settled."""
    watched = open_page(f"{site}/estimar")
    settled(watched.page)
    return watched.page
