"""Files of homes: cut anywhere, read once; and what is refused as a whole."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.errors import DataError
from app.settings import Settings
from batch import csv_file, jsonl_file
from batch.csv_file import CsvFile
from batch.jsonl_file import JsonLinesFile
from batch.records import Reader, Record
from batch.storage import Source

HEADER = "id,latitud,longitud,surface,banos,habitaciones,jardin,antiguedad,superficie_util,ascensor,garaje,condicion\n"
ROW = "{},40.42,-3.7,80,1,2,False,30,70,True,False,Reformado"

UNREADABLE = "La fila no se puede leer: unas comillas que no se cierran bien, o un salto de línea suelto."


def source(path: Path, data: str | bytes, name: str = "homes.csv") -> Source:
    file = path / name
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return Source.find(str(file), Settings())


def records(reader: Reader, size: int) -> list[Record]:
    return [record for part in reader.ranges(size) for record in reader.records(part)]


def ids(found: list[Record]) -> list[str]:
    return [record.id for record in found]


def test_a_row_is_read_with_the_types_of_the_contract(tmp_path: Path) -> None:
    reader = CsvFile(source(tmp_path, HEADER + 'x-1,40.42,-3.7,80,1,2,False,,"70",1,0.0,\n'))

    (record,) = records(reader, 1_000)

    assert record.id == "x-1"
    assert record.values == {
        "latitud": 40.42,
        "longitud": -3.7,
        "surface": 80,
        "baños": 1,
        "habitaciones": 2,
        "jardin": False,
        "antiguedad": None,
        "superficie_util": 70,
        "ascensor": True,
        "garaje": False,
        "condicion": None,
    }


def test_a_byte_order_mark_crlf_and_a_decomposed_ñ_are_no_obstacle(tmp_path: Path) -> None:
    text = "\ufeff" + (HEADER.replace("banos", "ban\u0303os") + ROW.format("a") + "\n").replace("\n", "\r\n")

    (record,) = records(CsvFile(source(tmp_path, text)), 1_000)

    assert record.id == "a"
    assert record.values["baños"] == 1
    assert record.values["condicion"] == "Reformado"


def test_columns_in_another_order_beside_others_are_found(tmp_path: Path) -> None:
    text = (
        "tipo,condicion,garaje,ascensor,superficie_util,antiguedad,jardin,habitaciones,baños,surface,longitud,latitud\n"
    )

    (record,) = records(CsvFile(source(tmp_path, text + "Piso,Reformado,0,1,70,30,0,2,1,80,-3.7,40.4\n")), 1_000)

    assert (record.values["latitud"], record.values["condicion"]) == (40.4, "Reformado")
    assert "tipo" not in record.values


def test_an_id_is_found_in_capitals_and_what_only_python_takes_for_a_number_is_none(tmp_path: Path) -> None:
    row = ROW.format("x").replace(",80,", ",8_0,").replace("40.42", "4_0.42")

    (record,) = records(CsvFile(source(tmp_path, HEADER.replace("id,", "ID,") + row + "\n")), 1_000)

    assert record.id == "x"
    assert (record.values["latitud"], record.values["surface"]) == ("4_0.42", "8_0")


def test_optional_columns_may_be_left_out(tmp_path: Path) -> None:
    text = "latitud,longitud,surface,baños,habitaciones,jardin,ascensor,garaje\n40.4,-3.7,80,1,2,0,1,0\n"

    reader = CsvFile(source(tmp_path, text))

    assert not reader.has_id
    assert len(records(reader, 1_000)) == 1


def test_a_broken_row_stands_for_itself_alone(tmp_path: Path) -> None:
    lines = [
        ROW.format("good-1"),
        "short,40.42",
        "",
        '"open,40.42,-3.7,80,1,2,False,30,70,True,False,Reformado',
        ROW.format('"good, with a\nline break and ""quotes"""'),
        ROW.format("half \r way"),
        ROW.format("long") + ",1,2",
        ROW.format("good-2"),
    ]
    data = (HEADER + "\n".join(lines) + "\n").encode() + ROW.format("latin-\xf1").encode("latin-1") + b"\n"

    found = records(CsvFile(source(tmp_path, data)), 10_000)

    assert [(record.id, record.problem) for record in found] == [
        ("good-1", None),
        ("short", "La fila tiene 2 celdas y la cabecera 12."),
        ("", "La línea está vacía."),
        ("", UNREADABLE),
        ('good, with a\nline break and "quotes"', None),
        ("", UNREADABLE),
        ("long", "La fila tiene 14 celdas y la cabecera 12."),
        ("good-2", None),
        ("", "id: El texto no es UTF-8 válido."),
    ]


def test_empty_lines_at_the_end_are_no_rows(tmp_path: Path) -> None:
    found = records(CsvFile(source(tmp_path, HEADER + ROW.format("a") + "\n\n \r\n\n")), 50)

    assert ids(found) == ["a"]


