"""Which model is served: loaded on cold start, looked after while warm.

S3's pointer -> the artifact, from the cache folder or from S3 -> else what this environment served last
-> else the copy shipped with the code. Whatever fails is logged and counted, and never reaches a caller
as long as there is a model to answer with.
"""

import logging
import threading
import time
from pathlib import Path
from typing import Literal, NamedTuple

from app.bucket import Bucket, Pointer
from app.cache import ModelCache
from app.errors import ArtifactError, ModelUnavailable, StoreError
from app.model import Model
from app.observability import SERVICE, emit, trace
from app.settings import Settings

EMBEDDED = Path(__file__).parent / "embedded" / "model.safetensors"

log = logging.getLogger(f"{SERVICE}.store")


class Served(NamedTuple):
    """A verified model, and where its bytes came from."""

    model: Model
    origin: Literal["s3", "cache", "embedded"]


class ModelSource:
    """Holds the model that is served. `load` once, `refresh` as often as wanted, `current` once per request.

    Threads may call all three: the model is swapped in one assignment, and one refresh runs at a time.
    """

    def __init__(self, settings: Settings, embedded: Path = EMBEDDED) -> None:
        self._settings = settings
        self._embedded = embedded
        self._bucket = Bucket(settings)
        self._cache = ModelCache(settings.model_cache_dir, f"{settings.aws_endpoint_url} {settings.model_uri}")
        self._served: Served | None = None
        self._pointer: Pointer | None = None  # what is served, when S3 or the cache gave it
        self._etag: str | None = None  # of the pointer that was dealt with last
        self._refused: set[str] = set()  # digests of artifacts that are whole and still no model of ours
        self._busy = threading.Lock()
        self._due = (0.0, 0.0)

    @property
    def current(self) -> Served:
        """The model to answer with. Raises ModelUnavailable when there is none."""
        served = self._served
        if served is None:
            raise ModelUnavailable("No hay ningún modelo cargado: prueba dentro de unos segundos.")
        return served

    def load(self) -> None:
        """Find a model, in at most MODEL_LOAD_TIMEOUT_SECONDS of waiting. Raises nothing: see `current`."""
        started = time.monotonic()
        reason: str | None = None
        with self._busy:
            if self._settings.model_uri:
                reason = self._try_to_update(self._settings.model_load_timeout_seconds)
                if self._served is None:
                    self._served = self._from_cache()
            if self._served is None and self._settings.model_embedded:
                self._served = self._from_code()
            self._schedule()
        served, seconds = self._served, round(time.monotonic() - started, 4)
        fields = {**_named(served), "reason": reason}
        if served is None:
            log.error("no model could be loaded", extra=fields)
        elif reason is None:
            log.info("model loaded", extra={**_named(served), "seconds": seconds})
        else:
            log.error("serving another model than the promoted one", extra=fields)
        emit(
            {
                "ColdStart": 1,
                "ModelFetchTime": seconds,
                "ModelFallback": int(reason is not None and served is not None),
                "ModelEmbedded": _is_embedded(served),
                "ModelUnavailable": int(served is None),
            },
            **fields,
        )

    def refresh(self) -> None:
        """Serve what the pointer points to now, if it is time to ask.

        Raises nothing, and waits at most MODEL_REFRESH_TIMEOUT_SECONDS (MODEL_LOAD_TIMEOUT_SECONDS while
        there is no model, as there is nothing else to do then).
        """
        if not self._is_due() or not self._busy.acquire(blocking=False):
            return
        try:
            if not self._is_due():  # another thread has just been here
                return
            before, started = self._served, time.monotonic()
            budget = (
                self._settings.model_refresh_timeout_seconds if before else self._settings.model_load_timeout_seconds
            )
            reason = self._try_to_update(budget)
            self._schedule()
            self._report_refresh(reason, self._served is not before, round(time.monotonic() - started, 4))
        finally:
            self._busy.release()

    def _report_refresh(self, reason: str | None, swapped: bool, seconds: float) -> None:
        fields = {**_named(self._served), "reason": reason}
        emergencies = {"ModelEmbedded": _is_embedded(self._served), "ModelUnavailable": int(self._served is None)}
        if reason is not None:
            log.warning("refresh failed", extra={**fields, "seconds": seconds})
            emit({"ModelRefreshFailed": 1, **emergencies}, **fields)
        elif swapped:
            log.info("newly promoted model served", extra={**_named(self._served), "seconds": seconds})
            emit({"ModelRefreshed": 1, "ModelFetchTime": seconds}, **fields)
        elif any(emergencies.values()):  # the pointer still leads to a model that was refused
            emit({**emergencies}, **fields)

    def _try_to_update(self, seconds: float) -> str | None:
        """Follow the pointer. Gives the reason why that failed, or None when all is as S3 says."""
        try:
            self._update(time.monotonic() + seconds)
        except (StoreError, ArtifactError) as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - the caller must get an answer, whatever this is
            log.error("unexpected error while looking for a model", extra=trace(error))  # noqa: TRY400 - see `trace`
            return f"unexpected {type(error).__qualname__}"
        return None

    def _update(self, deadline: float) -> None:
        found = self._bucket.pointer(deadline, self._etag)
        if found is None:
            return
        pointer, etag = found
        if pointer != self._pointer:
            self._swap(pointer, etag, deadline)
        self._etag = etag

    def _swap(self, pointer: Pointer, etag: str | None, deadline: float) -> None:
        if pointer.sha256 in self._refused:
            self._etag = etag
            raise ArtifactError(f"model {pointer.version} was promoted again and is still not one to serve")
        cached = self._cache.read(pointer)
        data = self._bucket.artifact(deadline, pointer) if cached is None else cached
        try:
            model = _open(data, pointer.sha256)
        except ArtifactError:
            # its digest is right, so it will be no better the next time: look again when the pointer changes
            self._refused.add(pointer.sha256)
            self._etag = etag
            raise
        self._cache.keep(pointer, data if cached is None else None)
        self._served, self._pointer = Served(model, "s3" if cached is None else "cache"), pointer

    def _from_cache(self) -> Served | None:
        """Give what this environment served last under the same MODEL_URI."""
        pointer = self._cache.remembered()
        data = self._cache.read(pointer) if pointer else None
        if pointer is None or data is None:
            return None
        try:
            served = Served(_open(data, pointer.sha256), "cache")
        except ArtifactError as error:
            log.warning("the cached model is none to serve", extra={"reason": str(error)})
            return None
        self._pointer = pointer
        return served

    def _from_code(self) -> Served | None:
        try:
            return Served(_open(self._embedded.read_bytes()), "embedded")
        except (OSError, ArtifactError) as error:
            log.error("the embedded model can't be served", extra={"reason": str(error)})  # noqa: TRY400
            return None

    def _schedule(self) -> None:
        pause = self._settings.model_refresh_seconds if self._served else self._settings.model_retry_seconds
        self._due = (time.monotonic() + pause, time.time() + pause)

    def _is_due(self) -> bool:
        # two clocks: the first may stand still while Lambda freezes the environment, the second may be set
        return bool(self._settings.model_uri) and (time.monotonic() >= self._due[0] or time.time() >= self._due[1])


def _open(data: bytes, sha256: str | None = None) -> Model:
    try:
        return Model.load(data, sha256=sha256)
    except ArtifactError:
        raise
    except Exception as error:  # a file of another make may trip what no check foresaw
        raise ArtifactError(f"the model can't be opened: {type(error).__qualname__}") from error


def _named(served: Served | None) -> dict[str, str | None]:
    return {"model": served.model.version, "origin": served.origin} if served else {"model": None, "origin": None}


def _is_embedded(served: Served | None) -> int:
    return int(served is not None and served.origin == "embedded")
