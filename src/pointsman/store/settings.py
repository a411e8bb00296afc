"""What an operator can set about stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from pointsman.store.buckets import BucketKind
from pointsman.wire.secret import Secret

MEBIBYTE = 1 << 20
DAY = 86_400.0


class RecordSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the durable rows are, and how long to wait for them. Seconds."""

    url: Secret
    """``postgresql://…`` as Prisma and psql take it, or ``sqlite:///path``."""
    read_seconds: float = 0.5
    """For what a request waits for."""
    write_seconds: float = 5.0
    report_seconds: float = 30.0
    """For what adds up many rows."""
    open_seconds: float = 60.0
    """For a new schema, and the lock before it."""
    connections: int = 5
    who: str = ""
    """What the database calls all processes of this gateway together."""

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file on this machine."""
        return self.url.reveal().startswith("sqlite:")

    @property
    def path(self) -> Path | None:
        """That file; ``None``: it is none."""
        return Path(self.url.reveal().removeprefix("sqlite:///")) if self.is_sqlite else None


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the Redis or Valkey is that replicas share."""

    url: Secret | None = None
    """``redis://`` or ``rediss://``; what it says goes before the rest."""
    host: str = "localhost"
    port: int = 6379
    username: str | None = None
    password: Secret | None = None
    db: int = 0
    is_tls: bool = False
    prefix: str = "pointsman"
    """Before the names of all keys."""

    def secrets(self) -> Iterator[str]:
        """What nobody is to read."""
        if self.url is not None:
            yield from _password_in(self.url)
        if self.password is not None:
            yield self.password.reveal()


class BucketPlace(msgspec.Struct, frozen=True):
    """Where in which bucket."""

    kind: BucketKind
    name: str
    prefix: str = ""
    """Empty, or with a slash at its end."""


class FileSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where files of clients are kept, how large they may be, and how long they stay."""

    bucket: BucketPlace | None = None
    """``None``: in the data directory."""
    max_bytes: int = 512 * MEBIBYTE
    """Of one file that a client sends."""
    max_owner_bytes: int = 102_400 * MEBIBYTE
    """Of all files together that a user has, or a key without one, after which he can send no more."""
    batch_seconds: float = 30 * DAY
    """How long what batches read and write is kept where nobody says."""


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a gateway keeps what others need too, and how long."""

    records: RecordSettings | None = None
    """``None``: a file in the data directory, as soon as anybody makes a key."""
    counters: RedisSettings | None = None
    """``None``: requests are counted by this gateway alone."""
    answers: RedisSettings | None = None
    """Where answers are cached; ``None``: in the memory of each process, if at all."""
    event_seconds: float | None = None
    """Seconds that rows of the ledger are kept; ``None``: for good. Their sums always are."""
    keeps_content: bool = False
    """Whether the ledger holds prompts and answers."""
    files: FileSettings = FileSettings()

    def secrets(self) -> Iterator[str]:
        """What nobody is to read."""
        if self.records is not None:
            yield from _password_in(self.records.url)
        for redis in (self.counters, self.answers):
            if redis is not None:
                yield from redis.secrets()

    def fixed(self) -> tuple[RecordSettings | None, RedisSettings | None, BucketPlace | None]:
        """What a running gateway cannot change."""
        return self.records, self.counters, self.files.bucket


def _password_in(url: Secret) -> Iterator[str]:
    if password := urlsplit(url.reveal()).password:
        yield from (password, unquote(password))


def sqlite_in(directory: Path) -> RecordSettings:
    """The database of a gateway that was given none."""
    return RecordSettings(url=Secret(f"sqlite:///{directory / 'pointsman.db'}"))
