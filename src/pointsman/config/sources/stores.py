"""Objects in buckets, of which nothing is fetched that is held already."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pointsman.config.sources.base import Address, SourceCounts, SourceDown
from pointsman.errors import GatewayError
from pointsman.store.buckets import BucketFault, BucketKind, Environ, open_bucket, reason
from pointsman.telemetry.aside import aside

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CALL_SECONDS = 10.0


class Got(NamedTuple):
    """An object."""

    etag: str
    """As it is sent back in ``If-None-Match``."""
    data: bytes


class Bucket:
    """One bucket. A call ends within ``seconds``."""

    def __init__(self, kind: BucketKind, name: str, environ: Environ, seconds: float = CALL_SECONDS) -> None:
        """Nothing is called yet.

        :raises SourceDown: obstore is not installed, or the settings in the environment cannot be used
        """
        self.kind = kind
        self.name = name
        self.counts = SourceCounts()
        self._seconds = seconds
        try:
            self._store = open_bucket(kind, name, environ, seconds, "a config")
        except BucketFault as error:
            raise SourceDown(error.what, error.hint) from None

    async def get(self, key: str, etag: str | None, limit: int) -> Got | None:
        """An object, or ``None`` if it is still the one with ``etag``; no more than ``limit`` bytes and one.

        :raises SourceDown: there is no such object, or the bucket cannot be reached
        """
        address = Address(self.kind, self.name, key)
        self.counts.requests += 1
        try:
            async with asyncio.timeout(self._seconds):
                # Obstore's own futures are of no use here: its threads touch the interpreter after they have given
                # their result, and abort the process if that is when it ends.
                found = await aside(partial(_get, self._store, address, etag, limit), "bucket")
        except TimeoutError:
            found = SourceDown(f"cannot fetch {address}: no answer within {self._seconds:g} s")
        if isinstance(found, SourceDown):
            self.counts.failures += 1
            raise found
        self.counts.unchanged += found is None
        return found


def _get(store: ObjectStore, address: Address, etag: str | None, limit: int) -> Got | SourceDown | None:
    import obstore  # noqa: PLC0415
    from obstore.exceptions import BaseError, NotModifiedError  # noqa: PLC0415

    try:
        found = obstore.get(store, address.key, options={"if_none_match": etag} if etag else {})
        data = bytearray()
        for piece in found.stream():
            data += piece
            if len(data) > limit:
                break
        return Got(found.meta["e_tag"] or "", bytes(data[: limit + 1]))
    except NotModifiedError:
        return None
    except FileNotFoundError:
        return SourceDown(f"there is no {address}", "check the names of bucket and key", is_absent=True)
    except (BaseError, GatewayError, OSError, ValueError) as error:
        return SourceDown(f"cannot fetch {address}: {reason(error)}", _hint(error))


def _hint(error: BaseException) -> str:
    name = type(error).__name__
    return "check the credentials" if name in {"PermissionDeniedError", "UnauthenticatedError"} else ""
