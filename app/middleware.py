"""What happens around every request: a request id, one log line, security headers, and a 500 that tells nothing."""

import logging
from http import HTTPMethod
from time import perf_counter
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import AnswerCutShort
from app.observability import SERVICE, answered, trace

_log = logging.getLogger(SERVICE)

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # Heeded by browsers that came over HTTPS; the gateway has nothing else. Not for subdomains, which are others'.
    (b"strict-transport-security", b"max-age=31536000"),
)
"""On every answer; none sets one of these itself."""
DEFAULT_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
"""On every answer that says nothing else; pages and files do."""
_METHODS = frozenset(HTTPMethod)
_UNKNOWN = "?"


class Surroundings:
    """ASGI middleware; the outermost but CORS.

    A failure becomes the response here and not in Starlette's own handler, which raises it again after
    answering: behind Mangum that would log every traceback twice.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add to what comes back."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        context = scope.get("aws.context")
        request_id = context.aws_request_id if context else uuid4().hex
        began = perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # by hand: starlette's MutableHeaders takes a fifth of a whole request for this
                given = message["headers"]
                names = {name for name, _ in given}
                absent = [header for header in DEFAULT_HEADERS if header[0] not in names]
                message["headers"] = [*given, (b"x-request-id", request_id.encode()), *SECURITY_HEADERS, *absent]
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - not swallowed: logged, and answered with a 500
            _log.error("request failed", extra={"request_id": request_id, "path": _route(scope), **trace(error)})
            if status:
                raise AnswerCutShort("An answer failed after it had begun; the log has the reason.") from None
            await _answer_500(send_with_headers, request_id)
        milliseconds = (perf_counter() - began) * 1e3
        method = scope["method"] if scope["method"] in _METHODS else _UNKNOWN
        answered(method, _route(scope), status, milliseconds, scope.get("tally", {}))


def _route(scope: Scope) -> str:
    """The route's own words: a caller's path may hold anything, a home or a line break included."""
    route = scope.get("route")
    return _UNKNOWN if route is None else route.path


async def _answer_500(send: Send, request_id: str) -> None:
    body = f'{{"detail":"Algo ha fallado al responder. Si lo comunicas, indica la petición {request_id}."}}'
    await send({"type": "http.response.start", "status": 500, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body.encode()})
