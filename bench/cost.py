"""Measured durations -> dollars for a million predictions. AWS's list prices of us-east-1, as of June 2025."""

from math import ceil

GB_SECOND = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
PER_MILLION_REQUESTS = {"Lambda": 0.20, "REST API": 3.50}
FULL_CORE_MB = 1769
"""Lambda gives CPU in proportion to memory; this much is one core, which is what is measured here."""
MEMORY_MB = (512, 1769)
PREDICTIONS = 1_000_000
BATCH = 1_000


def table(functions: dict[str, dict[str, float]], names: list[str]) -> list[list[str]]:
    """A row for each function and memory size; dollars. Durations are measured ones, in ms."""
    head = ["function", "memory", "Lambda, x86_64", "Lambda, arm64", "with the REST API, x86_64"]
    rows = [[*head, "a million homes, 1,000 a request", "1,000 cold starts"]]
    for name in names:
        taken = functions[name]
        for memory in MEMORY_MB:
            million = {
                kind: PREDICTIONS * _dollars(taken["warm"], memory, kind) + PER_MILLION_REQUESTS["Lambda"]
                for kind in GB_SECOND
            }
            whole = million["x86_64"] + PER_MILLION_REQUESTS["REST API"]
            batches = (
                PREDICTIONS / BATCH * (_dollars(taken["batch"], memory) + sum(PER_MILLION_REQUESTS.values()) / 1e6)
            )
            rows.append(
                [
                    name,
                    f"{memory:,} MB",
                    *(f"{dollars:.2f}" for dollars in million.values()),
                    f"{whole:.2f}",
                    f"{batches:.4f}",
                    f"{1000 * _dollars(taken['cold'], memory):.4f}",
                ]
            )
    return rows


def _dollars(milliseconds: float, memory: int, kind: str = "x86_64") -> float:
    """One invocation: whole milliseconds are billed, and a smaller function computes that much slower."""
    billed = ceil(milliseconds * max(1.0, FULL_CORE_MB / memory))
    return billed / 1e3 * memory / 1024 * GB_SECOND[kind]
