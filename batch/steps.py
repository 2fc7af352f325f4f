"""The steps of a run as the state machine asks for them: JSON in, JSON out."""

import logging
import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.errors import DataError
from app.observability import SERVICE
from app.settings import Settings
from batch import run
from batch.model import current
from batch.records import Range
from batch.storage import Folder, Source

RANGE_BYTES = 32 * 2**20
"""Some 400,000 rows: half a minute to a minute of one vCPU, and 250 MB of memory."""
MAX_RANGES = 10_000
"""Ranges grow beyond RANGE_BYTES before there are more of them than this: planning looks at every cut, at some 30 ms
each, and has 15 minutes."""

EXECUTION = "execution.txt"
"""In the run's folder: the ARN of the execution that works on it, or did so last."""

log = logging.getLogger(f"{SERVICE}.batch")

S3File = Annotated[str, Field(pattern=r"^s3://[a-z0-9.-]{3,63}/.*[^/]$")]


class Job(BaseModel):
    """The input of an execution."""

    model_config = ConfigDict(extra="forbid")

    source: S3File
    out: S3File
    """The folder of runs; a run has one of its own in it."""
    run: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")] = ""
    """The run to take up again; empty for a new one."""
    concurrency: Annotated[int, Field(ge=1, le=1_000)] = 50
    tolerated_failure_percentage: Annotated[float, Field(ge=0, le=100)] = 5.0
    range_bytes: Annotated[int, Field(ge=1, le=64 * 2**20)] = RANGE_BYTES


class Plan(BaseModel):
    """Cut the file into ranges."""

    step: Literal["plan"]
    name: str
    execution: str
    job: Job


class Work(BaseModel):
    """Price one of them."""

    step: Literal["work"]
    run: S3File
    range: Range


class Finish(BaseModel):
    """Count what came out."""

    step: Literal["finish"]
    run: S3File


_STEP: TypeAdapter[Plan | Work | Finish] = TypeAdapter(Annotated[Plan | Work | Finish, Field(discriminator="step")])


class Steps:
    """Plan, work, finish. What is wrong with the input is a DataError, which is not tried again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def take(self, event: Any) -> dict[str, Any]:
        """Take the step that the event names."""
        try:
            step = _STEP.validate_python(event)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise DataError(f"the input of the step can't be used: {problems}") from None
        if isinstance(step, Plan):
            return self._plan(step)
        if isinstance(step, Work):
            return self._work(step.run, step.range)
        return self._finish(step.run)

    def _plan(self, step: Plan) -> dict[str, Any]:
        job = step.job
        folder = Folder(f"{job.out}/{job.run or step.name}", self._settings)
        source = Source.find(job.source, self._settings)
        planned, pending = run.plan(
            folder,
            source,
            current(self._settings),
            range_size=max(job.range_bytes, source.size // MAX_RANGES),
            started=time.time(),
        )
        folder.write(EXECUTION, step.execution.encode())
        log.info("planned", extra={"ranges": len(planned.ranges), "pending": pending, "model": planned.model})
        bucket, _, key = folder.uri.removeprefix("s3://").partition("/")
        return {
            "run": folder.uri,
            "bucket": bucket,
            "ranges_key": f"{key}/{run.RANGES}",
            "pending": pending,
            "concurrency": job.concurrency,
            "tolerated_failure_percentage": job.tolerated_failure_percentage,
        }

    def _work(self, folder: str, part: Range) -> dict[str, Any]:
        receipt = run.worker(folder, self._settings).price(part)
        log.info("priced", extra={"range": part.number, **receipt.counts._asdict()})
        return {"range": part.number, **receipt.counts._asdict()}

    def _finish(self, folder: str) -> dict[str, Any]:
        target = Folder(folder, self._settings)
        planned = run.load(target)
        if planned is None:
            raise DataError(f"{folder} has no plan")
        summary = run.finish(target, planned, time.time())
        log.info("finished", extra={"complete": summary["complete"], **summary["counts"]})
        return summary
