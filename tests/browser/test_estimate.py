"""From a click to a price: what a person does on /estimar."""

import json
import re
from functools import partial
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.browser.gateway import Gateway
from tests.browser.watching import Open, price, settled


def sent(page: Page, path: str, act: Any) -> dict[str, Any]:
    """What the page posts to a path when something is done."""
    with page.expect_request(lambda request: request.url.endswith(path) and request.method == "POST") as waiting:
        act()
    body: dict[str, Any] = json.loads(waiting.value.post_data or "")
    return body


def test_whoever_opens_the_page_sees_a_price_its_interval_and_the_reasons(page: Page, site: str) -> None:
    home = sent(page, "/predecir", lambda: page.get_by_label("Garaje").click())
    settled(page)
    answer = requests.post(f"{site}/predecir", json=home, timeout=10).json()

    shown = int(re.sub(r"\D", "", price(page)))
    assert shown == pytest.approx(answer["precio"], rel=0.005)
    expect(page.locator("#interval-text")).to_contain_text("El 90 % de las viviendas parecidas")
    expect(page.locator("#bars")).to_contain_text("De referencia")
    expect(page.locator("#bars li.total").last).to_contain_text(price(page))
    expect(page.get_by_text("Es un precio de oferta", exact=False)).to_be_visible()
    expect(page.locator("#about")).to_contain_text("anuncios de 2020")


def test_a_click_on_the_map_moves_the_home_and_its_price(page: Page) -> None:
    before = price(page)
    page.locator("#map").click(position={"x": 60, "y": 380})
    expect(page.locator("#price")).not_to_have_text(before)
    assert float(page.locator("#latitud").input_value()) < 40.40
    assert float(page.locator("#longitud").input_value()) < -3.70


def test_what_is_written_is_what_is_asked(page: Page) -> None:
    for field, written, posted in (
        ("surface", "150", {"surface": 150}),
        ("surface", "82,5", {"surface": 82.5}),
        ("antiguedad", "", {"antiguedad": None}),
        ("superficie_util", "70", {"superficie_util": 70}),
        ("habitaciones", "0", {"habitaciones": 0}),
    ):
        body = sent(page, "/predecir", partial(page.locator(f"#{field}").fill, written))
        assert body | posted == body


def test_steps_the_slider_and_the_condition_change_the_question(page: Page) -> None:
    body = sent(page, "/predecir", lambda: page.get_by_role("button", name="Un baño más").click())
    assert body["baños"] == 3
    body = sent(page, "/predecir", lambda: page.locator("#surface-range").fill("200"))
    assert body["surface"] == 200
    body = sent(page, "/predecir", lambda: page.get_by_label("Estado").select_option("No lo sé"))
    assert body["condicion"] is None


def test_a_place_of_the_list_puts_the_pin_there(page: Page) -> None:
    body = sent(page, "/predecir", lambda: page.locator("#place").select_option(label="Getafe"))
    assert (body["latitud"], body["longitud"]) == (40.305, -3.731)


def test_only_the_last_of_quick_changes_decides_the_price(page: Page, site: str) -> None:
    for size in range(60, 160, 10):
        page.locator("#surface").fill(str(size))
    expect(page.locator("#resultado")).not_to_have_class(re.compile("waiting"))
    settled(page)
    last = price(page)
    page.locator("#surface").fill("60")
    expect(page.locator("#price")).not_to_have_text(last)
    page.locator("#surface").fill("150")
    expect(page.locator("#price")).to_have_text(last)


def test_what_is_no_number_is_said_beside_its_field(page: Page) -> None:
    for field, written, said in (
        ("surface", "", "Falta este dato."),
        ("surface", "mucho", "Escribe un número."),
        ("habitaciones", "dos", "Escribe un número entero."),
        ("longitud", "1e999", "Escribe un número."),
    ):
        control = page.locator(f"#{field}")
        before = control.input_value()
        control.fill(written)
        expect(page.locator(".error")).to_have_text(said)
        expect(control).to_have_attribute("aria-invalid", "true")
        assert price(page) == "—"
        control.fill(before)
        expect(page.locator(".error")).to_have_count(0)
        expect(page.locator("#price")).not_to_have_text("—")


def test_what_the_api_refuses_is_said_beside_its_field(open_page: Open, site: str) -> None:
    watched = open_page(f"{site}/estimar")
    page = watched.page
    settled(page)
    page.locator("#surface").fill("-5")
    expect(page.locator(".field", has=page.locator("#surface"))).to_contain_text("Tiene que ser mayor que 0")
    page.locator("#language").click()
    expect(page.locator(".field", has=page.locator("#surface"))).to_contain_text("It must be more than 0.")
    page.locator("#surface").fill("90")
    settled(page)
    watched.expected("422")


def test_a_home_beyond_what_the_model_knows_gets_a_price_with_a_warning(page: Page) -> None:
    page.locator("#surface").fill("900")
    expect(page.locator("#warnings")).to_contain_text("Superficie construida")
    page.locator("#language").click()
    expect(page.locator("#warnings")).to_contain_text("Built area: The homes the model knows range from")


