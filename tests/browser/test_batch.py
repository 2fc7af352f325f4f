"""A CSV of homes goes in, a priced one comes out; hostile files do no harm."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Page, Route, expect

from tests.browser.gateway import Gateway
from tests.browser.watching import Open, settled

HEADER = "latitud,longitud,surface,baños,habitaciones,jardin,antiguedad,superficie_util,ascensor,garaje,condicion"
GOOD = "40.42,-3.70,90,2,3,true,20,80,true,false,Reformado"
ADDED = ["precio_estimado", "intervalo_inferior", "intervalo_superior", "avisos", "error"]


def drop(page: Page, content: str | bytes, name: str = "viviendas.csv") -> None:
    data = content if isinstance(content, bytes) else content.encode()
    page.locator("#file").set_input_files({"name": name, "mimeType": "text/csv", "buffer": data})


def priced(page: Page, content: str | bytes, name: str = "viviendas.csv", delimiter: str = ",") -> list[dict[str, str]]:
    """Price a file and read what is downloaded."""
    drop(page, content, name)
    with page.expect_download() as waiting:
        page.locator("#download").click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text), delimiter=delimiter))


def test_each_row_comes_back_with_the_price_that_the_api_gives_it(page: Page, site: str) -> None:
    rows = [f"piso {i},40.4{i % 10},-3.7{i % 7},{50 + i % 90},1,2,no,,,sí,0," for i in range(450)]
    out = priced(page, "\n".join([f"nota,{HEADER}", *rows]))

    assert [row["nota"] for row in out] == [f"piso {i}" for i in range(450)]
    assert list(out[0])[-5:] == ADDED
    home: dict[str, Any] = {"baños": 1, "habitaciones": 2, "jardin": False, "ascensor": True, "garaje": False}
    for i in (0, 199, 200, 449):
        body = home | {"latitud": float(f"40.4{i % 10}"), "longitud": float(f"-3.7{i % 7}"), "surface": 50 + i % 90}
        answer = requests.post(f"{site}/predecir", json=body, timeout=10).json()
        assert out[i]["precio_estimado"] == str(round(answer["precio"]))
        assert out[i]["intervalo_superior"] == str(round(answer["intervalo"]["superior"]))
    expect(page.locator("#batch-state")).to_contain_text("Listo: 450 con precio, 0 con errores.")
    expect(page.locator("#progress")).to_have_js_property("value", 1)


def test_a_spreadsheet_in_spanish_is_read_as_it_was_meant(page: Page) -> None:
    text = (
        "Latitud;Longitud;Surface;Baños;Habitaciones;Jardín;Antigüedad;Superficie útil;Ascensor;Garaje;Condición\r\n"
        "40,42;-3,70;90,5;2;3;VERDADERO;20;;FALSO;no;reformado\r\n\r\n"
    )
    (row,) = priced(page, text.encode("windows-1252"), delimiter=";")
    assert row["error"] == ""
    assert int(row["precio_estimado"]) > 1000
    assert row["Longitud"] == "-3,70"  # a number is left a number


def test_rows_that_the_api_refuses_say_why_and_do_not_hold_up_the_others(open_page: Open, site: str) -> None:
    watched = open_page(f"{site}/estimar")
    lines = [HEADER, GOOD, "99,-3.7,0,2,3,true,,,true,false,Bonito", "40.42,-3.70,,2,3,quizá,,,true,false,", GOOD]
    out = priced(watched.page, "\n".join(lines))
    assert [bool(row["precio_estimado"]) for row in out] == [True, False, False, True]
    assert all(word in out[1]["error"] for word in ("latitud", "surface", "condicion"))
    assert "surface: Falta este dato." in out[2]["error"]
    assert "jardin: Escribe sí o no." in out[2]["error"]
    expect(watched.page.locator("#preview-rows tr.bad th")).to_have_text(["3", "4"])
    watched.expected("422")


def test_a_cell_that_a_spreadsheet_would_run_comes_back_as_text(page: Page) -> None:
    cells = [
        "=HYPERLINK(1)",
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(1)",
        "\t=1+1",
        " =1+1",
        "\uff1d1+1",
        "=1\n=2",
        '="a"',
    ]
    quoted = ",".join('"{}"'.format(cell.replace('"', '""')) for cell in cells)
    drop(page, f"{HEADER},{quoted}\n{GOOD},{quoted}\n")
    with page.expect_download() as waiting:
        page.locator("#download").click()
    with Path(waiting.value.path()).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    for row in rows:  # the header's names are cells too
        assert row[11:-5] == [f"'{cell}" for cell in cells]
        assert not [each for each in row if re.match(r"\s*[=+@\uff1d\uff0b\uff20\t]|\s*-(?![\d.]+$)", each)]


def test_every_cell_stays_one_cell_wherever_it_is_split(page: Page) -> None:
    drop(page, f'{HEADER},nota\n{GOOD},"a;=1+1\n=2"\n')
    with page.expect_download() as waiting:
        page.locator("#download").click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8-sig")
    assert '"a;=1+1\n=2"' in text


def test_names_and_cells_are_never_read_as_markup(open_page: Open, site: str) -> None:
    watched = open_page(f"{site}/estimar")
    page = watched.page
    hostile = "<img src=x onerror=document.title='stolen'>"
    lines = [f"{HEADER},{hostile},__proto__,constructor", f"{GOOD},{hostile},1,1"]
    lines.append(f"40.42,-3.70,90,2,3,true,,,true,false,{hostile},,,")
    out = priced(page, "\n".join(lines), name=f"\u202e{hostile}.csv")
    assert out[0][hostile] == hostile
    expect(page.locator("#batch-name")).to_contain_text("<img")
    expect(page.locator("#batch-state")).to_contain_text("<img")
    expect(page.locator("#batch img")).to_have_count(0)
    assert "stolen" not in page.title()
    watched.expected("422")


def test_a_shifted_row_is_refused_rather_than_priced(page: Page) -> None:
    shifted = GOOD.replace("40.42,-3.70", "40,42,-3,70")
    out = priced(page, f"{HEADER}\n{shifted}\n{GOOD}\n")
    assert out[0]["precio_estimado"] == ""
    assert "más celdas que la cabecera" in out[0]["error"]
    assert out[1]["precio_estimado"] != ""


def test_odd_cells_break_their_own_row_alone(open_page: Open, site: str) -> None:
    watched = open_page(f"{site}/estimar")
    lots = "9" * 5000 + "\U0001f3e0" * 80
    cells = ["1e999", "NaN", "0x10", "1 000", lots, "-", "∞", "١٢"]
    lines = [HEADER, *(GOOD.replace("90", cell, 1) for cell in cells), GOOD]
    out = priced(watched.page, "\n".join(lines))
    assert [bool(row["precio_estimado"]) for row in out] == [False] * len(cells) + [True]
    watched.expected("422")


def test_a_file_that_cannot_be_priced_says_why(page: Page) -> None:
    for content, said in (
        (b"", "Faltan columnas"),
        (b"\x00\x01\x02PNG", "no es un CSV de texto"),
        (f"{HEADER}\n".encode(), "no tiene filas"),
        (f"{HEADER.replace('surface', 'superficie')}\n{GOOD}".encode(), "Faltan columnas: surface."),
        (f"{HEADER},banos\n{GOOD},1".encode(), "«baños» está dos veces"),
        ((f"{HEADER}\n" + f"{GOOD}\n" * 20_001).encode(), "más de 20.000 filas"),
    ):
        drop(page, content)
        expect(page.locator("#batch-state")).to_contain_text(said)
        expect(page.locator("#download")).to_be_hidden()


def test_a_file_may_be_dropped_and_a_huge_one_is_not_even_read(page: Page) -> None:
    page.evaluate(
        """() => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([new Uint8Array(11 * 2 ** 20)], "huge.csv"));
            const options = { dataTransfer, bubbles: true, cancelable: true };
            document.getElementById("drop").dispatchEvent(new DragEvent("drop", options));
        }"""
    )
    expect(page.locator("#batch-state")).to_contain_text("pasa de 10 MB")
    expect(page.locator("#batch-name")).to_have_text("huge.csv")


def test_a_run_can_be_stopped_and_what_is_done_downloaded(page: Page, site: str) -> None:
    asked: list[Route] = []

    def answer_the_first_alone(route: Route) -> None:
        asked.append(route)
        if len(asked) == 1:
            route.continue_()

    page.route(f"{site}/predecir/lote", answer_the_first_alone)
    drop(page, "\n".join([HEADER, *[GOOD] * 3000]))
    expect(page.locator("#batch-state")).to_contain_text("200 de 3000 filas")
    page.get_by_role("button", name="Cancelar").click()
    expect(page.locator("#batch-state")).to_contain_text("Parado en la fila 200 de 3000")
    expect(page.locator("#download")).to_be_visible()


def test_a_run_asks_for_the_key_and_waits_when_told_to(open_page: Open, gateway: Gateway, stage: str) -> None:
    watched = open_page(f"{stage}/estimar")
    page = watched.page
    settled(page)
    gateway.key, gateway.throttled = "a-secret", 1
    drop(page, f"{HEADER}\n{GOOD}\n")
    page.get_by_label("Clave de la API").fill("a-secret")
    page.keyboard.press("Enter")
    expect(page.locator("#batch-state")).to_contain_text("Listo: 1 con precio")
    watched.expected("403")
    watched.expected("429")


def test_the_template_can_be_priced_as_it_is(page: Page) -> None:
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Descargar una plantilla").click()
    template = Path(waiting.value.path()).read_bytes()
    out = priced(page, template)
    assert [row["error"] for row in out] == ["", ""]
