"""The pictures of the README, taken of the model that ships. SCREENSHOTS=docs/img writes them where it shows them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.api import create_app
from app.model import Model
from tests.browser.watching import Open, Served, Source, served, settled
from tests.conftest import ROOT

LARGEST = 300_000  # bytes


@pytest.fixture(scope="module")
def shipped() -> Iterator[str]:
    model = Model.load((ROOT / "app" / "embedded" / "model.safetensors").read_bytes())
    with served(create_app(Source(Served(model)))) as address:
        yield address


@pytest.mark.parametrize(
    ("name", "width", "height", "scheme"), [("estimar", 1280, 900, "light"), ("movil", 390, 844, "dark")]
)
def test_the_page_with_the_model_that_ships(
    open_page: Open, shipped: str, tmp_path: Path, name: str, width: int, height: int, scheme: str
) -> None:
    page = open_page(f"{shipped}/estimar", width=width, height=height, color_scheme=scheme).page
    settled(page)
    page.locator("#legend").wait_for(timeout=60_000)
    page.wait_for_timeout(400)  # the map's tiles fade in
    folder = ROOT / os.environ["SCREENSHOTS"] if "SCREENSHOTS" in os.environ else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    picture = page.screenshot(path=folder / f"{name}.png")
    assert len(picture) < LARGEST
