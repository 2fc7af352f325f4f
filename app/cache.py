"""A folder of model files that outlives the process: what was served last, for the next start.

Several processes and functions may share it. It is a convenience: whatever goes wrong with it is a log line.
"""

import fcntl
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

KEPT = 2  # model files beside the wanted one and those served last; Lambda's /tmp has 512 MiB and a model a few

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
            self._tidy(pointer)  # first: it may make the room
            if data is None:
                os.utime(self._path(pointer))
            else:
                self._write(self._path(pointer), data)
            self._write(self._remembered, json.dumps(pointer._asdict()).encode())
        except OSError as error:
            log.warning("the model can't be cached; serving goes on", extra={"reason": str(error)})

    def _path(self, pointer: Pointer) -> Path:
        return self._folder / f"{pointer.sha256}.safetensors"

    def _write(self, path: Path, data: bytes) -> None:
        try:
            self._write_once(path, data)
        except (BlockingIOError, FileNotFoundError):  # another process tidied between the file's making and its lock
            self._write_once(path, data)

    def _write_once(self, path: Path, data: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._folder, suffix=".part")
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until it is closed or this process dies
                file.write(data)
                file.flush()
                os.replace(name, path)  # noqa: PTH105 - mkstemp gives text
        except OSError:
            with suppress(OSError):
                os.unlink(name)  # noqa: PTH108
            raise

    def _tidy(self, wanted: Pointer) -> None:
        """Remove what killed writers left, and models that neither are wanted nor were served last by anybody here."""
        now = time.time()

        def age(path: Path) -> float:
            try:
                return abs(now - path.stat().st_mtime)  # the clock may have been set back since
            except FileNotFoundError:  # another process tidied first
                return 0.0

        kept = {self._path(wanted).name}
        for memory in self._folder.glob("current-*.json"):
            with suppress(OSError, StoreError):  # whoever remembers by it will say so
                kept.add(self._path(Pointer.parse(memory.read_bytes())).name)
        others = [path for path in self._folder.glob("*.safetensors") if path.name not in kept]
        abandoned = [path for path in self._folder.glob("*.part") if _is_abandoned(path)]
        for path in sorted(others, key=age)[KEPT:] + abandoned:
            path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    """Whether a half-written file has lost its writer, and with it the lock that `_write` took."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, gone, or somebody else's
        return False
    return True
