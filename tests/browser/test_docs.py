"""The API's documentation: complete without a network, and usable behind a stage."""

from playwright.sync_api import expect

from tests.browser.watching import Open


def test_redoc_shows_every_route_with_no_request_leaving(open_page: Open, site: str) -> None:
    watched = open_page(f"{site}/redoc")
    page = watched.page
    watched.expected("cdn.redoc.ly")  # its makers' badge: the page's policy keeps the browser from fetching it
    expect(page.get_by_role("heading", name="Precio de una vivienda")).to_be_visible()
    expect(page.get_by_role("heading", name="Ficha del modelo")).to_be_visible()


def test_a_home_can_be_priced_from_the_docs_behind_a_stage(open_page: Open, stage: str) -> None:
    page = open_page(f"{stage}/docs").page
    page.locator("#operations-precios-predict_predecir_post").get_by_role("button").first.click()
    with page.expect_response(f"{stage}/predecir") as waiting:
        page.get_by_role("button", name="Execute").click()
    assert waiting.value.status == 200
    assert waiting.value.json()["precio"] > 0
    expect(page.locator(".live-responses-table")).to_contain_text("precio")
