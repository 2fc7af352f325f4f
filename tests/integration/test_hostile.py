"""Requests that bite: JSON that parsers choke on, and HTTP that lies about itself, to the server and to the handler."""

import gzip
import http.client
import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest
from werkzeug import Request
from werkzeug.test import EnvironBuilder

import lambda_handler
from tests.conftest import ROOT
from tests.integration.servers import free_port, running, wait_until_it_answers
from trials.doors import http_api, rest_api

PATIENCE_SECONDS = 20
"""For any answer; what takes longer hangs."""
MOST_BYTES = 40_000
"""In an answer that refuses something; Lambda's limit is 6 MB."""
HOME = (ROOT / "examples" / "vivienda.json").read_bytes()
MEGABYTES = 6 * 2**20


class Server(NamedTuple):
    port: int
    log: Path


class Answer(NamedTuple):
    status: int
    body: bytes


Ask = Callable[[str, bytes], Answer]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What `make run` starts."""
    port, log = free_port(), tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "uvicorn", "lambda_handler:app", "--port", str(port), "--no-access-log"]
    with running(command, log) as process:
        wait_until_it_answers(f"http://127.0.0.1:{port}/salud", process, log)
        yield Server(port, log)


@pytest.fixture(params=["server", "REST API", "HTTP API"])
def ask(request: pytest.FixtureRequest, server: Server) -> Ask:
    """Post a body that calls itself JSON, by each way in."""
    if request.param == "server":
        return lambda address, body: _over_http(server, address, body)
    event = {"REST API": rest_api, "HTTP API": http_api}[request.param]
    return lambda address, body: _as_event(event, address, body)


def _over_http(server: Server, address: str, body: bytes) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("POST", address, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.getheader("content-type") == "application/json"
        return Answer(response.status, response.read())
    finally:
        connection.close()


def _as_event(event: Callable[[Request], dict[str, Any]], address: str, body: bytes) -> Answer:
    target = urlsplit(address)
    builder = EnvironBuilder(target.path, method="POST", data=body, content_type="application/json")
    builder.query_string = target.query
    asked = json.loads(json.dumps(event(Request(builder.get_environ()))))
    answer = lambda_handler.handler(asked, SimpleNamespace(aws_request_id="r-1"))
    assert answer["headers"]["content-type"] == "application/json"
    return Answer(answer["statusCode"], answer["body"].encode())


def with_(field: str, value: str) -> bytes:
    """The home with other JSON as the value of a field, or with a field more."""
    fields = {name: json.dumps(known) for name, known in json.loads(HOME).items()} | {field: value}
    return ("{" + ",".join(f'"{name}": {text}' for name, text in fields.items()) + "}").encode()


def bites(many: int) -> dict[str, tuple[int, bytes]]:
    """Bodies and what they are answered with; some are `many` deep, long or wide."""
    home = json.loads(HOME)
    return {
        "lists in lists": (422, b"[" * many),
        "lists in lists, closed": (422, b"[" * many + b"]" * many),
        "objects in objects": (422, b'{"a":' * (many // 5)),
        "depth in a field": (422, with_("surface", "[" * many + "]" * many)),
        "depth in an unknown field": (422, with_("x", "[" * many + "]" * many)),
        "a field twice, the last one right": (200, HOME.replace(b"{", b'{"surface": "x", ', 1)),
        "a field twice, the last one wrong": (422, HOME.replace(b"}", b', "surface": "x"}')),
        "half a surrogate in a value": (422, with_("condicion", r'"\ud800"')),
        "half a surrogate in a name": (422, with_(r"\udfff", "0")),
        "surrogates as UTF-8": (422, HOME.replace(b"surface", b"\xed\xa0\x80")),
        "half a character": (422, HOME.replace(b"surface", b"\xc3")),
        "400 digits": (422, with_("surface", "9" * 400)),
        "400 digits after the point": (200, with_("surface", f"96.{'3' * 400}")),
        "digits without end": (422, with_("habitaciones", "9" * many)),
        "0.000...": (422, with_("surface", f"0.{'0' * many}")),
        "-0 square metres": (422, with_("surface", "-0")),
        "-0 years": (200, with_("antiguedad", "-0.0")),
        "3.0 bedrooms": (200, with_("habitaciones", "3.0")),
        "leading zero": (422, with_("surface", "096")),
        "NaN": (422, with_("surface", "NaN")),
        "Infinity": (422, with_("longitud", "-Infinity")),
        "1e400": (422, with_("surface", "1e400")),
        "1e-400": (422, with_("surface", "1e-400")),
        "a number of exponents": (422, with_("surface", "1" + "e1" * 20)),
        "byte order mark": (422, b"\xef\xbb\xbf" + HOME),
        "UTF-16": (422, HOME.decode().encode("utf-16")),
        "UTF-32": (422, HOME.decode().encode("utf-32")),
        "compressed": (422, gzip.compress(HOME)),
        "nothing": (422, b""),
        "NUL": (422, b"\0" + HOME),
        "cut short": (422, HOME[:-40]),
        "something after it": (422, HOME + b"{}"),
        "a comment": (422, b"/* */" + HOME),
        "a comma too many": (422, HOME.replace(b"}", b",}")),
        "a long name": (422, with_("k" * many, "0")),
        "a long value": (422, with_("condicion", json.dumps("k" * many))),
        "fields nobody knows": (422, json.dumps(home | {f"k{i}": i for i in range(many // 100)}).encode()),
        "prototype": (422, with_("__proto__", '{"surface": 96}')),
    }


LARGE = {
    "spaces around a home": (200, HOME.center(MEGABYTES)),
    "6 MB of spaces": (422, b" " * MEGABYTES),
    "more than 6 MB": (413, b" " * (MEGABYTES + 1)),
    "more than 6 MB that begin well": (413, HOME + b" " * MEGABYTES),
    "a name of 5 MB": (422, with_("k" * 5_000_000, "0")),
    "a number of 5 MB": (422, with_("surface", "9" * 5_000_000)),
    "100,000 fields": (413, b"{" + b",".join(b'"%d":0' % i for i in range(100_000)) + b"}"),
    "100,000 texts": (422, with_("condicion", json.dumps([""] * 100_000))),
}


def checked(answer: Answer, status: int) -> Any:
    """Hold an answer to its status, and to what every refusal is: small, with a reason for each thing that is wrong."""
    assert answer.status == status
    content = json.loads(answer.body)
    if status != 200:
        assert len(answer.body) <= MOST_BYTES
        assert content["detail"]
    return content


BODIES = bites(100_000)


@pytest.mark.parametrize(("status", "body"), [*BODIES.values(), *LARGE.values()], ids=[*BODIES, *LARGE])
def test_a_body_that_bites_is_answered_as_documented(ask: Ask, status: int, body: bytes) -> None:
    checked(ask("/predecir", body), status)


REFERENCES = bites(2_000)


@pytest.mark.parametrize(("status", "reference"), REFERENCES.values(), ids=REFERENCES)
def test_a_reference_that_bites_is_answered_as_documented(ask: Ask, status: int, reference: bytes) -> None:
    content = checked(ask(f"/explicar?referencia={quote(reference)}", HOME), status)

    assert status == 200 or all(problem["loc"][:2] == ["query", "referencia"] for problem in content["detail"])


@pytest.mark.parametrize("route", ["/predecir/lote", "/evaluar"])
@pytest.mark.parametrize(
    ("problems", "wrong"),
    [(11_000, dict.fromkeys(json.loads(HOME), "x")), (8_000, {}), (19_000, {f"k{i}": 0 for i in range(11)})],
    ids=["every field wrong", "every field missing", "only unknown fields"],
)
def test_a_thousand_wrong_homes_are_answered_with_a_hundred_problems_and_how_many_more(
    ask: Ask, route: str, problems: int, wrong: dict[str, Any]
) -> None:
    more = 1_000 if route == "/evaluar" else 0  # each lacks its price, too

    *listed, last = checked(ask(route, json.dumps({"viviendas": [wrong] * 1_000}).encode()), 422)["detail"]

    assert len(listed) == 100
    assert last == {
        "loc": ["body"],
        "msg": f"Y {problems + more - 100} problemas más, que no se enumeran.",
        "type": "and_more",
    }


def test_as_many_fields_as_a_thousand_homes_can_have_are_taken(ask: Ask) -> None:
    home = json.loads(HOME) | {"precio": 300_000}

    assert ask("/evaluar", json.dumps({"viviendas": [home] * 1_000}).encode()).status == 200


def request(*headers: str, path: str = "/predecir", body: bytes = HOME, method: str = "POST") -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LENGTH = f"Content-Length: {len(HOME)}"
CHUNKED = "Transfer-Encoding: chunked"
END = chunk(b"")
WIRE = {
    "as it should be": (200, request(LENGTH)),
    "in one chunk": (200, request(CHUNKED, body=chunk(HOME) + END)),
    "byte by byte": (200, request(CHUNKED, body=b"".join(chunk(bytes([byte])) for byte in HOME) + END)),
    "a chunk of no size": (400, request(CHUNKED, body=b"zz\r\n" + HOME)),
    "length too small": (422, request("Content-Length: 10")),
    "length negative": (400, request("Content-Length: -5")),
    "length no number": (400, request("Content-Length: abc")),
    "length of 30 digits": (400, request(f"Content-Length: {'9' * 30}")),
    "two lengths": (400, request(LENGTH, "Content-Length: 3")),
    "no length": (422, request()),
    "an encoding nobody knows": (400, request(LENGTH, "Transfer-Encoding: gzip")),
    "compressed, it says": (200, request(LENGTH, "Content-Encoding: gzip")),
    "an address of 50 kB": (404, request(path="/" + "a" * 50_000, method="GET", body=b"")),
    "an address with NUL": (404, request(path="/estaticos/%00", method="GET", body=b"")),
    "an address that climbs": (404, request(path="/estaticos/..%2f..%2fapi.py", method="GET", body=b"")),
    "an address that is not UTF-8": (404, request(path="/estaticos/%ff%ed%a0%80", method="GET", body=b"")),
    "an address of another host": (404, request(path="http://example.com/salud", method="GET", body=b"")),
    "1,000 headers": (200, request(LENGTH, *(f"x-{i}: y" for i in range(1_000)))),
    "a header with NUL": (400, request(LENGTH, "x: a\0b")),
    "a media type that goes on": (415, request(LENGTH).replace(b"application/json", b"application/json\xff")),
    "another kind of JSON": (415, request(LENGTH).replace(b"application/json", b"text/x+json")),
    "JSON of a kind": (200, request(LENGTH).replace(b"application/json", b"application/vnd.api+json; charset=utf-16")),
    "no method": (400, b"hello\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /salud\r\n\r\n"),
}


@pytest.mark.parametrize(("status", "sent"), WIRE.values(), ids=WIRE)
def test_http_that_lies_is_answered(server: Server, status: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS) as connection:
        connection.sendall(sent)
        line = connection.makefile("rb").readline()

    assert line.split()[1] == str(status).encode()
    assert "Traceback" not in server.log.read_text()


GONE = {
    "half a body": request("Content-Length: 5000"),
    "half a chunk": request(CHUNKED, body=b"fff\r\n" + HOME),
    "7 MB in chunks": request(CHUNKED, body=chunk(b" " * 2**20) * 7 + END),
    "half a head": b"POST /predecir HTTP/1.1\r\nHost: x\r\n",
    "100,000 headers": request(*(f"x-{i}: y" for i in range(100_000))),
    "an address of 1 MB": request(path="/" + "a" * 2**20),
}


@pytest.mark.parametrize("sent", GONE.values(), ids=GONE)
def test_a_caller_who_goes_away_or_never_ends_is_let_go(server: Server, sent: bytes) -> None:
    connection = socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS)
    try:
        connection.sendall(sent)
        with suppress(OSError):  # hung up on already
            connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):  # whatever is said, it comes to an end
            continue
    except ConnectionError:
        pass  # hung up on
    finally:
        connection.close()

    assert _over_http(server, "/predecir", HOME).status == 200
    assert "Traceback" not in server.log.read_text()


LONG = "a" * 5_000_000
EVENTS: dict[str, tuple[int, dict[str, Any]]] = {
    "a path of 5 MB": (404, {"path": f"/{LONG}"}),
    "a path to files of 5 MB": (404, {"path": f"/estaticos/{LONG}"}),
    "a path with NUL": (404, {"path": "/estaticos/%00"}),
    "escapes that are not UTF-8": (404, {"path": "/%ff%fe%ed%a0%80"}),
    "escapes that are none": (404, {"path": "/%zz%"}),
    "a query of 5 MB": (200, {"queryStringParameters": {"x": LONG}}),
    "20,000 parameters": (200, {"queryStringParameters": {str(i): "" for i in range(20_000)}}),
    "a header of 5 MB": (200, {"multiValueHeaders": {"x": [LONG]}}),
    "10,000 headers": (200, {"multiValueHeaders": {str(i): ["y"] for i in range(10_000)}}),
    "headers and cookies in all letters": (200, {"multiValueHeaders": {"cookie": ["ñ=€; \0\n"], "ж": ["漢"]}}),
}


@pytest.mark.parametrize(("status", "parts"), EVENTS.values(), ids=EVENTS)
def test_an_event_out_of_all_proportion_is_answered(status: int, parts: dict[str, Any]) -> None:
    event = json.loads((ROOT / "events" / "rest-salud.json").read_text()) | parts

    answer = lambda_handler.handler(event, SimpleNamespace(aws_request_id="r-1"))

    assert answer["statusCode"] == status
    assert len(json.dumps(answer)) < 2_000
