"""Messages over a pipe: one to a line, and none of them longer than is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_EDGE_BYTES: Final = 4096
_BEGIN: Final = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d{1,18})\s*,')
_END: Final = re.compile(rb'"id"\s*:\s*(\d{1,18})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*\Z')


class TooLong:
    """Stands for a line that was longer than is allowed, of which only both ends are known."""

    def __init__(self, begin: bytes, end: bytes) -> None:
        self.begin = begin
        self.end = end

    @property
    def id(self) -> int | None:
        """Of the response that it seems to be: servers write the id before the result or after it."""
        found = _BEGIN.match(self.begin) or _END.search(self.end)
        return int(found[1]) if found else None


class Lines:
    """Cuts what is read into lines, without their ends. Keeps at most ``limit`` bytes and what is fed at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._begin: bytes | None = None
        """Of a line that is too long."""

    def feed(self, data: bytes) -> Iterator[bytes | TooLong]:
        """Give the lines that ``data`` ends."""
        *ends, rest = data.split(b"\n")
        for end in ends:
            yield self._line(end)
        self._rest += rest
        if self._begin is not None or len(self._rest) > self._limit:
            self._shorten()

    def _line(self, end: bytes) -> bytes | TooLong:
        if not self._rest and len(end) <= self._limit:
            return end
        self._rest += end
        if self._begin is not None or len(self._rest) > self._limit:
            self._shorten()
        line, begin = bytes(self._rest), self._begin
        self._rest.clear()
        self._begin = None
        return line if begin is None else TooLong(begin, line)

    def _shorten(self) -> None:
        if self._begin is None:
            self._begin = bytes(self._rest[:_EDGE_BYTES])
        del self._rest[:-_EDGE_BYTES]
