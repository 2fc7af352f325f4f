"""Pages of other origins: who may call, as browsers ask it (CORS)."""

from fastapi.middleware.cors import CORSMiddleware
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp

from app.middleware import DEFAULT_HEADERS, SECURITY_HEADERS


class Origins(CORSMiddleware):
    """Lets the pages of these origins call; outermost, so that they can read errors too."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["content-type", "x-api-key"],
            max_age=600,  # seconds; how long a browser may remember the answer
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight, which goes no further than here and needs its security headers all the same."""
        response = super().preflight_response(request_headers)
        response.raw_headers.extend((*SECURITY_HEADERS, *DEFAULT_HEADERS))
        return response
