"""Cutting streams into messages: server-sent events, and JSON one a line."""

from __future__ import annotations

import re
from typing import Final

from pointsman.errors import UpstreamBroken

MAX_MESSAGE_BYTES: Final = 1024 * 1024

Message = tuple[bytes, bytes]
"""The event's name, empty where there is none, and its data."""

_BOM: Final = b"\xef\xbb\xbf"
_BOUNDARY: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)+")
_OPEN_END: Final = 2
"""Bytes of line ends that are not yet a blank line, at most: those may become one with what follows."""
_LINE: Final = re.compile(rb"(?:\A|(?<=[\r\n]))(data|event)(?:: ?|(?=[\r\n])|\Z)([^\r\n]*+)")


class SseMessages:
    """Server-sent events, as the WHATWG HTML standard has them in section 9.2.6, fed in pieces of any size.

    ``max_bytes`` bounds one event.
    """

    __slots__ = ("_began", "_max_bytes", "_tail")

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._tail = bytearray()
        self._began = False

    def feed(self, piece: bytes) -> list[Message]:
        """Give the events that ``piece`` completes. Those without data (comments) are left out.

        :raises UpstreamBroken: an event is too long
        """
        if not self._began:
            piece = bytes(self._tail + piece)
            self._tail.clear()
            if len(piece) < len(_BOM) and _BOM.startswith(piece):
                self._tail += piece
                return []
            self._began = True
            piece = piece.removeprefix(_BOM)
        if not self._tail and piece.endswith(b"\n\n") and piece.find(b"\r") < 0:
            return [message for event in piece.split(b"\n\n") if event and (message := _message(event)) is not None]
        return self._feed_part(piece)

    def _feed_part(self, piece: bytes) -> list[Message]:
        """Only what is new is searched: an event of many pieces costs no more than its length."""
        tail = self._tail
        searched = max(len(tail) - _OPEN_END, 0)
        tail += piece
        messages = []
        start = 0
        # Most pieces of a long event have no line end, which is quicker seen than a pattern is tried.
        has_end = tail.find(b"\n", searched) >= 0 or tail.find(b"\r", searched) >= 0
        for boundary in _BOUNDARY.finditer(tail, searched) if has_end else ():
            if not _is_blank_line(boundary[0]):
                continue
            message = _message(bytes(memoryview(tail)[start : boundary.start()]))
            if message is not None:
                messages.append(message)
            start = boundary.end()
        del tail[:start]
        if len(tail) > self._max_bytes:
            tail.clear()
            raise UpstreamBroken("The provider sent an event that is too long")
        return messages

    def close(self) -> list[Message]:
        """Give a last event that only lacks its blank line."""
        text = bytes(self._tail.strip(b"\r\n"))
        self._tail.clear()
        message = _message(text) if text else None
        return [] if message is None else [message]


class JsonLines:
    """JSON, one value a line, fed in pieces of any size. ``max_bytes`` bounds one line."""

    __slots__ = ("_max_bytes", "_tail")

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._tail = bytearray()

    def feed(self, piece: bytes) -> list[Message]:
        """Give the lines that ``piece`` completes.

        :raises UpstreamBroken: a line is too long
        """
        first, *others = piece.split(b"\n")
        self._tail += first
        lines = []
        if others:
            lines = [bytes(self._tail), *others[:-1]]
            self._tail = bytearray(others[-1])
        if len(self._tail) > self._max_bytes:
            self._tail.clear()
            raise UpstreamBroken("The provider sent a line that is too long")
        return [(b"", line) for line in map(bytes.strip, lines) if line]

    def close(self) -> list[Message]:
        """Give a last line without its end."""
        line = bytes(self._tail.strip())
        self._tail.clear()
        return [(b"", line)] if line else []


def _is_blank_line(ends: bytes | bytearray) -> bool:
    """Whether a run of line ends holds an empty line: CR LF is one end."""
    return len(ends.replace(b"\r\n", b"\n")) > 1


def _message(event: bytes) -> Message | None:
    # The usual events are one line, or two.
    if event.startswith(b"data: ") and event.find(b"\n") < 0 and event.find(b"\r") < 0:
        return (b"", event[6:]) if len(event) > len(b"data: ") else None
    if event.startswith(b"event: ") and event.count(b"\n") == 1 and event.find(b"\r") < 0:
        kind, is_usual, text = event[7:].partition(b"\ndata: ")
        if is_usual and text:
            return kind, text
    name = b""
    data = []
    for field, value in _LINE.findall(event):
        if field == b"data":
            data.append(value)
        else:
            name = value
    return (name, b"\n".join(data)) if any(data) else None
