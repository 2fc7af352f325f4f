"""Runs on Step Functions, seen from a person's machine: start, watch, bring home."""

import json
import os
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from obstore.auth.boto3 import Boto3CredentialProvider

from app.errors import DataError, StoreError
from app.settings import Settings
from batch import run
from batch.merge import merge
from batch.pricing import Counts
from batch.steps import EXECUTION
from batch.storage import Folder, Source

POLL_SECONDS = 2.0


@dataclass(frozen=True)
class Started:
    """An execution and the folder of its run."""

    arn: str
    uri: str


@dataclass(frozen=True)
class State:
    """How far a run is."""

    state: str
    """RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED, as Step Functions has it."""
    arn: str
    uri: str
    cause: str = ""
    """Why it failed."""
    ranges: int = 0
    """In all; 0 while it is being planned."""
    done: int = 0
    failed: int = 0
    """Ranges that were given up after their retries."""
    counts: Counts = field(default_factory=Counts)
    manifest: dict[str, Any] = field(default_factory=dict)
    """Once it is finished."""

    @property
    def succeeded(self) -> bool:
        """Whether every row is there."""
        return self.state == "SUCCEEDED" and bool(self.manifest.get("complete"))

    def summary(self) -> dict[str, Any]:
        """What a person wants to know."""
        return {
            "state": self.state,
            "run": self.uri,
            "execution": self.arn,
            "ranges": {"total": self.ranges, "done": self.done, "failed": self.failed},
            "rows": self.counts._asdict(),
            "missing": self.manifest.get("missing", []),
            "cause": self.cause,
        }


class Cloud:
    """Step Functions and S3 with the credentials and the Region that the AWS tools use. Methods raise StoreError."""

    def __init__(self, settings: Settings, session: boto3.Session | None = None) -> None:
        session = session or boto3.Session()
        region = session.region_name or settings.aws_region
        self._settings = settings.model_copy(update={"aws_region": region})
        self._credentials = Boto3CredentialProvider(session)
        self._engine: Any = session.client("stepfunctions", region_name=region)

    def submit(self, machine: str, source: str, out: str, **limits: float) -> Started:
        """Start a run. Raises DataError at once when the file isn't there.

        limits: concurrency, tolerated_failure_percentage, range_bytes, as in `batch.steps.Job`.
        """
        for uri in (source, out):
            if not uri.startswith("s3://"):
                raise DataError(f"{uri} should be an address on S3: s3://bucket/key")
        run.format_of(source)
        Source.find(source, self._settings, self._credentials)
        job = {"source": source, "out": out.rstrip("/")}
        name = _name()
        return self._start(machine, job | limits, name, name)

    def resume(self, machine: str, which: str, **limits: float) -> Started:
        """Start an execution for the ranges that a run is missing; limits are those of `submit`."""
        arn, uri = self._find(which)
        out, _, name = uri.rpartition("/")
        planned = self._planned(uri)
        if planned is None:
            raise DataError(f"{uri} was never planned: submit it anew")
        if self.status(arn or uri).state == "RUNNING":
            raise DataError(f"{uri} is still at work")
        job = {"source": planned.source, "out": out, "run": name}
        return self._start(machine, job | limits, _name(), name)

    def status(self, which: str, known: "dict[int, run.Receipt] | None" = None) -> State:
        """Look at a run. known: receipts that were read before; those read now are added to it."""
        arn, uri = self._find(which)
        planned = self._planned(uri)
        if not arn and planned:
            arn = self._folder(uri).read(EXECUTION).decode()
        execution = self._call("describe_execution", executionArn=arn) if arn else {"status": "UNKNOWN"}
        state, folder = execution["status"], self._folder(uri)
        cause = _message(execution.get("cause", ""))
        if planned is None:
            return State(state, arn, uri, cause)
        known = {} if known is None else known
        known.update(run.receipts(folder, planned, known))
        finished = state != "RUNNING" and folder.stat(run.MANIFEST) is not None
        return State(
            state,
            arn,
            uri,
            cause,
            len(planned.ranges),
            len(known),
            self._failed(arn),
            run.total(known),
            json.loads(folder.read(run.MANIFEST)) if finished else {},
        )

    def wait(self, arn: str, report: run.Report) -> State:
        """Stay until a run has ended, reporting ranges as they come."""
        known: dict[int, run.Receipt] = {}
        while True:
            state = self.status(arn, known)
            if state.ranges:
                report(run.Progress(state.done, state.ranges, state.counts, state.failed))
            if state.state != "RUNNING":
                return state
            time.sleep(POLL_SECONDS)

    def fetch(self, which: str, out: Path, *, overwrite: bool, report: run.Report) -> dict[str, Any]:
        """Merge the results of a complete run into a file; gives the manifest."""
        if out.exists() and not overwrite:
            raise DataError(f"{out} is there already: pass --overwrite")
        if not out.absolute().parent.is_dir():
            raise DataError(f"there is no folder {out.absolute().parent}")
        run.format_of(str(out))
        state = self.status(which)
        if not state.manifest.get("complete"):
            raise DataError(f"{state.uri} is not complete ({state.state.lower()}): {state.cause or 'wait for it'}")
        folder, planned = self._folder(state.uri), self._planned(state.uri)
        if planned is None:
            raise StoreError(f"{state.uri} has lost its plan")
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            report(run.Progress(done, len(planned.ranges)))

        unfinished = out.absolute().with_name(f".{out.name}.{os.getpid()}.unfinished")
        rows = merge(folder, planned, run.receipts(folder, planned), out.absolute(), unfinished, advance)
        if rows != state.manifest["counts"]["rows"]:
            raise StoreError(f"{out} has {rows} rows and the manifest says {state.manifest['counts']['rows']}")
        return state.manifest

    def _start(self, machine: str, job: dict[str, Any], name: str, run_name: str) -> Started:
        started = self._call("start_execution", stateMachineArn=machine, name=name, input=json.dumps(job))
        return Started(started["executionArn"], f"{job['out']}/{run_name}")

    def _find(self, which: str) -> tuple[str, str]:
        """The execution's ARN (empty when only the plan knows it) and the run's folder."""
        if which.startswith("s3://"):
            return "", which.rstrip("/")
        execution = self._call("describe_execution", executionArn=which)
        try:
            job = json.loads(execution["input"])
            return which, f"{job['out']}/{job.get('run') or execution['name']}"
        except (KeyError, ValueError, TypeError):
            raise DataError(f"{which} is an execution of something else") from None

    def _failed(self, arn: str) -> int:
        runs = self._call("list_map_runs", executionArn=arn)["mapRuns"] if arn else []
        counts = [self._call("describe_map_run", mapRunArn=found["mapRunArn"])["itemCounts"] for found in runs]
        return sum(count["failed"] + count["timedOut"] + count["aborted"] for count in counts)

    def _planned(self, uri: str) -> run.Plan | None:
        return run.load(self._folder(uri))

    def _folder(self, uri: str) -> Folder:
        return Folder(uri, self._settings, self._credentials)

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._engine, operation)(**parameters)
        except (ClientError, BotoCoreError) as error:
            raise StoreError(f"Step Functions: {error}") from None
        return answer


def _message(cause: str) -> str:
    """What a step said, out of the JSON that Lambda makes of an exception."""
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause


def _name() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
