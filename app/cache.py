"""A folder of model files that outlives the process: what was served last, for the next start.

Several processes and functions may share it. It is a convenience: whatever goes wrong with it is a log line.
"""

import hashlib
import json
import logging
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from app.bucket import Pointer
from app.errors import StoreError
from app.observability import SERVICE

KEPT = 4  # model files; Lambda's /tmp has 512 MiB and a model a few
ABANDONED_SECONDS = 600  # a half-written file this old has lost its writer

log = logging.getLogger(f"{SERVICE}.cache")


class ModelCache:
    """Model files by digest, and the pointer under which the model of one `uri` was served last."""

    def __init__(self, folder: Path, uri: str) -> None:
        self._folder = folder
        self._remembered = folder / f"current-{hashlib.sha256(uri.encode()).hexdigest()[:16]}.json"

    def read(self, pointer: Pointer) -> bytes | None:
        """Give the file's bytes if they have the pointer's size and SHA-256, else None."""
        path = self._path(pointer)
        try:
            with path.open("rb") as file:
                data = file.read(pointer.size + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("the cached model can't be read", extra={"reason": str(error)})
            return None
        if len(data) == pointer.size and hashlib.sha256(data).hexdigest() == pointer.sha256:
            return data
        log.warning("the cached model is damaged and will be replaced", extra={"path": str(path)})
        return None

    def remembered(self) -> Pointer | None:
        """Give the pointer that `keep` was told last for this uri."""
        try:
            return Pointer.parse(self._remembered.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, StoreError) as error:
            log.warning("the remembered pointer can't be read", extra={"reason": str(error)})
            return None

    def keep(self, pointer: Pointer, data: bytes | None) -> None:
        """Write a verified model's bytes (None: they are there already), then remember its pointer."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if data is None:
                os.utime(self._path(pointer))
            else:
                self._write(self._path(pointer), data)
            self._write(self._remembered, json.dumps(pointer._asdict()).encode())
            self._tidy()
        except OSError as error:
            log.warning("the model can't be cached; serving goes on", extra={"reason": str(error)})

    def _path(self, pointer: Pointer) -> Path:
        return self._folder / f"{pointer.sha256}.safetensors"

    def _write(self, path: Path, data: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._folder, suffix=".part")
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                file.write(data)
            os.replace(name, path)  # noqa: PTH105 - mkstemp gives text
        except OSError:
            with suppress(OSError):
                os.unlink(name)  # noqa: PTH108
            raise

    def _tidy(self) -> None:
        def age(path: Path) -> float:
            try:
                return time.time() - path.stat().st_mtime
            except FileNotFoundError:  # another process tidied first
                return 0.0

        by_age = sorted(self._folder.glob("*.safetensors"), key=age)
        abandoned = [path for path in self._folder.glob("*.part") if age(path) > ABANDONED_SECONDS]
        for path in by_age[KEPT:] + abandoned:
            path.unlink(missing_ok=True)
