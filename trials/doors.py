"""API Gateway in miniature: WSGI applications that hand each request to a function as the event it would be."""

import base64
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response

from bench.service import Environment

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Door:
    """A WSGI application in front of one execution environment."""

    def __init__(self, function: Environment, event: Callable[[Request], dict[str, Any]]) -> None:
        self._function = function
        self._event = event

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request."""
        _, answer = self._function.invoke(json.dumps(self._event(Request(environ))).encode())
        body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
        response = Response(body, answer["statusCode"], answer["headers"])
        for name, values in answer.get("multiValueHeaders", {}).items():
            response.headers.setlist(name, values)
        return response(environ, start_response)


def rest_api(request: Request) -> dict[str, Any]:
    """The event of a REST API."""
    query = request.args.to_dict(flat=False)
    return {
        "resource": "/{proxy+}",
        "path": request.path,
        "httpMethod": request.method,
        "headers": dict(request.headers),
        "multiValueHeaders": {name: request.headers.getlist(name) for name in request.headers.keys()},  # noqa: SIM118
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "requestContext": {"stage": "prod", "identity": {"sourceIp": "127.0.0.1"}},
        **_body(request),
    }


def http_api(request: Request) -> dict[str, Any]:
    """The event of an HTTP API, which a function URL's is too, with a stage in front of the path."""
    http = {"method": request.method, "path": f"/etapa{request.path}", "sourceIp": "127.0.0.1"}
    return {
        "version": "2.0",
        "rawQueryString": request.query_string.decode("latin-1"),
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {"stage": "etapa", "http": http},
        **_body(request),
    }


def _body(request: Request) -> dict[str, Any]:
    data = request.get_data()
    try:
        return {"body": data.decode() or None, "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(data).decode(), "isBase64Encoded": True}