def test_a_place_that_no_listing_covers_is_said(page: Page) -> None:
    page.locator("#latitud").fill("36.7")
    expect(page.locator("#warnings li").first).to_be_visible()
    expect(page.locator("#here")).to_contain_text("fuera de la zona que cubren los anuncios")


def test_two_homes_are_compared_field_by_field_and_in_euro(page: Page) -> None:
    page.get_by_role("button", name="Guardar para comparar").click()
    kept = price(page)
    page.locator("#surface").fill("190")
    page.get_by_label("Garaje").click()
    expect(page.locator("#compare-summary")).to_contain_text("más cara que la guardada")
    expect(page.locator("tr.differs th")).to_have_text(["Superficie construida", "Garaje"])
    expect(page.locator(".price-line td").first).to_have_text(kept)
    expect(page.locator("#compare-bars li").first).to_contain_text(kept)
    expect(page.locator("#compare-bars li.more").first).to_contain_text("Superficie construida")

    page.get_by_role("button", name="Volver a la guardada").click()
    expect(page.locator("#surface")).to_have_value("96")
    expect(page.locator("#compare-summary")).to_have_text("Las dos salen por lo mismo.")
    page.get_by_role("button", name="Olvidarla").click()
    expect(page.locator("#compare-empty")).to_be_visible()


def test_where_the_api_cannot_be_reached_the_page_says_so_and_carries_on_later(open_page: Open, site: str) -> None:
    watched = open_page(f"{site}/estimar")
    page = watched.page
    settled(page)
    page.context.set_offline(True)
    page.locator("#surface").fill("120")
    expect(page.locator("#trouble")).to_contain_text("No se puede llegar a la API")
    assert price(page) == "—"
    page.context.set_offline(False)
    page.get_by_role("button", name="Reintentar").click()
    settled(page)
    assert price(page) != "—"
    expect(page.locator("#trouble")).to_be_hidden()
    watched.expected("ERR_INTERNET_DISCONNECTED")


def test_without_any_of_its_other_parts_the_page_still_prices(open_page: Open, site: str) -> None:
    def break_them(page: Page) -> None:
        for path in ("explicar", "estimar/superficie.json", "modelo"):
            page.route(f"{site}/{path}", lambda route: route.fulfill(status=500, body="<html>"))

    watched = open_page(f"{site}/estimar", prepare=break_them)
    page = watched.page
    expect(page.locator("#map-state")).to_contain_text("no ha llegado")
    page.locator("#surface").fill("120")
    expect(page.locator("#price")).to_contain_text("€")
    expect(page.locator("#reasons")).to_be_hidden()
    watched.expected("500")


def test_texts_of_the_api_are_never_read_as_markup(open_page: Open, site: str) -> None:
    page = open_page(f"{site}/estimar").page
    settled(page)
    hostile = "<img src=x onerror=document.title='stolen'>"
    answer = {"precio": 1, "intervalo": None, "avisos": [{"campo": hostile, "mensaje": hostile}]}
    page.route(f"{site}/predecir", lambda route: route.fulfill(json=answer))
    page.locator("#surface").fill("120")
    expect(page.locator("#warnings")).to_contain_text(hostile)
    expect(page.locator("#warnings img")).to_have_count(0)
    assert "stolen" not in page.title()


def test_the_key_is_asked_for_and_kept_for_the_session_only(open_page: Open, gateway: Gateway, stage: str) -> None:
    gateway.key = "a-secret"
    watched = open_page(f"{stage}/estimar")
    page = watched.page
    field = page.get_by_label("Clave de la API")
    field.fill("wrong ñ")
    page.get_by_role("button", name="Usar la clave").click()
    expect(page.get_by_text("La API no acepta esa clave.")).to_be_visible()
    field.fill("a-secret")
    field.press("Enter")
    settled(page)
    assert price(page) != "—"

    page.reload()
    settled(page)
    assert page.evaluate("JSON.stringify(localStorage) + document.cookie + location").find("a-secret") == -1
    watched.expected("403")

    other = open_page(f"{stage}/estimar")
    expect(other.page.get_by_label("Clave de la API")).to_be_visible()
    other.page.keyboard.press("Escape")
    expect(other.page.locator("#trouble")).to_contain_text("Esta API pide una clave.")
    other.page.get_by_role("button", name="Poner la clave").click()
    expect(other.page.get_by_label("Clave de la API")).to_be_focused()
    other.expected("403")


def test_behind_a_stage_everything_stays_behind_it(open_page: Open, stage: str) -> None:
    asked: list[str] = []

    def listen(page: Page) -> None:
        page.on("request", lambda request: asked.append(request.url))

    page = open_page(f"{stage}/estimar", prepare=listen).page
    settled(page)
    page.locator("#legend").wait_for()
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith(f"{stage}/")] == []


def test_told_to_wait_the_page_asks_again_by_itself(open_page: Open, gateway: Gateway, stage: str) -> None:
    watched = open_page(f"{stage}/estimar")
    page = watched.page
    settled(page)
    before = price(page)
    gateway.throttled = 1
    page.locator("#surface").fill("180")
    expect(page.locator("#price")).not_to_have_text(before)
    watched.expected("429")
