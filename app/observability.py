"""Log lines and metrics: JSON and EMF for CloudWatch on Lambda, text for people elsewhere.

Modules log with `logging.getLogger(f"{SERVICE}.name")` and count with `emit`; `configure` decides once, in
the composition root, what becomes of both. Feature values and whole events never go through here.
"""

import logging
import sys
import time
from collections.abc import Mapping
from http import HTTPStatus
from traceback import walk_tb
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from pydantic_core import to_json

from app.settings import Settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

SERVICE: Final = "precio-madrid"
NAMESPACE: Final = "PrecioMadrid"

UNITS: Final = {
    "ColdStart": "Count",  # an environment started
    "ModelFetchTime": "Seconds",  # spent on S3 or the cache until a new model was ready
    "ModelFallback": "Count",  # a cold start that did not get the promoted model from S3
    "ModelEmbedded": "Count",  # a cold start or a refresh that left the embedded copy being served
    "ModelUnavailable": "Count",  # no model at all: callers get 503
    "ModelRefreshed": "Count",  # a newly promoted model is served
    "ModelRefreshFailed": "Count",  # it could not be asked for, or not be served; the old one stays
    "Latency": "Milliseconds",  # of one request, inside the application
    "Homes": "Count",  # priced
    "HomesCautioned": "Count",  # priced with a warning
    "Faults": "Count",  # answers with status 500 and above
}
"""Every metric there is, with its unit. The one dimension is `service`: CloudWatch charges for each value."""

FRAMES: Final = 10
"""How many of a failure's frames are logged, innermost last: more are the framework's."""

_logger = logging.getLogger(SERVICE)
_service = ""
"""The metrics' one dimension; empty where nobody reads metrics."""
_request_id: dict[str, str] = {}


def configure(settings: Settings) -> None:
    """Say where this service's log lines and metrics go; called once, before anything is logged."""
    global _service  # noqa: PLW0603 - like logging's own handlers: one destination per process
    handler: logging.Handler
    if settings.json_logs:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(_JSONFormatter(service=settings.powertools_service_name, utc=True, use_rfc3339=True))
        _service = settings.powertools_service_name
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_TextFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
        _service = ""
    _logger.handlers[:] = [handler]
    _logger.setLevel(settings.log_level)
    # Lambda's runtime client has a handler of its own on the root logger: every line would come twice
    _logger.propagate = False
    # What these would add is in our own lines already: each request again, queries (which may hold homes) included,
    # and the whole traceback of a failure.
    for name in ("mangum", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def invocation(context: "LambdaContext | None") -> None:
    """Name the invocation in the metrics and log lines that follow."""
    request_id = getattr(context, "aws_request_id", None)
    if request_id:
        _request_id["request_id"] = request_id


def emit(metrics: dict[str, float], **fields: str | float | list[int] | None) -> None:
    """Write one record of `metrics` (names from UNITS) with `fields` beside them that are not dimensions.

    On Lambda it is one EMF line; elsewhere a log line at level DEBUG.
    """
    if not _service:
        _logger.debug("metrics", extra={**metrics, **fields})
        return
    declared = {
        "Namespace": NAMESPACE,
        "Dimensions": [["service"]],
        "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in metrics],
    }
    record = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [declared]},
        "service": _service,
        **_request_id,
        **{name: field for name, field in fields.items() if field is not None},
        **{name: [float(value)] for name, value in metrics.items()},
    }
    # One write: threads don't mix their lines. Powertools' metrics would take a fifth of a warm request for this.
    sys.stdout.write(to_json(record).decode() + "\n")


def trace(error: BaseException) -> dict[str, str | list[str]]:
    """Give the fields of a log line that say what failed and where, innermost frame last.

    Not the message: it may quote a home, an address or a key.
    """
    frames = [(frame.f_code, line) for frame, line in walk_tb(error.__traceback__)][-FRAMES:]
    where = [f"{code.co_filename}:{line} {code.co_name}" for code, line in frames]
    return {"exception": type(error).__qualname__, "frames": where}


_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def answered(method: str, path: str, status: int, milliseconds: float, tally: Mapping[str, int | list[int]]) -> None:
    """Write the one record of a request: its metrics with the rest beside them, or a line for a person.

    `tally` is what `app.drift` counted, empty where nothing was priced.
    """
    if not _service:
        _logger.info("%s %s %d %.1f ms", method, path, status, milliseconds)
    else:
        faults = int(status >= HTTPStatus.INTERNAL_SERVER_ERROR)
        metrics: dict[str, float] = {"Latency": round(milliseconds, 3), "Faults": faults}
        if tally:
            metrics |= {"Homes": tally["homes"], "HomesCautioned": tally["cautioned"]}  # type: ignore[dict-item] # counts
        emit(metrics, method=method, path=path, status=status, **tally)


class _JSONFormatter(LambdaPowertoolsFormatter):
    """One JSON object a line, with the invocation's id."""

    def format(self, record: logging.LogRecord) -> str:
        for name, value in _request_id.items():
            vars(record).setdefault(name, value)
        return super().format(record)


class _TextFormatter(logging.Formatter):
    """The message, then what was passed as `extra`, as name=value."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        extras = (f"{name}={value}" for name, value in vars(record).items() if name not in _KNOWN)
        return " ".join([super().formatMessage(record), *extras])
