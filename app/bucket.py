"""S3 as the serving side sees it: read the pointer, read the artifact, within a given time.

    s3://bucket/prefix/current.json                  {"version", "sha256", "size", ...}: the pointer
    s3://bucket/prefix/<version>/model.safetensors   written once, never changed

Writing there is `training.publish`'s business.
"""

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

import obstore
from obstore.exceptions import BaseError, NotModifiedError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from app.errors import StoreError
from app.settings import Settings

if TYPE_CHECKING:
    from obstore.store import S3CredentialProvider

T = TypeVar("T")

POINTER = "current.json"
POINTER_BYTES = 64 * 1024
_INSTANCE_METADATA = "169.254.169.254"
RETRIES = 3  # of one request, after 50, 100 and 200 ms more or less


class Pointer(NamedTuple):
    """What is current: the first hex digits of its SHA-256 as its version, the SHA-256, the size in bytes."""

    version: str
    sha256: str
    size: int

    @classmethod
    def parse(cls, text: bytes | str) -> Self:
        """Read the pointer's JSON; keys beyond the three are others' business. Raises StoreError."""
        try:
            found = json.loads(text)
            pointer = cls(found["version"], found["sha256"], found["size"])
            sound = (
                re.fullmatch("[0-9a-f]{64}", pointer.sha256)
                and re.fullmatch("[0-9a-f]{8,64}", pointer.version)
                and pointer.sha256.startswith(pointer.version)
                and type(pointer.size) is int
                and pointer.size > 0
            )
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise StoreError(
                f"the pointer is not JSON with version, sha256 and size ({type(error).__name__})"
            ) from None
        if not sound:
            raise StoreError("the pointer's version, sha256 and size make no sense together")
        return pointer

    @property
    def key(self) -> str:
        """Where the artifact is, below the prefix."""
        return f"{self.version}/model.safetensors"


class Bucket:
    """Reads of one bucket and prefix. Each takes a `deadline` (time.monotonic()) and raises StoreError."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def pointer(self, deadline: float, known: str | None) -> tuple[Pointer, str | None] | None:
        """Read the pointer and its ETag; None when its ETag is still the `known` one."""

        def work() -> tuple[bytes, str | None]:
            answer = obstore.get(self._store, POINTER, options={"if_none_match": known} if known else None)
            if answer.meta["size"] > POINTER_BYTES:
                raise StoreError(f"the pointer has {answer.meta['size']} bytes, which no pointer has")
            return bytes(answer.bytes()), answer.meta["e_tag"]

        try:
            text, etag = self._within(deadline, POINTER, work)
        except NotModifiedError:
            return None
        return Pointer.parse(text), etag

    def artifact(self, deadline: float, pointer: Pointer) -> bytes:
        """Read what the pointer points to; what is returned has its size and its SHA-256."""
        if pointer.size > self._settings.model_max_mebibytes * 2**20:
            raise StoreError(
                f"the pointer speaks of {pointer.size} bytes,"
                f" over MODEL_MAX_MEBIBYTES={self._settings.model_max_mebibytes}"
            )

        def work() -> bytes:
            answer = obstore.get(self._store, pointer.key)
            if answer.meta["size"] != pointer.size:
                raise StoreError(f"{pointer.key} has {answer.meta['size']} bytes and not {pointer.size}")
            return bytes(answer.bytes())

        data = self._within(deadline, pointer.key, work)
        if hashlib.sha256(data).hexdigest() != pointer.sha256:
            raise StoreError(f"what arrived of {pointer.key} does not have the SHA-256 that the pointer names")
        return data

    @cached_property
    def _store(self) -> S3Store:
        settings = self._settings
        longest = timedelta(seconds=settings.model_load_timeout_seconds)
        endpoint, region = settings.aws_endpoint_url, settings.aws_region
        return S3Store(
            settings.bucket,
            prefix=settings.prefix or None,
            config={**({"region": region} if region else {}), **({"endpoint": endpoint} if endpoint else {})},
            credential_provider=_of_profile(settings.aws_profile) if settings.aws_profile else None,
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=settings.model_connect_timeout_seconds),
                "read_timeout": timedelta(seconds=settings.model_read_timeout_seconds),
                "timeout": longest,
                # between two refreshes S3 has closed the connection, or Lambda has frozen it to death
                "pool_idle_timeout": timedelta(seconds=5),
            },
            retry_config={
                "max_retries": RETRIES,
                "retry_timeout": longest,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=50),
                    "max_backoff": timedelta(milliseconds=400),
                    "base": 2,
                },
            },
        )

    def _within(self, deadline: float, what: str, work: Callable[[], T]) -> T:
        """Do the work in a thread that is left behind when time is up.

        The client's own limits are for one attempt and for starting another, so they can't bound the whole.
        """
        future: Future[T] = Future()
        where = f"s3://{self._settings.bucket}/" + "/".join(filter(None, (self._settings.prefix, what)))
        threading.Thread(target=_settle, args=(future, work), name="s3-read", daemon=True).start()
        try:
            return future.result(timeout=max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise StoreError(f"{where} did not come within the time allowed for it") from None
        except FileNotFoundError:
            raise StoreError(f"there is no {where}: publish a model there, or check MODEL_URI") from None
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise StoreError(
                f"S3 refuses to give {where}{_said(error)}: the role needs s3:GetObject there,"
                " and without s3:ListBucket a missing object looks like this too"
            ) from None
        except NotModifiedError:
            raise
        except (BaseError, OSError, ValueError) as error:
            raise StoreError(f"{where} could not be read{_said(error)}") from None
        finally:
            # It holds the error, which holds this frame and all below it, one of which knows the model before. As a
            # circle they would stay in memory until the garbage collector comes by, several models at a time.
            del future


def _settle(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001 - not swallowed: the future raises it to the caller
        future.set_exception(error)
    finally:
        del future, work  # the error's traceback holds this frame: another circle


def _of_profile(name: str) -> "S3CredentialProvider":
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415 - costs a start 300 ms, and only here

        return Boto3CredentialProvider()
    except ImportError:
        raise StoreError(
            f"AWS_PROFILE={name} takes boto3, which is not installed;"
            ' without it: eval "$(aws configure export-credentials --format env)" and unset AWS_PROFILE'
        ) from None
    except Exception as error:  # botocore's own, which can't be named where it may be missing
        raise StoreError(f"AWS_PROFILE={name} gives no credentials: {error}") from error


def _said(error: Exception) -> str:
    """Give the gist of an obstore error, whose text goes on for pages."""
    text = str(error)
    if _INSTANCE_METADATA in text:  # where the client looks last, when the environment has none
        return " (no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)"
    status = re.search(r"status code: (\d{3}[^:\n]*)", text)
    code = re.search(r"<Code>(\w+)</Code>", text)
    reason = re.search(r"Error performing GET \S+ in [^-\n]* - ([^\n:]+)", text)
    parts = [m[1].strip() for m in (status, code) if m] or [reason[1] if reason else text.partition("\n")[0]]
    return f" ({', '.join(parts)[:200]})"
