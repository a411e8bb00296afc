"""The API of a provider that runs batches, at one deployment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from pointsman.batches.protocol.provider import CLOSING, FORM, MARK, OPENING, Listed, Made, Told
from pointsman.errors import UpstreamBroken, UpstreamRejected
from pointsman.pipeline.targets import Target
from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts

T = TypeVar("T")
MAX_TOLD: Final = 4 << 20
"""Bytes of an answer that is no file."""
MAX_PAGES: Final = 20
"""Of a hundred batches each, of which one may be ours."""
MAX_LINE: Final = 64 << 20
HELD: Final = 1 << 20
"""Bytes of a file that may wait to be read."""
TIMEOUTS: Final = Timeouts(connect=10.0, first_byte=20.0, idle=20.0, total=30.0)
FILE_TIMEOUTS: Final = Timeouts(connect=10.0, first_byte=600.0, idle=60.0, total=3600.0)
JSON: Final = "application/json"
REPEATABLE: Final = frozenset({408, 409, 429})
log = logging.getLogger(__name__)


class Remote:
    """Files and batches of a provider. All methods raise :class:`~pointsman.errors.UpstreamError`."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def upload(self, lines: AsyncGenerator[bytes]) -> Made:
        """Have an input file written while ``lines``, of which each piece holds some, are read."""

        async def form() -> AsyncIterator[bytes]:
            yield OPENING
            async with aclosing(lines):
                async for some in lines:
                    yield some
            yield CLOSING

        head = self._target.root_head(b"POST", "/files", FORM)
        response = await self._target.upstream.send(head, form(), timeouts=FILE_TIMEOUTS)
        return await _told(response, Made)

    async def file(self, file: str) -> Made:
        """A file, as it is."""
        return await self._ask(b"GET", f"/files/{quote(file, safe='')}", None, Made)

    async def make(self, file: str, endpoint: str, mark: str) -> Told:
        """Begin a batch."""
        wanted = {
            "input_file_id": file,
            "endpoint": endpoint,
            "completion_window": "24h",
            "metadata": {MARK: mark},
        }
        return await self._ask(b"POST", "/batches", wanted, Told)

    async def find(self, mark: str) -> Told | None:
        """The batch that was made under a mark, unless too many were made since."""
        after = ""
        for _ in range(MAX_PAGES):
            listed = await self._ask(b"GET", f"/batches?limit=100{after}", None, Listed)
            for one in listed.data:
                if (one.metadata or {}).get(MARK) == mark:
                    return one
            if not (listed.has_more and listed.data):
                break
            after = f"&after={quote(listed.data[-1].id, safe='')}"
        return None

    async def batch(self, batch: str) -> Told:
        """A batch, as it is."""
        return await self._ask(b"GET", f"/batches/{quote(batch, safe='')}", None, Told)

    async def cancel(self, batch: str) -> Told:
        """Have no more of a batch begun; its files are there some minutes later."""
        return await self._ask(b"POST", f"/batches/{quote(batch, safe='')}/cancel", {}, Told)

    async def lines(self, file: str) -> AsyncGenerator[bytes]:
        """The lines of a file, but for empty ones and those that are too long."""
        head = self._target.root_head(b"GET", f"/files/{quote(file, safe='')}/content", None)
        response = await self._target.upstream.send(head, b"", timeouts=FILE_TIMEOUTS)
        if not _is_good(response):
            await _told(response, Made)
        async with aclosing(_lines_of(response)) as lines:
            async for line in lines:
                yield line

    async def _ask(self, method: bytes, path: str, value: Any, kind: type[T]) -> T:
        head = self._target.root_head(method, path, None if value is None else JSON)
        body = b"" if value is None else msgspec.json.encode(value)
        return await _told(await self._target.upstream.send(head, body, timeouts=TIMEOUTS), kind)


def _is_good(response: Response) -> bool:
    # Azure says 201 of what was made.
    return 200 <= response.status < 300


async def _told(response: Response, kind: type[T]) -> T:
    """:raises UpstreamError: it is a refusal, or something else"""
    body = await response.read(MAX_TOLD)
    status = response.status
    if not _is_good(response):
        raise UpstreamRejected(
            status=status,
            kind="upstream_error",
            is_retryable=status in REPEATABLE or status >= 500,
            operator_detail=body[:200].decode("utf-8", "replace"),
        )
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UpstreamBroken(operator_detail="the provider of a batch answers with something else") from error


async def _lines_of(response: Response) -> AsyncGenerator[bytes]:
    """The lines of an answer that may be long."""
    pieces: list[bytes] = []
    has_come = asyncio.Event()

    def take(piece: bytes) -> None:
        pieces.append(bytes(piece))
        has_come.set()
        if sum(map(len, pieces)) > HELD:
            response.pause()

    ended = response.relay(take)
    ended.add_done_callback(lambda _: has_come.set())
    line = _Line()
    try:
        while pieces or not ended.done():
            await has_come.wait()
            has_come.clear()
            *parts, rest = b"".join(pieces).split(b"\n")
            pieces.clear()
            response.resume()
            for part in parts:
                line.add(part)
                if whole := line.taken():
                    yield whole
            line.add(rest)
        await ended
        if whole := line.taken():
            yield whole
    finally:
        ended.cancel()


class _Line:
    """A line of which parts have come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= MAX_LINE:
            self._parts.append(part)
        else:
            self._parts.clear()

    def taken(self) -> bytes:
        """All of it, and nothing of what is too long; the next one begins."""
        if self._size > MAX_LINE:
            log.warning("a line of %d bytes in a file of a batch's provider is left out", self._size)
        whole = b"".join(self._parts)
        self._parts, self._size = [], 0
        return whole
