"""An S3 bucket on loopback that clients can only read: enough for every contestant, and as quick for all."""

import hashlib
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

DATE = "Wed, 01 Jan 2025 00:00:00 GMT"


class Bucket:
    """Serves objects under /bench/<key> until closed; `url` is the endpoint, `uri` the s3:// address."""

    uri = "s3://bench"

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        held: dict[str, tuple[bytes, str]] = {}
        self._held = held
        for name, content in objects.items():
            self.put(name, content)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # the standard library's name
                key = self.path.partition("?")[0].removeprefix("/bench/")
                data, etag = held.get(key, (None, ""))
                known = self.headers.get("If-None-Match", "").strip('"')
                status = 404 if data is None else 304 if known == etag else 200
                body = data if data is not None and status == 200 else b""
                head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\nLast-Modified: {DATE}\r\n"
                if data is not None:
                    head += f'ETag: "{etag}"\r\n'
                self.wfile.write(head.encode() + b"\r\n" + body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def put(self, key: str, data: bytes) -> None:
        """Put an object there, or another in its place."""
        self._held[key] = (data, hashlib.md5(data, usedforsecurity=False).hexdigest())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
