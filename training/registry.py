"""Models under `s3://bucket/prefix`, write side: published once, promoted by swapping one small object.

    <version>/model.safetensors   written only if absent, read back, never changed
    current.json                  the pointer; every write is conditional on what was read before it

`app.bucket` reads what is written here.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from app.bucket import POINTER, Pointer
from app.errors import StoreError
from app.settings import S3_URI

HISTORY = 20
"""Earlier promotions that the pointer remembers."""

_GONE = {"NoSuchKey", "404", "NotFound"}
_LOST = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
_IDENTITY = (
    "check the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID, ...; `aws sts get-caller-identity` shows whose they are)"
)
_RIGHTS = "these credentials may not do that; it takes s3:GetObject, s3:PutObject and s3:ListBucket there"
_ADVICE = {
    "NoSuchBucket": "there is no such bucket; check the name after s3://",
    "InvalidAccessKeyId": _IDENTITY,
    "SignatureDoesNotMatch": _IDENTITY,
    "ExpiredToken": "the session has expired; log in again",
    "ExpiredTokenException": "the session has expired; log in again",
    "AccessDenied": _RIGHTS,
    "403": _RIGHTS,
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION to its region",
    "301": "the bucket is in another region; set AWS_REGION to its region",
}


class Promotion(NamedTuple):
    """One turn of a model as the current one."""

    pointer: Pointer
    at: str
    """When it was promoted, ISO 8601, UTC."""
    reason: str = ""
    """Why it was promoted although a check spoke against it."""

    def as_json(self) -> dict[str, Any]:
        """The form it has inside the pointer."""
        return self.pointer._asdict() | {"promoted_at": self.at} | ({"reason": self.reason} if self.reason else {})


class State(NamedTuple):
    """The pointer as it was read. `etag` makes the next write conditional; None: there was no pointer."""

    current: Promotion | None
    previous: list[Promotion]
    """Where rollbacks lead, the latest first."""
    etag: str | None


class Entry(NamedTuple):
    """One published model."""

    version: str
    size: int
    published: datetime


class Registry:
    """The models below one URI. Every method raises StoreError, a sentence that says what to do."""

    def __init__(self, uri: str) -> None:
        if not S3_URI.fullmatch(uri):
            raise StoreError(f"{uri!r} is no place for models: it should look like s3://bucket/prefix")
        self.uri = uri.rstrip("/")
        self._bucket, _, self._prefix = self.uri.removeprefix("s3://").partition("/")
        with self._explained(f"{self.uri} can't be reached"):
            self._s3 = boto3.client(
                "s3",
                config=Config(
                    connect_timeout=4, read_timeout=20, retries={"total_max_attempts": 3, "mode": "standard"}
                ),
            )

    def state(self) -> State:
        """Read the pointer."""
        with self._explained("the pointer can't be read"):
            try:
                answer = self._s3.get_object(Bucket=self._bucket, Key=self._key(POINTER))
            except ClientError as error:
                if _code(error) in _GONE:
                    return State(None, [], None)
                raise
            text, etag = answer["Body"].read(), answer["ETag"]
        try:
            found = json.loads(text)
            return State(_promotion(found), [_promotion(one) for one in found.get("previous", [])], etag)
        except (StoreError, ValueError, AttributeError, TypeError):
            return State(None, [], etag)  # not one of ours: the next promotion replaces it

    def fetch(self, version: str) -> bytes:
        """Read a published model; what is returned is what its version says."""
        with self._explained(f"model {version} can't be read"):
            try:
                data = self._s3.get_object(Bucket=self._bucket, Key=self._artifact(version))["Body"].read()
            except ClientError as error:
                if _code(error) in _GONE:
                    raise StoreError(
                        f"there is no model {version} in {self.uri}; `list` shows which there are"
                    ) from None
                raise
        if not hashlib.sha256(data).hexdigest().startswith(version):
            raise StoreError(f"what {self.uri} holds as {version} is damaged: its SHA-256 begins otherwise")
        return data

    def publish(self, data: bytes, record: dict[str, Any]) -> bool:
        """Write a model if it isn't there, with the `record` of its checks, and read it back.

        Gives False when the same model had been published before (its record stays the first one).
        """
        version = pointer_to(data).version
        new = True
        with self._explained(f"model {version} can't be published"):
            try:
                self._s3.put_object(
                    Bucket=self._bucket,
                    Key=self._artifact(version),
                    Body=data,
                    IfNoneMatch="*",
                    ContentType="application/octet-stream",
                    Metadata={"publication": json.dumps(record)},
                )
            except ClientError as error:
                if _code(error) not in _LOST:
                    raise
                new = False
        if self.fetch(version) != data:
            raise StoreError(f"what was read back of {version} is not what was written; nothing was promoted")
        return new

    def publication(self, version: str) -> dict[str, Any]:
        """The record that `publish` left with a model; empty when there is none."""
        with self._explained(f"model {version} can't be read"):
            try:
                head = self._s3.head_object(Bucket=self._bucket, Key=self._artifact(version))
            except ClientError as error:
                if _code(error) in _GONE:
                    raise StoreError(
                        f"there is no model {version} in {self.uri}; `list` shows which there are"
                    ) from None
                raise
        found = json.loads(head["Metadata"].get("publication", "{}"))
        return found if isinstance(found, dict) else {}

    def entries(self) -> Iterator[Entry]:
        """Every published model, the latest first."""
        start = self._key("")
        found = []
        with self._explained("the models can't be listed"):
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start):
                for item in page.get("Contents", []):
                    match = re.fullmatch(r"([0-9a-f]{8,64})/model\.safetensors", item["Key"].removeprefix(start))
                    if match:
                        found.append(Entry(match[1], item["Size"], item["LastModified"]))
        return iter(sorted(found, key=lambda entry: entry.published, reverse=True))

    def promote(self, pointer: Pointer, state: State, reason: str = "") -> State:
        """Make a published model the current one, unless the pointer changed since `state` was read."""
        earlier = ([state.current] if state.current else []) + state.previous
        others = [one for one in earlier if one.pointer != pointer]  # each model once: rollbacks never go round
        return self._swap(Promotion(pointer, _now(), reason), others[:HISTORY], state)

    def roll_back(self, state: State) -> State:
        """Make the model promoted before the current one current again.

        The one rolled back from leaves the history, so a second rollback goes one further back and never
        returns to it.
        """
        if state.current is None or not state.previous:
            raise StoreError(
                f"{self.uri} remembers no model promoted before the current one; promote one by its version"
            )
        back, *older = state.previous
        return self._swap(Promotion(back.pointer, _now(), back.reason), older, state)

    def _swap(self, promotion: Promotion, previous: list[Promotion], before: State) -> State:
        condition: dict[str, Any] = {"IfMatch": before.etag} if before.etag else {"IfNoneMatch": "*"}
        text = json.dumps(promotion.as_json() | {"previous": [one.as_json() for one in previous]}, indent=1).encode()
        with self._explained(f"{promotion.pointer.version} can't be promoted"):
            try:
                answer = self._s3.put_object(
                    Bucket=self._bucket, Key=self._key(POINTER), Body=text, ContentType="application/json", **condition
                )
            except ClientError as error:
                if _code(error) not in _LOST | _GONE:
                    raise
                now = self.state()
                if now.current == promotion:  # an answer was lost on the way, and the retry met our own write
                    return now
                version = now.current.pointer.version if now.current else "nothing"
                raise StoreError(
                    f"somebody else changed what is current in the meantime (now {version}); this changed nothing."
                    " Look at `status` and decide again"
                ) from None
        return State(promotion, previous, answer["ETag"])

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _artifact(self, version: str) -> str:
        if not re.fullmatch("[0-9a-f]{8,64}", version):
            raise StoreError(f"{version!r} is no version: it takes 12 hexadecimal digits; `list` shows which there are")
        return self._key(f"{version}/model.safetensors")

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (NoCredentialsError, PartialCredentialsError):
            raise StoreError(
                f"{what}: no AWS credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from None
        except ClientError as error:
            self._refused(what, error)
        except (BotoCoreError, ValueError) as error:
            raise StoreError(
                f"{what}: {str(error).strip().rstrip('.')}; check the network and AWS_ENDPOINT_URL_S3"
            ) from None

    def _refused(self, what: str, error: ClientError) -> NoReturn:
        code = _code(error)
        said = error.response.get("Error", {}).get("Message", "")
        advice = _ADVICE.get(code, "try again, and look at the AWS status page if it persists")
        raise StoreError(f"{what}: {self.uri} answers {code}{f' ({said})' if said else ''}; {advice}") from None


def pointer_to(data: bytes) -> Pointer:
    """The pointer to a model file."""
    digest = hashlib.sha256(data).hexdigest()
    return Pointer(digest[:12], digest, len(data))


def _promotion(found: dict[str, Any]) -> Promotion:
    return Promotion(Pointer.parse(json.dumps(found)), str(found.get("promoted_at", "")), str(found.get("reason", "")))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
