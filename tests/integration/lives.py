"""Lives of the function: each a process that starts cold, answers, and may be killed at any of its steps."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.conftest import ROOT
from tests.integration import servers

Event = dict[str, Any]
Step = tuple[str, int]
"""What is done, and which one of its name."""
WAIT = None
"""In place of an event: wait for `go_on`, and count steps from there."""


@dataclass
class Life:
    """What became of one."""

    ended: int = 0
    """The exit code; -9 when it was killed."""
    did: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def steps(self) -> list[Step]:
        return [(name, self.did[: i + 1].count(name)) for i, name in enumerate(self.did)]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(answer["body"]) for answer in self.answers]


class Lives:
    """One function's lives, one after another; all have the same settings but for what is said."""

    def __init__(self, process: subprocess.Popen[str], log: Path, settings: Mapping[str, str]) -> None:
        self._process = process
        self._settings = {**servers.CREDENTIALS, **settings}
        self.log = log
        log.touch()

    def begin(
        self,
        events: Sequence[Event | None],
        settings: Mapping[str, str] = MappingProxyType({}),
        *,
        fatal: Step | None = None,
        failing: bool = False,
    ) -> int:
        """Begin a life, which ends before its `fatal` step or fails to price; gives its process id."""
        environment = {**self._settings, **settings}
        job = {"events": events, "fatal": fatal, "failing": failing, "log": str(self.log), "environment": environment}
        self._write(json.dumps(job))
        return int(self._read()["pid"])

    def until_it_waits(self) -> None:
        """Return once the life that was begun has come to WAIT."""
        while not self._read().get("waiting"):
            pass

    def go_on(self, clock_ahead_seconds: float = 0) -> None:
        """Let a life that waits go on, with a clock that is so far off."""
        self._write(str(clock_ahead_seconds))

    def end(self) -> Life:
        """Wait for the end of the life that was begun."""
        life = Life()
        while True:
            told = self._read()
            for name, value in told.items():
                setattr(life, name, value)
            if "ended" in told:
                return life

    def live(
        self, events: Sequence[Event | None], settings: Mapping[str, str] = MappingProxyType({}), **kinds: Any
    ) -> Life:
        """Begin a life and wait for its end."""
        self.begin(events, settings, **kinds)
        return self.end()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the lives are over:\n{self.log.read_text()[-2000:]}")
        told: dict[str, Any] = json.loads(line)
        return told


@contextmanager
def mortals(around: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    """A process that lives are forked from, until the block ends; `around` is a command that runs what follows it."""
    command = [*around, sys.executable, "-m", "tests.integration.mortal"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
