"""Blobs in a bucket. A blob is written to a file without a name first, and goes to the bucket when it is whole.

So nothing is ever half there, and what a client does not send to its end was never sent on.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeAlias, TypeVar

from pointsman.errors import GatewayError
from pointsman.store.blobs import NAMES, BlobsDown, NoBlob, Part, Run, Span, check_lengths
from pointsman.store.buckets import reason
from pointsman.telemetry.aside import aside

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PART_BYTES: Final = 8 << 20
"""Of what is sent to a bucket in one request."""
AT_A_TIME: Final = 2
CALLS: Final = 16
"""That go on at a time; others wait."""
NEAR: Final = 65_536
"""Bytes between two spans that are read as well, which takes less than another request."""
SECONDS: Final = 60.0
"""That one request may take."""
CALL_SECONDS: Final = 600.0
"""That all requests for one blob may take together."""
PIECE_BYTES: Final = 1 << 20
"""That are read in one request."""
T = TypeVar("T")
Listed: TypeAlias = list[tuple[str, float]]
"""Keys, and when they were written, in seconds since 1970."""


class BucketBlobs:
    """Objects below a prefix."""

    piece_bytes = PIECE_BYTES

    def __init__(self, store: ObjectStore, prefix: str, scratch: Path | None) -> None:
        """``scratch`` is the directory of what is not whole yet; ``None``: the machine's own."""
        self._store = store
        self._prefix = prefix
        self._scratch = scratch
        self._room = asyncio.Semaphore(CALLS)

    def begin(self, name: str) -> Part:
        return _BucketPart(self._store, self._prefix + name, self._scratch, self._call)

    async def spans(self, name: str, spans: Sequence[Span]) -> list[bytes]:
        return await self._call(partial(_read, self._store, self._prefix + name, spans)) if spans else []

    async def delete(self, names: Collection[str]) -> None:
        for name in names:
            await self._call(partial(_delete, self._store, self._prefix + name))

    async def old(self, before: float) -> AsyncGenerator[list[str]]:
        listing = await self._call(partial(_list, self._store, self._prefix))
        while (some := await self._call(lambda: next(listing, None))) is not None:
            yield [key.removeprefix(self._prefix) for key, at in some if at < before]

    async def _call(self, call: Callable[[], T]) -> T:
        """In a thread that nobody has to wait for."""
        try:
            async with asyncio.timeout(CALL_SECONDS), self._room:
                return await aside(call, "bucket")
        except TimeoutError:
            raise BlobsDown(f"no answer within {CALL_SECONDS:g} s") from None


class _BucketPart(Part):
    def __init__(self, store: ObjectStore, key: str, scratch: Path | None, run: Run) -> None:
        super().__init__(run)
        self._store = store
        self._key = key
        self._scratch = scratch

    def _open(self) -> IO[bytes]:
        if self._scratch is not None:
            self._scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        return tempfile.TemporaryFile(dir=self._scratch)

    def _keep(self, file: IO[bytes]) -> None:
        import obstore  # noqa: PLC0415  where there is a bucket

        file.seek(0)
        with _translated():
            obstore.put(self._store, self._key, file, chunk_size=PART_BYTES, max_concurrency=AT_A_TIME)

    def _remove(self) -> None:
        """It has no name."""


@contextmanager
def _translated() -> Iterator[None]:
    from obstore.exceptions import BaseError  # noqa: PLC0415  where there is a bucket

    try:
        yield
    except FileNotFoundError as error:
        raise NoBlob("there is no such object") from error
    except (BaseError, GatewayError, OSError, ValueError) as error:
        raise BlobsDown(reason(error)) from error


def _read(store: ObjectStore, key: str, spans: Sequence[Span]) -> list[bytes]:
    import obstore  # noqa: PLC0415  the same

    starts, lengths = zip(*spans, strict=True)
    with _translated():
        found = obstore.get_ranges(store, key, starts=starts, lengths=lengths, coalesce=NEAR)
        pieces = [bytes(piece) for piece in found]
    check_lengths("an object", spans, pieces)
    return pieces


def _delete(store: ObjectStore, key: str) -> None:
    import obstore  # noqa: PLC0415  the same

    with suppress(NoBlob), _translated():
        obstore.delete(store, key)


def _list(store: ObjectStore, prefix: str) -> Iterator[Listed]:
    import obstore  # noqa: PLC0415  the same

    with _translated():
        for chunk in obstore.list(store, prefix, chunk_size=NAMES):
            yield [(one["path"], one["last_modified"].timestamp()) for one in chunk]
