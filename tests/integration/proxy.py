"""A proxy between a client and an S3 server that does, on request, what networks and servers do on bad days.

It forwards bytes as they come (headers included, so request signatures stay valid) and asks `fault` about every
request. Nothing here knows what is tested.
"""

import http.client
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    """By their names in lower case."""


@dataclass(frozen=True)
class Fault:
    """What to do to one answer; the default does nothing."""

    status: int | None = None  # answer with this status instead of asking the server
    body: bytes = b""  # what goes with `status`
    refuse: bool = False  # close before answering
    status_lost: bool = False  # let the server do what was asked, and close without a word of answer
    reset_after: int | None = None  # send so many bytes of the body, then a TCP reset
    cut_after: int | None = None  # send so many bytes of the body, then close as if that were all
    flip_bit: int | None = None  # invert this bit of the body
    delay_seconds: float = 0.0  # wait before the first byte
    trickle: tuple[int, float] | None = None  # (bytes, seconds): the body in drops of so many bytes, with pauses
    half_way: Callable[[], object] | None = None  # called when half the body is sent, before the rest is


OK = Fault()
Decide = Callable[[Request], Fault]


@dataclass
class Proxy:
    """Listens on a loopback port of its own; `fault` decides what happens to each request."""

    upstream_port: int
    fault: Decide = lambda _request: OK
    requests: list[tuple[Request, int]] = field(default_factory=list)  # what was asked, and the status that was sent

    def __post_init__(self) -> None:
        proxy = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    while _exchange(proxy, self):
                        pass
                except OSError:
                    return  # the client went away, which is its right

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, suffix: str) -> int:
        """How many requests asked for a path with this ending."""
        return sum(request.path.partition("?")[0].endswith(suffix) for request, _ in self.requests)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _exchange(proxy: Proxy, handler: socketserver.StreamRequestHandler) -> bool:
    start = handler.rfile.readline()
    if not start.strip():
        return False
    method, path, _ = start.decode("latin-1").split(" ", 2)
    headers = []
    while (line := handler.rfile.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name, value.strip()))
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    sent_body = handler.rfile.read(length)
    request = Request(method, path, {name.lower(): value for name, value in headers})
    fault = proxy.fault(request)
    if fault.refuse:
        _reset(handler.connection)
        return False
    if fault.delay_seconds:
        time.sleep(fault.delay_seconds)
    if fault.status is not None:
        proxy.requests.append((request, fault.status))
        handler.wfile.write(_head(fault.status, [("Content-Length", str(len(fault.body)))]) + fault.body)
        return True
    upstream = http.client.HTTPConnection("127.0.0.1", proxy.upstream_port, timeout=30)
    try:
        upstream.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            upstream.putheader(name, value)
        upstream.endheaders(sent_body or None)
        response = upstream.getresponse()
        body = response.read()
    finally:
        upstream.close()
    proxy.requests.append((request, response.status))
    if fault.status_lost:
        _reset(handler.connection)
        return False
    kept = [
        (n, v)
        for n, v in response.getheaders()
        if n.lower() not in {"connection", "transfer-encoding", "content-length"}
    ]
    size = response.getheader("Content-Length") or str(len(body))
    if response.status != http.client.NOT_MODIFIED:
        kept.append(("Content-Length", size))
    handler.wfile.write(_head(response.status, kept))
    return _send_body(handler, body, fault)


def _send_body(handler: socketserver.StreamRequestHandler, body: bytes, fault: Fault) -> bool:
    if fault.flip_bit is not None and body:
        damaged = bytearray(body)
        damaged[fault.flip_bit // 8 % len(body)] ^= 1 << fault.flip_bit % 8
        body = bytes(damaged)
    if fault.reset_after is not None:
        handler.wfile.write(body[: fault.reset_after])
        time.sleep(0.02)  # let the bytes arrive before the reset overtakes them
        _reset(handler.connection)
        return False
    if fault.cut_after is not None:
        handler.wfile.write(body[: fault.cut_after])
        return False
    if fault.trickle is not None:
        drop, seconds = fault.trickle
        for start in range(0, len(body), drop):
            handler.wfile.write(body[start : start + drop])
            time.sleep(seconds)
        return True
    if fault.half_way is not None:
        handler.wfile.write(body[: len(body) // 2])
        fault.half_way()
        handler.wfile.write(body[len(body) // 2 :])
        return True
    handler.wfile.write(body)
    return True


def _head(status: int, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, '')}", *(f"{n}: {v}" for n, v in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
