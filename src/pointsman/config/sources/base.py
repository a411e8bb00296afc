"""What a source of config documents is, and how it fails."""

from __future__ import annotations

import pathlib
import posixpath
from typing import Literal, Protocol

import msgspec

from pointsman.store.buckets import SCHEMES, BucketKind

Kind = Literal["file", "s3", "gcs", "azure"]
MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_FILES = 256
MAX_TOTAL_BYTES = 64 * 1024 * 1024
_SCHEME_OF = {"s3": "s3", "gcs": "gs", "azure": "az"}
_ABROAD = "://"
_REFERENCE = "os.environ/"


class SourceDown(Exception):
    """A source gave nothing: what is wrong, and what to do. Neither holds a credential."""

    def __init__(self, what: str, hint: str = "", *, is_absent: bool = False) -> None:
        """``is_absent``: it could be reached, and has no such document."""
        super().__init__(f"{what} ({hint})" if hint else what)
        self.what = what
        self.hint = hint
        self.is_absent = is_absent


class Address(msgspec.Struct, frozen=True):
    """An object in a bucket; written ``s3://bucket/key``, ``gs://bucket/key`` or ``az://container/key``."""

    kind: BucketKind
    bucket: str
    key: str

    def __str__(self) -> str:
        """As operators write it."""
        return f"{_SCHEME_OF[self.kind]}://{self.bucket}/{self.key}"


def address_of(text: str) -> Address | None:
    """The object that a text names; ``None``: it names none, such as the path of a file."""
    scheme, _, rest = text.partition(_ABROAD)
    bucket, _, key = rest.partition("/")
    if scheme not in SCHEMES or not bucket or not key:
        return None
    return Address(SCHEMES[scheme], bucket, key)


class Version(msgspec.Struct, frozen=True):
    """Tells whether documents have changed."""

    etag: str
    """Equal means the same bytes."""
    fetched: float
    """Unix time."""


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """The documents of one version, whole."""

    kind: Literal["file", "s3", "gcs", "azure", "last good"]
    name: str
    """Of the source: an absolute path, or an address."""
    main: str
    """The document that names the others, as problems name it: a path or an address, as all names are."""
    documents: dict[str, bytes]
    """What was read; a byte more than may be where one was too large."""
    absent: dict[str, str] = {}
    """Documents that are named and could not be read, and why."""
    version: Version

    def read(self, name: str) -> bytes:
        """The bytes of a document.

        :raises OSError: it could not be read; ``strerror`` says why
        """
        if name not in self.documents:
            raise FileNotFoundError(2, self.absent.get(name, "not a readable file"), name)
        return self.documents[name]


class SourceCounts(msgspec.Struct):
    """What a source has done since it was made."""

    requests: int = 0
    """Reads of a file, or calls of a bucket."""
    unchanged: int = 0
    """Of these, the ones that a bucket answered with 304."""
    failures: int = 0


class Source(Protocol):
    """Gives documents."""

    @property
    def kind(self) -> Kind: ...
    @property
    def name(self) -> str: ...
    @property
    def counts(self) -> SourceCounts: ...
    async def fetch(self, known: Version | None) -> Fetched | None:
        """All documents, or ``None`` if they are still those of ``known``.

        :raises SourceDown: it cannot be reached, or has no such document
        """


def beside(name: str, other: str) -> str:
    """The name of a document that is named by another one, relative to it."""
    if _ABROAD in other:
        return other
    scheme, abroad, rest = name.partition(_ABROAD)
    if not abroad:
        return str(pathlib.Path(name).parent / other)
    bucket, _, key = rest.partition("/")
    # What climbs above the bucket is in it all the same.
    joined = posixpath.normpath("/" + posixpath.join(posixpath.dirname(key), other))
    return f"{scheme}{_ABROAD}{bucket}/{joined.lstrip('/')}"


def variable_of(value: object) -> str | None:
    """The variable that a value of a document stands for, written ``os.environ/NAME``."""
    if isinstance(value, str) and value.startswith(_REFERENCE):
        return value.removeprefix(_REFERENCE).strip()
    return None


def directory_of(name: str) -> pathlib.Path:
    """Where files lie that a document names relative to itself: for an object, in the working directory."""
    return pathlib.Path() if _ABROAD in name else pathlib.Path(name).parent
