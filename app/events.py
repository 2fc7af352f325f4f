"""What Lambda is invoked with: an HTTP request as an event, and now and then something else.

Mangum makes requests of events and raises at what it can't read, which a gateway would turn into a 502. Here every
event gets an answer.
"""

import logging
from typing import Any

from mangum import Mangum
from mangum.protocols import HTTPCycle
from mangum.types import LambdaHandler, Scope
from pydantic_core import to_json

from app.errors import EventError
from app.middleware import DEFAULT_HEADERS, SECURITY_HEADERS
from app.observability import SERVICE

_log = logging.getLogger(SERVICE)


class Adapter(Mangum):
    """Mangum without a lifespan, answering 400 to events that are no request or a broken one."""

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Answer an event in the form that the front door wants which it came through."""
        try:
            front, scope, body = self._read(event, context)
        except EventError as error:
            _log.warning("event refused", extra={"kind": _kind(event), "reason": str(error)})
            return _refusal(str(error), context.aws_request_id if context else None)
        return front(HTTPCycle(scope, body)(self.app))

    def _read(self, event: Any, context: Any) -> tuple[LambdaHandler, Scope, bytes]:
        # What Mangum raises at what it can't read. The application runs later, so none of it hides a fault of ours.
        problem = "El evento no es una petición HTTP."
        try:
            front = self.infer(_without_stage(event), context)
            problem = "El método, la ruta, la consulta o las cabeceras de la petición no se pueden leer."
            scope = front.scope
            for text in (scope["method"], scope["path"]):
                text.encode()
            problem = "El cuerpo de la petición no es texto, o no es el base64 que dice ser."
            body = front.body
        except KeyError as error:
            raise EventError(f"El evento no es una petición HTTP: le falta «{error.args[0]}».") from error
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise EventError(problem) from error
        return front, scope, body


def _without_stage(event: dict[str, Any]) -> dict[str, Any]:
    """HTTP APIs put their stage in front of the path; REST APIs and function URLs don't."""
    context = event["requestContext"]
    prefix = f"/{context.get('stage')}"
    path = context.get("http", {}).get("path", "")
    if path != prefix and not path.startswith(f"{prefix}/"):
        return event
    http = context["http"] | {"path": path.removeprefix(prefix) or "/"}
    return event | {"requestContext": context | {"http": http}}


def _refusal(detail: str, request_id: str | None) -> dict[str, Any]:
    headers = {name.decode(): value.decode() for name, value in (*SECURITY_HEADERS, *DEFAULT_HEADERS)}
    headers["content-type"] = "application/json"
    if request_id:
        headers["x-request-id"] = request_id
    return {
        "statusCode": 400,
        "headers": headers,
        "body": to_json({"detail": detail}).decode(),
        "isBase64Encoded": False,
    }


_MARKS = {
    "connectionId": "websocket",
    "elb": "load balancer",
    "http": "HTTP API or function URL",
    "httpMethod": "REST API",
    "s3": "S3",
    "Sns": "SNS",
    "receiptHandle": "SQS",
    "dynamodb": "DynamoDB",
    "kinesis": "Kinesis",
    "cf": "CloudFront",
    "detail-type": "EventBridge",
    "awslogs": "CloudWatch Logs",
}
"""Keys that events of one kind have, the event itself, its context or its first record."""


def _kind(event: Any) -> str:
    """Where an event seems to come from, for the log; nothing that is in it."""
    if not isinstance(event, dict):
        return type(event).__name__
    records = event.get("Records")
    parts = [event, event.get("requestContext"), records[0] if isinstance(records, list) and records else None]
    return next(
        (kind for mark, kind in _MARKS.items() for part in parts if isinstance(part, dict) and mark in part), "unknown"
    )
