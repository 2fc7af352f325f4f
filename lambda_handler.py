"""The composition root: environment -> model source -> application -> Lambda handler.

On Lambda this module is imported once per execution environment, in INIT: the model is loaded here, before the
first request. `uvicorn lambda_handler:app` serves the same application anywhere else.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from app import lean

lean.import_fastapi()  # in its own way, and so before what follows would

from app import observability
from app.api import create_app
from app.events import Adapter
from app.settings import Settings
from app.store import ModelSource

settings = Settings.from_environment()
observability.configure(settings)
source = ModelSource(settings)
source.load()


@asynccontextmanager
async def _looking_after_the_model(_: object) -> AsyncGenerator[None]:
    """Where one process serves for long (uvicorn; Mangum runs no lifespan), refresh beside the requests."""

    async def tick() -> None:
        while True:
            await asyncio.sleep(1)  # how often to ask whether it is time, which is a look at the clock
            await asyncio.to_thread(source.refresh)

    task = asyncio.create_task(tick())
    try:
        yield
    finally:
        task.cancel()


with lean.without_pydantic_1():
    app = create_app(source, settings.cors_origins, lifespan=_looking_after_the_model)
_adapter = Adapter(app, lifespan="off", api_gateway_base_path=settings.api_root_path or "/")


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Answer a request that came through API Gateway or a function URL; refuse an event that is none."""
    observability.invocation(context)
    source.refresh()
    return _adapter(event, context)
