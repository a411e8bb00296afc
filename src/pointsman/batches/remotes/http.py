"""Asking the batch API of a provider at one deployment, by the way that its requests go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Final, TypeVar

import msgspec

from pointsman.errors import UpstreamBroken, UpstreamRejected
from pointsman.pipeline.targets import NO_HEADERS, Target
from pointsman.providers.scrub import hide_secrets
from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts

T = TypeVar("T")
MAX_SHOWN: Final = 200
"""Characters of a refusal, in the log."""
MAX_TOLD: Final = 4 << 20
"""Bytes of an answer that is no file."""
MAX_LINE: Final = 64 << 20
HELD: Final = 1 << 20
"""Bytes of a file that may wait to be read."""
TIMEOUTS: Final = Timeouts(connect=10.0, first_byte=20.0, idle=20.0, total=30.0)
FILE_TIMEOUTS: Final = Timeouts(connect=10.0, first_byte=600.0, idle=60.0, total=3600.0)
JSON: Final = "application/json"
REPEATABLE: Final = frozenset({408, 409, 429})
log = logging.getLogger(__name__)


class Sending(msgspec.Struct, frozen=True):
    """How a body goes that comes in pieces."""

    content_type: str = JSON
    length: int | None = None
    """Bytes of it; ``None``: that is not known before."""
    headers: Mapping[bytes, bytes] = NO_HEADERS
    """The caller's, of which those pass that the provider's dialect knows."""
    lines: bytes = b""
    """Further lines of the head."""
    timeouts: Timeouts = FILE_TIMEOUTS


class Api:
    """Below where it begins. All methods raise :class:`~pointsman.errors.UpstreamError`."""

    def __init__(self, target: Target) -> None:
        self.target = target

    async def ask(self, method: bytes, path: str, value: Any, kind: type[T], most: int = MAX_TOLD) -> T:
        """What is answered to a question, in up to ``most`` bytes; its body is ``value`` unless that is ``None``."""
        head = self.target.root_head(method, path, None if value is None else JSON)
        body = b"" if value is None else msgspec.json.encode(value)
        return await self._told(await self.target.upstream.send(head, body, timeouts=TIMEOUTS), kind, most)

    async def make(self, path: str, value: Any, kind: type[T]) -> T:
        """The same for what must not be made twice: the question is sent once at most."""
        body = msgspec.json.encode(value)

        async def once() -> AsyncGenerator[bytes]:
            # In pieces, since the pool sends again what it has whole, where a kept connection closes.
            yield body

        return await self.send(path, once(), Sending(length=len(body), timeouts=TIMEOUTS), kind)

    async def send(self, path: str, body: AsyncIterator[bytes], sending: Sending, kind: type[T]) -> T:
        """The same for a long body, which is sent once at most; what ``body`` raises is raised."""
        head = self.target.root_head(b"POST", path, sending.content_type, sending.headers) + sending.lines
        upstream = self.target.upstream
        response = await upstream.send(head, body, length=sending.length, timeouts=sending.timeouts)
        return await self._told(response, kind)

    async def named(self, path: str, value: Any, lines: bytes, name: bytes) -> str:
        """What the header ``name`` of the answer to a question says, with further ``lines`` in its head."""
        head = self.target.root_head(b"POST", path, JSON) + lines
        response = await self.target.upstream.send(head, msgspec.json.encode(value), timeouts=TIMEOUTS)
        found = response.header(name)
        await self._told(response, dict)
        if found is None:
            raise UpstreamBroken(operator_detail=f"the provider of a batch answers without {name.decode()}")
        return found.decode("latin-1")

    async def lines(self, path: str, headers: Mapping[bytes, bytes] = NO_HEADERS) -> AsyncGenerator[bytes]:
        """The lines of a file, but for empty ones and those that are too long; ``headers`` as in :class:`Sending`."""
        head = self.target.root_head(b"GET", path, None, headers)
        response = await self.target.upstream.send(head, b"", timeouts=FILE_TIMEOUTS)
        if not _is_good(response):
            await self._told(response, dict)
        async with aclosing(_lines_of(response)) as lines:
            async for line in lines:
                yield line

    async def _told(self, response: Response, kind: type[T], most: int = MAX_TOLD) -> T:
        """:raises UpstreamError: it is a refusal, or something else"""
        body = await response.read(most)
        status = response.status
        if not _is_good(response):
            raise UpstreamRejected(
                status=status,
                kind="upstream_error",
                is_retryable=status in REPEATABLE or status >= 500,
                operator_detail=hide_secrets(body.decode("utf-8", "replace"), secrets=self.target.secrets)[:MAX_SHOWN],
            )
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamBroken(operator_detail="the provider of a batch answers with something else") from error


def _is_good(response: Response) -> bool:
    # Azure says 201 of what was made.
    return 200 <= response.status < 300


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
