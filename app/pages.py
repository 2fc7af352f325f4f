"""What people open in a browser: the estimator at `/estimar`, and the API's documentation.

All of it comes from files of this image and from relative addresses: it works with no network, behind a stage
(`/prod/estimar`) and behind a custom domain.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from os import PathLike, stat_result
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

from app.model import Model
from app.pricemap import PriceMap

_WEB = Path(__file__).parent / "web"
_ASSETS = _WEB / "estaticos"

# Swagger UI and ReDoc style their elements inline; ReDoc searches in a worker made from a blob.
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# data: is the one blank pixel with which Leaflet empties a street tile that it no longer needs.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https://tile.openstreetmap.org; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# What the pages are opened with beside the headers of every answer: no window of another page reaches into theirs, and
# they ask for nothing of the device.
_OF_PAGES = {
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_A_DAY = "public, max-age=86400"
_FOR_EVER = "public, max-age=31536000, immutable"


def add_pages(app: FastAPI, current: Callable[[], Model]) -> None:
    """Add the pages and their files to an application; `current` gives the model of the moment."""
    offline = find_spec("fastapi_offline")
    if offline is None or not offline.submodule_search_locations:
        raise RuntimeError("fastapi-offline isn't installed: install requirements/run.txt")
    app.mount("/estaticos/docs", _Files(directory=Path(offline.submodule_search_locations[0]) / "static"))
    app.mount("/estaticos/v/{version}", _Files(directory=_ASSETS))
    app.mount("/estaticos", _Files(directory=_ASSETS))
    prices = PriceMap()

    @app.get("/estimar", include_in_schema=False)
    async def page() -> Response:
        html = (_WEB / "estimar.html").read_text(encoding="utf-8")
        return HTMLResponse(
            html.replace('="estaticos/', f'="estaticos/v/{assets_version()}/'),
            headers={"content-security-policy": _PAGE_POLICY, "cache-control": "no-cache", **_OF_PAGES},
        )

    @app.get("/estimar/superficie.json", include_in_schema=False)
    def price_map(request: Request) -> Response:  # not async: the first one takes long, and so runs in a thread
        model = current()
        headers = {"etag": f'"{model.version}"', "cache-control": "no-cache"}
        if request.headers.get("if-none-match", "").removeprefix("W/") == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(prices.of(model), media_type="application/json", headers=headers)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(_WEB / "docs.html", headers={"content-security-policy": _DOCS_POLICY, **_OF_PAGES})

    @app.get("/redoc", include_in_schema=False)
    async def redoc() -> FileResponse:
        return FileResponse(_WEB / "redoc.html", headers={"content-security-policy": _DOCS_POLICY, **_OF_PAGES})


@cache
def assets_version() -> str:
    """What the page's files are called by: it changes with any of them, so that they may be kept for ever."""
    digest = hashlib.sha256()
    for path in sorted(_ASSETS.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(_ASSETS).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


class _Files(StaticFiles):
    """Static files that browsers may keep: for ever when asked for by their version, for a day without one."""

    def file_response(
        self, full_path: "str | PathLike[str]", stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        asked: str | None = scope.get("path_params", {}).get("version")
        kept = _A_DAY if asked is None else _FOR_EVER if asked == assets_version() else "no-cache"
        response.headers["cache-control"] = kept
        return response
