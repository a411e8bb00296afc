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
_LINE: Final = re.compile(rb"(?:\A|(?<=[\r\n]))(data|event)(?:: ?|(?=[\r\n])|\Z)([^\r\n]*+)")


class SseMessages:
    """Server-sent events, as the WHATWG HTML standard has them in section 9.2.6, fed in pieces of any size.

    ``max_bytes`` bounds one event.
    """

    __slots__ = ("_began", "_max_bytes", "_tail")

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._tail = b""
        self._began = False

    def feed(self, piece: bytes) -> list[Message]:
        """Give the events that ``piece`` completes. Those without data (comments) are left out.

        :raises UpstreamBroken: an event is too long
        """
        text = self._tail + piece if self._tail else piece
        if not self._began and text:
            if _BOM.startswith(text[:3]) and len(text) < len(_BOM):
                self._tail = text
                return []
            self._began = True
            text = text.removeprefix(_BOM)
        if text.endswith(b"\n\n") and text.find(b"\r") < 0:
            self._tail = b""
            return [message for event in text.split(b"\n\n") if event and (message := _message(event)) is not None]
        messages = []
        start = 0
        for boundary in _BOUNDARY.finditer(text):
            end = boundary.end()
            if not _is_blank_line(boundary[0]):
                continue
            message = _message(text[start : boundary.start()])
            if message is not None:
                messages.append(message)
            start = end
        self._tail = text[start:]
        if len(self._tail) > self._max_bytes:
            self._tail = b""
            raise UpstreamBroken("The provider sent an event that is too long")
        return messages

    def close(self) -> list[Message]:
        """Give a last event that only lacks its blank line."""
        text, self._tail = self._tail.strip(b"\r\n"), b""
        message = _message(text) if text else None
        return [] if message is None else [message]


class JsonLines:
    """JSON, one value a line, fed in pieces of any size. ``max_bytes`` bounds one line."""

    __slots__ = ("_max_bytes", "_tail")

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._tail = b""

    def feed(self, piece: bytes) -> list[Message]:
        """Give the lines that ``piece`` completes.

        :raises UpstreamBroken: a line is too long
        """
        *lines, self._tail = (self._tail + piece).split(b"\n")
        if len(self._tail) > self._max_bytes:
            self._tail = b""
            raise UpstreamBroken("The provider sent a line that is too long")
        return [(b"", line) for line in map(bytes.strip, lines) if line]

    def close(self) -> list[Message]:
        """Give a last line without its end."""
        line, self._tail = self._tail.strip(), b""
        return [(b"", line)] if line else []


def _is_blank_line(ends: bytes) -> bool:
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
