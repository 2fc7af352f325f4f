"""The bytes of the model that a run pins."""

import time
from pathlib import Path

from app.bucket import Bucket
from app.errors import DataError, StoreError
from app.settings import Settings
from app.store import EMBEDDED


def current(settings: Settings, file: Path | None = None) -> bytes:
    """The model file at this moment: the given one, else the promoted one, else the one shipped with the code.

    Unlike the API, a run doesn't fall back to the shipped model when S3 fails: it can wait, and a million prices
    of an old model help nobody. Raises StoreError or DataError.
    """
    if file is None and settings.model_uri:
        bucket = Bucket(settings)
        deadline = time.monotonic() + settings.model_load_timeout_seconds
        found = bucket.pointer(deadline, None)
        if found is None:
            raise StoreError(f"{settings.model_uri} gave no pointer")
        return bucket.artifact(deadline, found[0])
    path = file or EMBEDDED
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"the model {path} can't be read: {error.strerror}") from None
