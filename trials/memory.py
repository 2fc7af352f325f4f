"""Whether processes grow: what they hold, looked at once a second."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Self

FEWEST = 10
"""Looks at a process, below which they say nothing."""


@dataclass
class Memory:
    """One process: MiB resident and open files, in the second tenth of the time and in the last.

    The first tenth is for warming up.
    """

    process: str
    before: float
    after: float
    mebibytes_an_hour: float
    files_before: int
    files_after: int


class Watch:
    """Looks at processes, by name and id, until the block ends; does `each_second` besides.

    After it, `broken` has a sentence for each process that says nothing, having ended or been looked at too seldom.
    """

    def __init__(self, processes: dict[str, int], each_second: Callable[[], None]) -> None:
        self._processes, self._each_second = dict(processes), each_second
        self._seen: dict[str, list[tuple[float, float, int]]] = {name: [] for name in processes}
        self.broken: list[str] = []
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        self._looking = self._thread.submit(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._looking.result()  # raises what was met and not foreseen
        self._thread.shutdown()
        self.broken += [
            f"{name} was looked at {len(self._seen[name])} times, which says nothing"
            for name in self._processes
            if len(self._seen[name]) < FEWEST
        ]

    def memory(self) -> list[Memory]:
        """What was seen of each process; nothing of too short a time."""
        return [_of(name, seen) for name, seen in self._seen.items() if len(seen) >= FEWEST]

    def _look(self) -> None:
        began = monotonic()
        while not self._stop.wait(1):
            self._each_second()
            for name, pid in list(self._processes.items()):
                try:
                    resident, files = _held(pid)
                except (OSError, IndexError):  # gone, or a zombie, which has no memory
                    del self._processes[name]
                    self.broken.append(f"{name} ended after {monotonic() - began:.0f} s")
                else:
                    self._seen[name].append((monotonic() - began, resident, files))


def _held(pid: int) -> tuple[float, int]:
    """MiB resident and open files of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _of(process: str, seen: list[tuple[float, float, int]]) -> Memory:
    tenth = len(seen) // 10
    settled = seen[tenth:]
    times, residents, _ = zip(*settled, strict=True)
    (_, before, files_before), (_, after, files_after) = (
        map(statistics.median, zip(*part, strict=True)) for part in (settled[:tenth], settled[-tenth:])
    )
    slope = statistics.linear_regression(times, residents).slope
    return Memory(process, before, after, slope * 3600, round(files_before), round(files_after))
