"""The composition root of batches: one step of a run for each invocation, as batch/machine.asl.json asks for it.

A module of its own, so that the API's cold start imports nothing of it; the image is the same.
"""

from typing import Any

from app.observability import configure, invocation
from app.settings import Settings
from batch.steps import Steps

settings = Settings.from_environment()
configure(settings)
steps = Steps(settings)


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Take one step: {"step": "plan" | "work" | "finish", ...}."""
    invocation(context)
    return steps.take(event)
