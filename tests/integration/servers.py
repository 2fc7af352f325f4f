"""Real S3 servers on free loopback ports, each a process of its own that is stopped by its id."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from random import Random

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing-secret", "AWS_REGION": "us-east-1"}


def free_port(also: int = 0) -> int:
    """A port that nobody listens on, nor on the one `also` above it (SeaweedFS puts gRPC 10000 higher)."""
    random = Random()
    for _ in range(1000):
        port = random.randint(20_000, 30_000)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                if also:
                    second.bind(("127.0.0.1", port + also))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


@contextlib.contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | CREDENTIALS | environment
        )
        try:
            yield process
        finally:
            process.kill()  # nothing of it is to be kept, and SeaweedFS takes 10 seconds to stop by itself
            process.wait()


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()  # noqa: S310 - an address made here
        except urllib.error.HTTPError as refusal:
            refusal.close()
            return  # a refusal is an answer
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not answer at {url}:\n{log.read_text()[-2000:]}")


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[int]:
    """Moto's server; gives its port."""
    port, log = free_port(), folder / "moto.log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, log) as process:
        wait_until_it_answers(f"http://127.0.0.1:{port}/", process, log)
        yield port


@contextlib.contextmanager
def seaweedfs(folder: Path) -> Iterator[int]:
    """SeaweedFS: master, volume, filer and S3 gateway; checks signatures. Gives the gateway's port."""
    log, data = folder / "seaweedfs.log", folder / "seaweedfs"
    data.mkdir()
    ports = {name: free_port(also=10_000) for name in ("master", "volume", "filer", "s3", "admin")}
    command = [
        str(Path(sys.executable).with_name("weed")),
        "mini",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{name}.port={port}" for name, port in ports.items()),
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-webdav=false",
        "-admin.ui=false",
    ]
    with running(command, log) as process:
        wait_until_it_answers(f"http://127.0.0.1:{ports['s3']}/", process, log)
        yield ports["s3"]
