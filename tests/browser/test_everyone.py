"""The page for everyone: both languages, narrow and wide, light and dark, keyboard alone, assistive technology."""

import json
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.watching import Open, price, settled

TILES = "https://tile.openstreetmap.org/"
DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082"
)


def axe(page: Page) -> list[str]:
    """Serious and critical findings of axe-core."""
    if not page.evaluate("'axe' in window"):
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{finding['id']}: {json.dumps([node['target'] for node in finding['nodes']])}"
        for finding in found
        if finding["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("width", [360, 1440])
def test_axe_has_no_serious_findings(open_page: Open, site: str, width: int) -> None:
    page = open_page(f"{site}/estimar", width=width, reduced_motion="reduce").page
    settled(page)
    page.locator("#legend").wait_for()
    page.locator("#save").click()
    page.locator("#surface").fill("900")  # beyond the trained range: warnings, a comparison
    page.locator("#warnings li").first.wait_for()
    settled(page)
    rows = b"latitud,longitud,surface,banos,habitaciones,jardin,ascensor,garaje\n" + b"40.4,-3.7,80,1,2,no,no,no\n" * 2
    page.locator("#file").set_input_files(
        {"name": "x.csv", "mimeType": "text/csv", "buffer": rows + b"1,1,1,1,1,1,1,1,1"}
    )
    page.locator("#download").wait_for()
    assert axe(page) == []

    page.emulate_media(color_scheme="dark")
    assert axe(page) == []
    page.locator("#surface").fill("x")
    page.locator(".error").wait_for()
    assert axe(page) == []


def test_axe_has_no_serious_findings_in_the_dialog(open_page: Open, site: str) -> None:
    def refuse(page: Page) -> None:
        page.route(f"{site}/predecir", lambda route: route.fulfill(status=403, json={"message": "Forbidden"}))

    watched = open_page(f"{site}/estimar", prepare=refuse)
    watched.page.get_by_label("Clave de la API").wait_for()
    assert axe(watched.page) == []
    watched.expected("403")


def test_nothing_is_wider_than_the_screen(page: Page) -> None:
    page.locator("#save").click()
    page.locator("#surface").fill("900")
    page.locator("#compare-body").wait_for()
    for width in (320, 360, 768, 1024, 1440):
        page.set_viewport_size({"width": width, "height": 740})
        for _ in ("es", "en"):
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.locator("#language").click()


def test_on_a_phone_the_price_stays_in_sight(open_page: Open, site: str) -> None:
    page = open_page(f"{site}/estimar", width=360, height=740, has_touch=True, is_mobile=True).page
    settled(page)
    bar = page.get_by_role("link", name="ver por qué")
    expect(bar).to_contain_text(price(page))
    bar.tap()
    expect(page.locator("#price")).to_be_in_viewport()
    expect(bar).to_be_hidden()


def test_english_leaves_no_spanish_text_behind_and_is_remembered(page: Page) -> None:
    read = "Array.from(document.querySelectorAll('[data-t]'), (e) => [e.dataset.t, e.textContent])"
    spanish = dict(page.evaluate(read))
    page.get_by_role("button", name="English").click()
    settled(page)
    english = dict(page.evaluate(read))

    assert [key for key, text in english.items() if text == spanish[key] and key not in {"api"}] == []
    assert page.evaluate("document.documentElement.lang") == "en"
    assert price(page).startswith("€")
    expect(page.locator("#interval-text")).to_contain_text("90% of homes like this one")

    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("What would this home cost?")
    page.get_by_role("button", name="Español").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("¿Cuánto costaría esta vivienda?")


def test_both_languages_have_the_same_texts(page: Page) -> None:
    file = page.locator("script[type=module]").get_attribute("src") or ""
    texts = page.evaluate("async (file) => (await import(file)).LANGUAGES", f"./{file.replace('page.js', 'texts.js')}")
    assert len(texts["es"]) > 100
    assert set(texts["es"]) - set(texts["en"]) == set()


def test_with_the_keyboard_alone_a_place_is_picked_and_a_price_read(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Ir al formulario")).to_be_focused()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "map":
            break
    expect(page.locator("#map")).to_be_focused()
    expect(page.locator(".crosshair")).to_be_visible()
    before = price(page)
    for _ in range(3):
        page.keyboard.press("ArrowDown")
        page.wait_for_timeout(300)  # the map moves under the key
    page.keyboard.press("Enter")
    expect(page.locator("#price")).not_to_have_text(before)

    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
    wanted = {
        "show-surface",
        "show-streets",
        "latitud",
        "surface",
        "habitaciones",
        "ascensor",
        "condicion",
        "save",
        "file",
    }
    assert wanted - reached == set()


def test_the_map_is_drawn_from_the_model_and_can_be_switched_off(page: Page) -> None:
    page.locator("#legend").wait_for()
    painted = """() => Array.from(document.querySelectorAll('#map canvas')).some((canvas) =>
        canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0))"""
    page.wait_for_function(painted)
    expect(page.locator("#legend-scale li")).to_have_count(8)
    expect(page.locator("#here")).to_contain_text("€/m²")
    page.get_by_label("Precios según el modelo").uncheck()
    expect(page.locator("#map canvas")).to_have_count(0)


def test_streets_come_from_openstreetmap_only_when_switched_on_and_are_attributed(open_page: Open, site: str) -> None:
    watched = open_page(f"{site}/estimar")
    page = watched.page
    asked: list[dict[str, str]] = []

    def tile(route: Route) -> None:
        asked.append(route.request.all_headers())
        route.fulfill(body=DOT, content_type="image/png")

    page.route(f"{TILES}**", tile)
    settled(page)
    assert asked == []
    page.get_by_label("Calles (OpenStreetMap)").check()
    expect(page.get_by_role("link", name="OpenStreetMap")).to_be_visible()
    expect(page.locator("#map img.leaflet-tile-loaded").first).to_be_visible()
    assert asked[0].get("referer") == f"{site}/"  # the origin, which their policy asks for, and no more
    watched.expected(TILES)
    page.get_by_label("Calles (OpenStreetMap)").uncheck()
    expect(page.locator("#map img")).to_have_count(0)


def test_streets_that_do_not_arrive_switch_themselves_off(open_page: Open, site: str) -> None:
    watched = open_page(f"{site}/estimar")
    page = watched.page
    page.route(f"{TILES}**", lambda route: route.abort())
    settled(page)
    page.get_by_label("Calles (OpenStreetMap)").click()
    expect(page.get_by_label("Calles (OpenStreetMap)")).not_to_be_checked()
    expect(page.locator("#streets-state")).to_contain_text("quedan apagadas")
    watched.expected(TILES)
    watched.expected("ERR_FAILED")

    page.context.set_offline(True)
    page.get_by_label("Calles (OpenStreetMap)").click()
    expect(page.locator("#streets-state")).to_contain_text("No hay conexión")
