"""Plays the Lambda service for the real runtime client: one process, its Runtime API on loopback, invocations."""

import fcntl
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 60
API = "/2018-06-01/runtime"


class FunctionError(Exception):
    """The function failed to start or to answer; the message holds what it wrote."""


class _Request(NamedTuple):
    connection: socket.socket
    method: str
    path: str
    body: bytes


class Environment:
    """One execution environment: starts the runtime client with a handler and invokes it, one event at a time.

    The server is a few system calls on purpose: what it spends is measured with every invocation. `began` and
    `answered` are when the process was started and when its last answer had come (time.perf_counter()).
    """

    def __init__(self, handler: str, variables: Mapping[str, str]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 # closed with the environment
        # TemporaryFile leaves out what mode "a" means; without it the child goes on at its old place after forget()
        fcntl.fcntl(self._log, fcntl.F_SETFL, os.O_APPEND)
        self._waiting: socket.socket | None = None
        self._invocations = 0
        self.began = self.answered = perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", handler],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "LANG": "C.UTF-8",
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._listener.getsockname()[1]}",
                "AWS_LAMBDA_FUNCTION_NAME": "bench",
                "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
                "AWS_REGION": "us-east-1",
                "LAMBDA_TASK_ROOT": str(ROOT),
                **variables,
            },
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr] # only sockets are registered
        self._selector.close()
        self._log.close()

    def invoke(self, event: bytes) -> tuple[float, dict[str, Any]]:
        """Hand out one event; seconds from there until the whole answer was read, and the answer.

        Raises FunctionError when there is none.
        """
        while self._waiting is None:
            self._next()
        self._invocations += 1
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(event)}\r\n"
            f"Lambda-Runtime-Aws-Request-Id: {self._invocations:032x}\r\n"
            "Lambda-Runtime-Deadline-Ms: 4102444800000\r\n"
            "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:bench\r\n"
            "Lambda-Runtime-Trace-Id: Root=1-0-0;Sampled=0\r\n\r\n"
        )
        connection, self._waiting = self._waiting, None
        began = perf_counter()
        connection.sendall(head.encode() + event)
        while (body := self._next()) is None:
            continue
        self.answered = perf_counter()
        return self.answered - began, json.loads(body)

    @property
    def pid(self) -> int:
        """Of the runtime client."""
        return self._process.pid

    def forget(self) -> None:
        """Throw away what the function has written, which in a long run is a lot."""
        self._log.truncate(0)

    def peak_mebibytes(self) -> float:
        """The most memory that the process has ever held (VmHWM)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def _next(self) -> bytes | None:
        """Serve one request of the runtime client; the body of an answer, None for anything else."""
        request = self._request()
        if request.path == f"{API}/invocation/next":
            self._waiting = request.connection
            return None
        request.connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        if request.path.endswith("/response"):
            return request.body
        raise FunctionError(f"{request.path}: {request.body.decode()[:2000]}\n{self._written()}")

    def _request(self) -> _Request:
        while True:
            ready = self._selector.select(PATIENCE_SECONDS)
            if not ready or self._process.poll() is not None:
                raise FunctionError(f"no answer\n{self._written()}")
            for key, _ in ready:
                connection = key.fileobj
                assert isinstance(connection, socket.socket)  # noqa: S101 # nothing else is registered
                if connection is self._listener:
                    accepted, _ = connection.accept()
                    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._selector.register(accepted, selectors.EVENT_READ)
                elif (request := _read(connection)) is not None:
                    return request
                else:
                    self._selector.unregister(connection)
                    connection.close()

    def _written(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-4000:]


def _read(connection: socket.socket) -> _Request | None:
    """Read one HTTP request; None when the client has closed the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(1 << 20)
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    method, path, _ = line.split()
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    if headers.get("expect") == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if headers.get("transfer-encoding") == "chunked":
        return _Request(connection, method, path, _chunks(connection, body))
    parts = [body]
    missing = int(headers.get("content-length", 0)) - len(body)
    while missing > 0:
        parts.append(connection.recv(min(missing, 1 << 20)))
        missing -= len(parts[-1])
    return _Request(connection, method, path, b"".join(parts))


def _chunks(connection: socket.socket, data: bytes) -> bytes:
    parts: list[bytes] = []
    while True:
        while b"\r\n" not in data:
            data += connection.recv(1 << 20)
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        while len(data) < length + 2:
            data += connection.recv(1 << 20)
        if length == 0:
            return b"".join(parts)
        parts.append(data[:length])
        data = data[length + 2 :]
