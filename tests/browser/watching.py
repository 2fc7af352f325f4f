"""What the browser tests share: a served application, a watched page, and waiting for an answer."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, NamedTuple

import uvicorn
from playwright.sync_api import Page

from app.model import Model


class Served(NamedTuple):
    model: Model
    origin: str = "embedded"


class Source(NamedTuple):
    current: Served


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an ASGI application on a free port of the loopback; yields its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # whoever calls before the server is up waits in line
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


class Watched(NamedTuple):
    """A page, and what it did that it shouldn't have unless the test says so."""

    page: Page
    complaints: list[str]
    outside: list[str]
    caused: list[str]

    def expected(self, word: str) -> None:
        """Allow complaints and addresses that hold a word: the test causes them."""
        self.caused.append(word)

    def unexpected(self) -> list[str]:
        """What is left to complain about; what was announced and never came is too."""
        troubles = self.complaints + [f"went to {url}" for url in self.outside]
        missing = [word for word in self.caused if not any(word in trouble for trouble in troubles)]
        others = [trouble for trouble in troubles if not any(word in trouble for word in self.caused)]
        return [f"never came: {word}" for word in missing] + others


Open = Callable[..., Watched]


def settled(page: Page) -> None:
    """Wait until the price answers the form as it stands, and the reasons are there."""
    page.locator("#resultado:not(.waiting)").wait_for()
    page.locator("#reasons").wait_for()


def price(page: Page) -> str:
    return page.locator("#price").inner_text()