CELLS = st.text(alphabet='ab",\n\r ñ', max_size=30)
ROWS = st.one_of(
    st.builds(lambda text: ROW.format('"' + text.replace('"', '""') + '"'), CELLS),  # quoted as it should be
    st.builds(ROW.format, CELLS),  # and as it should not
    st.just(""),
)


@given(st.lists(ROWS, min_size=1, max_size=40), st.integers(1, 600))
@example([ROW.format('"' + "x" * 400)] * 4, 150)
@example([ROW.format("plain")] * 30, 40)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
def test_however_a_file_is_cut_its_rows_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], size: int
) -> None:
    """The limits are made small, so that cuts look back over few rows and fields can be too long."""
    monkeypatch.setattr(csv_file, "FIELD_LIMIT", 256)
    monkeypatch.setattr(csv_file, "_BLOCK", 100)
    whole = source(tmp_path, HEADER + "\n".join([*lines, ROW.format("last")]) + "\n")
    reader = CsvFile(whole)

    parts = list(reader.ranges(size))

    assert [part.start for part in parts[1:]] == [part.end for part in parts[:-1]]
    assert (parts[0].start, parts[-1].end) == (len(HEADER), whole.size)
    assert [record for part in parts for record in reader.records(part)] == records(reader, whole.size)


@given(st.lists(st.integers(0, 200), min_size=1, max_size=40), st.integers(1, 400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_however_json_lines_are_cut_every_line_is_one_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lengths: list[int], size: int
) -> None:
    monkeypatch.setattr(jsonl_file, "_BLOCK", 64)
    lines = [json.dumps({"id": f"{i}\n" + "ñ" * n}, ensure_ascii=False) for i, n in enumerate(lengths)]
    reader = JsonLinesFile(source(tmp_path, "\n".join(lines) + "\n\n", "homes.jsonl"))

    found = records(reader, size)

    assert ids(found) == [json.loads(line)["id"] for line in lines]


def test_a_line_that_is_no_home_is_refused_by_itself(tmp_path: Path, home: dict[str, Any]) -> None:
    lines = [json.dumps(home | {"id": 7}), "{", "[1]", "", '{"id": "NaN", "surface": NaN}', json.dumps(home)]

    found = records(JsonLinesFile(source(tmp_path, "\n".join(lines), "homes.ndjson")), 100)

    assert [record.id for record in found] == ["7", "", "", "", "NaN", ""]
    assert [record.problem is None for record in found] == [True, False, True, False, True, True]
    assert found[1].problem is not None
    assert found[1].problem.startswith("No es JSON válido en UTF-8")


BAD_CSV = {
    "empty": (b"", "is empty"),
    "header only": (HEADER.encode(), "a header and no rows"),
    "header and blanks": (HEADER.encode() + b"\n\n", "a header and no rows"),
    "no header": ((ROW.format("a") + "\n").encode() * 3, "has no header"),
    "semicolons": (HEADER.replace(",", ";").encode() + b"a;1\n", "separated by semicolons"),
    "tabs": (HEADER.replace(",", "\t").encode() + b"a\t1\n", "separated by tabs"),
    "UTF-16": ((HEADER + ROW.format("a") + "\n").encode("utf-16"), "UTF-16"),
    "Latin-1": ((HEADER.replace("banos", "baños") + ROW.format("a") + "\n").encode("latin-1"), "not UTF-8"),
    "NUL bytes": (HEADER.encode() + b"a,\x00\x00\n", "NUL bytes"),
    "gzip": (gzip.compress(HEADER.encode()), "is gzip"),
    "Excel": (b"PK\x03\x04" + bytes(50), "Excel"),
    "missing columns": (HEADER.replace("surface,", "").encode() + b"1\n", "lacks the column surface"),
    "misspelt optional column": (HEADER.replace("antiguedad", "antigüedad").encode() + b"1\n", "correct its name"),
    "a column twice": (HEADER.replace("garaje", "jardin").encode() + b"1\n", "jardin twice"),
    "cut short in a row": ((HEADER + ROW.format("a") + "\n" + ROW.format("b")[:40]).encode(), "cut short"),
    "cut short in quotes": ((HEADER + ROW.format("a") + '\n"b').encode(), "cut short"),
    "old Macintosh": ((HEADER + ROW.format("a")).replace("\n", "\r").encode(), "CR alone"),
}


@pytest.mark.parametrize(("data", "words"), BAD_CSV.values(), ids=BAD_CSV)
def test_a_file_that_is_no_table_of_homes_is_refused_in_one_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as refusal:
        list(CsvFile(source(tmp_path, data)).ranges(1_000))

    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (HEADER.encode(), "no JSON in its first line"),
        (b"[1]\n", "no JSON object"),
        (b'{"surface": 1}\n{"surf', "cut short"),
        ('{"surface": 1}\n'.encode("utf-16"), "plain UTF-8"),
    ],
)
def test_a_file_that_is_no_json_lines_is_refused_in_one_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        JsonLinesFile(source(tmp_path, data, "homes.jsonl"))


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        Source.find(str(tmp_path), Settings())
    with pytest.raises(DataError, match="there is no"):
        Source.find(str(tmp_path / "none" / "homes.csv"), Settings())
