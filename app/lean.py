"""FastAPI and pydantic without what no request here needs; docs/performance.md says what that saves a cold start.

What is put off happens when it is asked for: FastAPI's models of OpenAPI are built for the first reader of /docs.
"""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

from pydantic import BaseModel


def import_fastapi() -> None:
    """Import FastAPI, before anything else does, and leave its 40 models of OpenAPI unbuilt until they are used."""
    # No plugin of pydantic's is installed here; to know that, it would read the metadata of every package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")
    with without_pydantic_1():
        BaseModel.model_config["defer_build"] = True  # what a model's own configuration starts from
        try:
            import fastapi  # noqa: F401, PLC0415
        finally:
            del BaseModel.model_config["defer_build"]


@contextmanager
def without_pydantic_1() -> Generator[None]:
    """Let FastAPI find no pydantic 1 to ask whether a route's models are of it: it would be imported to be asked."""
    hidden = "pydantic.v1" not in sys.modules
    if hidden:
        sys.modules["pydantic.v1"] = None  # type: ignore[assignment]  # how Python marks what can't be imported
    try:
        yield
    finally:
        if hidden:
            del sys.modules["pydantic.v1"]
