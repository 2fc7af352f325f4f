"""AWS' Runtime Interface Emulator with the real runtime client: one execution environment per process."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import ROOT
from tests.integration import servers

PACKED = f"samcli/local/rapid/aws-lambda-rie-{'arm64' if platform.machine() == 'aarch64' else 'x86_64'}"


def emulator_binary() -> Path:
    """The emulator: from the PATH, from an installed sam, or out of sam's wheel (pinned by hash); else skips."""
    unpacked = Path(sys.prefix) / "bin" / "aws-lambda-rie"
    for found in (shutil.which("aws-lambda-rie"), unpacked, *ROOT.glob(f".venv-deploy/lib/*/site-packages/{PACKED}")):
        if found and Path(found).exists():
            return Path(found)
    lock = (ROOT / "requirements" / "deploy.txt").read_text()
    pinned = re.search(r"^aws-sam-cli==.*(?:\n    --hash=.*)+", lock, re.MULTILINE)
    assert pinned, "requirements/deploy.txt pins no aws-sam-cli"
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder, "requirement.txt")
        requirement.write_text(pinned[0].rstrip(" \\"))
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "-d", folder, "-r", str(requirement)]
        download = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        if download.returncode:
            reason = (download.stderr.strip().splitlines() or ["no reason given"])[-1]
            pytest.skip(f"the Runtime Interface Emulator can't be had: aws-sam-cli's wheel doesn't download ({reason})")
        (wheel,) = Path(folder).glob("*.whl")
        partial = unpacked.with_name(f"{unpacked.name}.{os.getpid()}")  # another run may be doing the same
        partial.write_bytes(zipfile.ZipFile(wheel).read(PACKED))
    partial.chmod(0o755)
    partial.replace(unpacked)
    return unpacked


@dataclass
class Function:
    """An execution environment that answers invocations one after another."""

    url: str
    log: Path

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        answer = requests.post(self.url, json=event, timeout=30)
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body


@contextmanager
def function(binary: Path, log: Path, **environment: str) -> Iterator[Function]:
    """The handler under the emulator, from a cold start until the block ends."""
    front, back = servers.free_port(), servers.free_port()
    command = [
        str(binary),
        "--log-level=error",
        f"--runtime-interface-emulator-address=127.0.0.1:{front}",
        f"--runtime-api-address=127.0.0.1:{back}",
        sys.executable,
        "-m",
        "awslambdaric",
        "lambda_handler.handler",
    ]
    setting = {
        "LAMBDA_TASK_ROOT": str(ROOT),
        "PYTHONPATH": str(ROOT),
        "AWS_LAMBDA_FUNCTION_NAME": "precio",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "20",
        "AWS_SESSION_TOKEN": "",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | servers.CREDENTIALS | setting | environment,
            start_new_session=True,  # so that the runtime ends with the emulator
        )
        try:
            servers.wait_until_it_answers(f"http://127.0.0.1:{front}/", process, log)
            yield Function(f"http://127.0.0.1:{front}/2015-03-31/functions/function/invocations", log)
        finally:
            os.killpg(process.pid, 9)
            process.wait()
