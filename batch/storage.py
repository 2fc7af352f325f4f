"""Folders and files, on this machine or on S3, seen in one way.

A write is whole or not there: S3 is so by nature, and on disk obstore writes beside the name and renames.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, PreconditionError, UnauthenticatedError
from obstore.store import LocalStore, S3Store

from app.errors import DataError, StoreError
from app.settings import Settings


class Folder:
    """A folder by its address: `s3://bucket/prefix` or a path. Every method raises StoreError."""

    def __init__(self, uri: str, settings: Settings, credentials: Any = None) -> None:
        """Name a folder; on disk it is there already.

        credentials: an obstore credential provider, for people's machines; on Lambda the environment has them.
        """
        self.uri = uri.rstrip("/") or "/"
        self._settings = settings
        self._credentials = credentials
        self._store = self._open()

    @property
    def is_s3(self) -> bool:
        """Whether it is on S3."""
        return self.uri.startswith("s3://")

    def folder(self, name: str) -> "Folder":
        """A folder in this one."""
        return Folder(f"{self.uri}/{name}", self._settings, self._credentials)

    def read(self, name: str, start: int = 0, end: int | None = None, etag: str | None = None) -> bytes:
        """Read an object, or its bytes from `start` up to `end`; DataError if its ETag is no longer `etag`."""
        with self._explained(name):
            options: dict[str, Any] = {"if_match": etag} if etag else {}
            if end is not None:
                if end <= start:
                    return b""
                options["range"] = (start, end)
            data = bytes(obstore.get(self._store, name, options=options or None).bytes())  # type: ignore[arg-type]  # keys are those of GetOptions
        if end is not None and len(data) != end - start:
            raise StoreError(f"{self._where(name)}: {len(data)} bytes came where {end - start} were asked for")
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write an object, whole or not at all, over what had its name."""
        with self._explained(name):
            obstore.put(self._store, name, data)

    def stat(self, name: str) -> "Stat | None":
        """Size and ETag of an object; None if there is none."""
        with self._explained(name):
            try:
                meta = obstore.head(self._store, name)
            except FileNotFoundError:
                return None
        return Stat(meta["size"], meta["e_tag"] or "")

    def sizes(self, prefix: str) -> dict[str, int]:
        """Names of the objects in the folder `prefix` of this folder, and their sizes in bytes."""
        with self._explained(prefix):
            return {
                meta["path"].removeprefix(f"{prefix}/"): meta["size"]
                for page in obstore.list(self._store, prefix)
                for meta in page
            }

    def _open(self) -> S3Store | LocalStore:
        if not self.is_s3:
            return LocalStore(Path(self.uri).absolute())
        settings = self._settings
        bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
        endpoint = settings.aws_endpoint_url
        return S3Store(
            bucket,
            prefix=prefix or None,
            config={"region": settings.aws_region, **({"endpoint": endpoint} if endpoint else {})},
            credential_provider=self._credentials,
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": timedelta(seconds=5),
                "timeout": timedelta(minutes=2),  # 64 MiB at the slowest that S3 gives a function
            },
            # the state machine tries a whole range again; this is for the passing faults of single requests
            retry_config={"max_retries": 5, "retry_timeout": timedelta(minutes=3)},
        )

    def _where(self, name: str) -> str:
        return f"{self.uri}/{name}"

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except PreconditionError:
            raise DataError(f"{self._where(name)} was changed since the run was planned: start another run") from None
        except FileNotFoundError:
            raise StoreError(f"there is no {self._where(name)}") from None
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise StoreError(f"no permission for {self._where(name)}: {_gist(error)}") from None
        except (BaseError, OSError, ValueError) as error:
            raise StoreError(f"{self._where(name)} can't be read or written: {_gist(error)}") from None


class Stat(NamedTuple):
    """What is known of an object without reading it."""

    size: int
    """Bytes."""
    etag: str


class Source:
    """The file that a run reads; pinned, so that all of a run reads the same bytes."""

    def __init__(self, folder: Folder, name: str, stat: Stat) -> None:
        self.uri = f"{folder.uri}/{name}"
        self.size = stat.size
        self.etag = stat.etag
        self._folder = folder
        self._name = name

    @classmethod
    def find(cls, uri: str, settings: Settings, credentials: Any = None) -> "Source":
        """The file at this address. Raises DataError when it is none."""
        if not uri.startswith("s3://"):
            uri = str(Path(uri).absolute())
            if Path(uri).is_dir():
                raise DataError(f"{uri} is a folder: name a file")
            if not Path(uri).exists():
                raise DataError(f"there is no {uri}")
        parent, _, name = uri.rpartition("/")
        if not name:
            raise DataError(f"{uri} is a folder: name a file")
        folder = Folder(parent or "/", settings, credentials)
        stat = folder.stat(name)
        if stat is None:
            raise DataError(f"there is no {uri}")
        if not stat.size:
            raise DataError(f"{uri} is empty")
        return cls(folder, name, stat)

    @property
    def path(self) -> Path | None:
        """Where it is on this machine, if it is."""
        return None if self._folder.is_s3 else Path(self.uri)

    def read(self, start: int, end: int) -> bytes:
        """Its bytes from `start` up to `end` or to its own end. Raises DataError if it has changed."""
        return self._folder.read(self._name, start, min(end, self.size), self.etag)


def _gist(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
