"""What a start spends its processor time on: its stages alone, with and without what is left out or put off here."""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable

from bench.service import ROOT

USUAL, LEAN = "import fastapi", "from app import lean; lean.import_fastapi()"
NO_PLUGINS = "import os; os.environ['PYDANTIC_DISABLE_PLUGINS'] = 'true'"
MODELS = "from app.store import EMBEDDED; data = EMBEDDED.read_bytes(); from app.model import Model"
STAGES = {
    "FastAPI as it comes": ("", USUAL),
    "without looking for plugins of pydantic": ("", f"{NO_PLUGINS}; {USUAL}"),
    "and its models of OpenAPI left unbuilt, as here": ("", LEAN),
    "making the application, FastAPI asking for pydantic 1": (
        f"{LEAN}; from app.api import create_app",
        "create_app(None)",
    ),
    "the same without, as here": (
        f"{LEAN}; from app.api import create_app",
        "with lean.without_pydantic_1(): create_app(None)",
    ),
    "boto3 and a client of S3": ("", "import boto3; boto3.client('s3', region_name='us-east-1')"),
    "obstore and a client of S3, as here": (
        "",
        "from obstore.store import S3Store; S3Store('bucket', region='us-east-1')",
    ),
    "scikit-learn's forest": ("", "import sklearn.ensemble"),
    "Powertools' log formatter, kept": (
        "import logging, json",
        "from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter",
    ),
    "SHA-256 of the model, kept": (MODELS, "import hashlib; hashlib.sha256(data).hexdigest()"),
    "opening it: checks, packing the nodes, golden rows; kept": (MODELS, "Model.load(data, sha256='0' * 64)"),
    "**this project, all of it, embedded model**": ("", "import lambda_handler"),
    "**the constant, all of it**": ("", "import bench.contestants.constant"),
}
_TIMED = """
import sys, time
{before}
began = time.process_time()
{stage}
print("took", time.process_time() - began, file=sys.stderr)
"""


def measure(rounds: int, say: Callable[[str], None]) -> dict[str, list[float]]:
    """Processor time of every stage, milliseconds, round by round."""
    taken: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for number in range(rounds + 1):  # the first writes the .pyc
        for name, (before, stage) in STAGES.items():
            milliseconds = _time(_TIMED.format(before=before, stage=stage))
            if number:
                taken[name].append(milliseconds)
        say(f"stages of a start, round {number} of {rounds}" if number else "warmed up")
    return taken


def table(taken: dict[str, list[float]]) -> list[list[str]]:
    """One row a stage: the median."""
    return [
        ["stage", "processor time"],
        *([name, f"{statistics.median(values):,.1f} ms"] for name, values in taken.items()),
    ]


def _time(code: str) -> float:
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "AWS_LAMBDA_FUNCTION_NAME": "bench", "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    return 1e3 * float(ended.stderr.split("took")[1])
