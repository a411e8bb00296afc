"""A config document in a bucket, and what it includes: objects beside it.

Each object is asked for with the ETag of what is held of it, so that what has not changed is answered with 304 and
costs nothing; what is held is bounded by ``collecting``.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from pointsman.config.sources.base import (
    MAX_FILE_BYTES,
    Address,
    Fetched,
    SourceCounts,
    SourceDown,
    Version,
    address_of,
)
from pointsman.config.sources.collecting import collecting
from pointsman.config.sources.file import digest
from pointsman.config.sources.stores import Got
from pointsman.store.buckets import BucketKind


class Getter(Protocol):
    """What a bucket does; see :class:`pointsman.config.sources.stores.Bucket`."""

    counts: SourceCounts

    async def get(self, key: str, etag: str | None, limit: int) -> Got | None: ...


class ObjectSource:
    """One document in a bucket. Used by one task at a time."""

    def __init__(
        self, address: Address, bucket: Getter, environ: Mapping[str, str], now: Callable[[], float] = time.time
    ) -> None:
        """``environ`` may name tables."""
        self.address = address
        self.name = str(address)
        self._bucket = bucket
        self._environ = environ
        self._now = now
        self._held: dict[str, Got] = {}

    @property
    def kind(self) -> BucketKind:
        """Whose bucket it is."""
        return self.address.kind

    @property
    def counts(self) -> SourceCounts:
        """What the bucket was asked."""
        return self._bucket.counts

    async def fetch(self, known: Version | None) -> Fetched | None:
        """All documents, or ``None`` if they are still those of ``known``.

        :raises SourceDown: the document is not there, or the bucket cannot be reached
        """
        steps = collecting(self.name, self._environ)
        held: dict[str, Got] = {}
        name = next(steps)
        try:
            while True:
                name = steps.send(await self._get(name, held))
        except StopIteration as end:
            documents, absent = end.value
        self._held = held
        etag = self._etag(documents, held)
        if known is not None and known.etag == etag:
            return None
        version = Version(etag, self._now())
        return Fetched(
            kind=self.kind, name=self.name, main=self.name, documents=documents, absent=absent, version=version
        )

    async def _get(self, name: str, held: dict[str, Got]) -> bytes | str:
        address = address_of(name)
        if address is None or address.bucket != self.address.bucket or address.kind != self.address.kind:
            return "it is in another bucket than the document that names it"
        before = self._held.get(name)
        try:
            got = await self._bucket.get(address.key, None if before is None else before.etag, MAX_FILE_BYTES)
        except SourceDown as error:
            # A document that is not there is a mistake in another one; a bucket that does not answer is not.
            if name == self.name or not error.is_absent:
                raise
            return "there is no such object"
        found = got or before
        assert found is not None, "304 is the answer to an ETag"
        held[name] = found
        return found.data

    def _etag(self, documents: dict[str, bytes], held: dict[str, Got]) -> str:
        """The object's own, and with others beside it also what tells all of them from others."""
        own = held[self.name].etag.removeprefix("W/").strip('"') or digest(documents)
        if len(documents) == 1:
            return own
        others = "".join(f"{name} {got.etag or digest({name: got.data})} " for name, got in held.items())
        return f"{own}+{hashlib.sha256(others.encode()).hexdigest()[:16]}"
