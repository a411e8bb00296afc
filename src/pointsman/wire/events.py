"""Reading server-sent events with all that a client needs of them, also ids and pauses.

The grammar is that of the WHATWG HTML standard, section 9.2.6.
"""

from __future__ import annotations

from typing import Final

import msgspec

from pointsman.errors import UpstreamBroken

_BOM: Final = b"\xef\xbb\xbf"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event."""

    name: bytes
    """Empty where it has none, which stands for ``message``."""
    data: bytes
    id: bytes | None = None
    """``None``: it has none, and the last one stays in force."""


class Events:
    """Events, fed in pieces of any size. ``max_bytes`` bounds one of them."""

    __slots__ = ("_began", "_lines", "_max_bytes", "_size", "_tail", "last_id", "retry")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._tail = bytearray()
        self._lines: list[bytes] = []
        self._size = 0
        """Bytes of them."""
        self._began = False
        self.last_id: bytes | None = None
        """Of the last event that had one, also of one without data."""
        self.retry: float | None = None
        """Seconds to wait before the stream is asked for again, as the server wants it."""

    def restart(self) -> None:
        """Begin a new stream that goes on where this one was cut."""
        self._tail.clear()
        self._lines, self._size = [], 0
        self._began = False

    def feed(self, piece: bytes) -> list[Event]:
        """Give the events that ``piece`` completes. Those without data only leave their id.

        :raises UpstreamBroken: an event is too long
        """
        tail = self._tail
        is_half = tail.endswith(b"\r")
        tail += piece
        if self._began and not is_half and piece.find(b"\n") < 0 and piece.find(b"\r") < 0:
            # Most pieces of a long event: it is not searched from its beginning again and again.
            self._check(len(tail))
            return []
        if tail.endswith(b"\r"):
            # It may be half of a line end.
            ready, rest = bytes(tail[:-1]), b"\r"
        else:
            ready, rest = bytes(tail), b""
        if not self._began:
            if len(ready) < len(_BOM) and _BOM.startswith(ready):
                return []
            self._began = True
            ready = ready.removeprefix(_BOM)
        if b"\r" in ready:
            ready = ready.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, open_line = ready.split(b"\n")
        self._tail = bytearray(open_line + rest)
        found = self._take(lines)
        self._check(len(self._tail))
        return found

    def _check(self, more: int) -> None:
        if self._size + more > self._max_bytes:
            raise UpstreamBroken("The server sent an event that is too long")

    def _take(self, lines: list[bytes]) -> list[Event]:
        found = []
        for line in lines:
            if line:
                self._lines.append(line)
                self._size += len(line)
                self._check(0)
            elif self._lines:
                event = self._event(self._lines)
                self._lines, self._size = [], 0
                if event is not None:
                    found.append(event)
        return found

    def _event(self, lines: list[bytes]) -> Event | None:
        name, data, its_id = b"", [], None
        for line in lines:
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value
            elif field == b"id" and b"\0" not in value:
                its_id = self.last_id = value
            elif field == b"retry" and value.isdigit():
                self.retry = int(value[:9]) / 1000
        text = b"\n".join(data)
        return Event(name, text, its_id) if text else None
