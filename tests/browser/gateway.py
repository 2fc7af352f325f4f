"""An API Gateway stage in miniature, in front of the real handler.

It does what the gateway does to a page: puts a stage in front of every path, refuses POST without the key, says 429
when throttled, and hands the function an event.
"""

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI
from mangum import Mangum
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

STAGE = "prod"


class Gateway:
    """An ASGI application: everything under /prod goes through Mangum to the application."""

    def __init__(self, app: FastAPI) -> None:
        # One request at a time, in a thread with a loop of its own: one execution environment.
        self._loop = asyncio.new_event_loop()
        self._environment = ThreadPoolExecutor(1, initializer=lambda: asyncio.set_event_loop(self._loop))
        self._handler = self._environment.submit(lambda: Mangum(app, lifespan="off")).result()
        self.key = ""  # asked for when not empty
        self.throttled = 0  # how many of the coming POST requests are told to wait

    def close(self) -> None:
        """End the environment."""
        self._environment.shutdown()
        self._loop.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        prefix, _, path = request.url.path.removeprefix("/").partition("/")
        if prefix != STAGE:
            return JSONResponse({"message": "Forbidden"}, 403)
        if request.method == "POST":
            if self.key and request.headers.get("x-api-key") != self.key:
                return JSONResponse({"message": "Forbidden"}, 403)
            if self.throttled:
                self.throttled -= 1
                return JSONResponse({"message": "Too Many Requests"}, 429)
        event = _event(request, f"/{path}", await request.body())
        answer = await asyncio.get_running_loop().run_in_executor(
            self._environment, self._handler, event, SimpleNamespace(aws_request_id="r-1")
        )
        return _response(answer)


def _event(request: Request, path: str, body: bytes) -> dict[str, Any]:
    query = parse_qs(request.url.query, keep_blank_values=True)
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": request.method,
        "headers": dict(request.headers),
        "multiValueHeaders": {name: request.headers.getlist(name) for name in request.headers},
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "requestContext": {
            "resourcePath": "/{proxy+}",
            "httpMethod": request.method,
            "path": f"/{STAGE}{path}",
            "stage": STAGE,
            "identity": {"sourceIp": "127.0.0.1"},
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def _response(answer: dict[str, Any]) -> Response:
    body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
    response = Response(body, answer["statusCode"])
    several = {name: ", ".join(values) for name, values in answer["multiValueHeaders"].items()}
    response.headers.update(answer["headers"] | several)
    return response
