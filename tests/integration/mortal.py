"""The function in processes that die when they are told to. Run as a script by tests/integration/lives.py.

It imports once what the function imports and forks for each job, so that a life takes tens of milliseconds. A life
is a cold start and some invocations. Its steps are counted: whatever changes the cache folder. What a process leaves
behind changes with these alone, so to kill it before each of them is to kill it anywhere.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mangum  # noqa: F401 - here and not in every life

import app.api
import app.model
import app.store

CONTEXT = SimpleNamespace(aws_request_id="11111111-2222-3333-4444-555555555555")


CHANGES = {"fcntl.flock", "os.mkdir", "os.remove", "os.rename", "os.utime", "tempfile.mkstemp"}


class Steps:
    """Counts what the process does, and ends it before `fatal`: an event, and which one of its name."""

    def __init__(self, fatal: tuple[str, int] | None) -> None:
        self.names: list[str] = []
        self._name, self._time = fatal or ("", 0)
        self.counting = False

    def hear(self, event: str, _: tuple[Any, ...]) -> None:
        """Take note of an audit event."""
        if not self.counting or event not in CHANGES:
            return
        self.names.append(event)
        if event == self._name and self.names.count(event) == self._time:
            os.kill(os.getpid(), signal.SIGKILL)


def fail(_: object, *homes: object) -> Any:
    """Fail as careless code does, with what it was given and what it knows in the message."""
    raise ValueError(f"{homes} {dict(os.environ)}")


def live(job: dict[str, Any], tell: Callable[..., None]) -> None:
    """Start cold and answer the events; an event that is null waits for a line of input and counts from there.

    The line says by how many seconds the clock is wrong from then on.
    """
    os.environ.clear()
    os.environ.update(job["environment"])
    ahead = 0.0
    right = time.time
    time.time = lambda: right() + ahead
    steps = Steps(job["fatal"])
    sys.addaudithook(steps.hear)
    steps.counting = None not in job["events"]

    import lambda_handler  # noqa: PLC0415 - the cold start

    if job["failing"]:
        for name in ("price", "explain"):
            setattr(app.model.Model, name, fail)
    answers = []
    for event in job["events"]:
        if event is None:
            tell(waiting=True)
            ahead = float(sys.stdin.readline())
            steps.counting = True
        else:
            answers.append(lambda_handler.handler(event, CONTEXT))
    steps.counting = False
    tell(answers=answers, did=steps.names)


def main() -> None:
    """Live one life for each line of input."""
    out = os.dup(1)

    def tell(**fields: Any) -> None:
        os.write(out, json.dumps(fields).encode() + b"\n")

    while line := sys.stdin.readline():
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            with Path(job["log"]).open("ab") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            try:
                tell(pid=os.getpid())
                live(job, tell)
            finally:
                sys.stdout.flush()
                os._exit(0)
        _, status = os.waitpid(child, 0)
        tell(ended=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
