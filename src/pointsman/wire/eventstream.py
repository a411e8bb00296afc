"""Cutting Amazon's event streams (``application/vnd.amazon.eventstream``) into messages.

A message is a prelude (its length, the length of its headers, a checksum of both), headers, a payload and a checksum of
all that. Source: smithy.io/2.0/aws/amazon-eventstream.html.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.wire.messages import MAX_MESSAGE_BYTES, Message

EXCEPTION: Final = b"exception:"
"""Begins the name of a message that says that the stream has failed; what follows says how."""

_PRELUDE: Final = struct.Struct(">III")
_CHECKSUM: Final = struct.Struct(">I")
_SHORTEST: Final = _PRELUDE.size + _CHECKSUM.size
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value, by its type."""
_WITH_LENGTH: Final = (6, 7)
"""Types of values that have their length in two bytes before them: bytes and text."""
_MAX_KNOWN: Final = 16
_MAX_KNOWN_BYTES: Final = 256
_encode: Final = msgspec.json.Encoder().encode

Headers = dict[bytes, bytes]


class EventStreamMessages:
    """Messages, fed in pieces of any size.

    An event's name is its ``:event-type``. That of an exception is ``exception:`` and its ``:exception-type``, that
    of an error ``exception:`` and its ``:error-code``, and its data ``{"message": ...}``. ``max_bytes`` bounds one
    message; Amazon allows 16 MiB.
    """

    __slots__ = ("_known", "_max_bytes", "_needed", "_tail")

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._tail = bytearray()
        self._needed = 0
        self._known: dict[bytes, bytes] = {}
        """Names of events by their headers: a stream has few different ones."""

    def feed(self, piece: bytes) -> list[Message]:
        """Give the messages that ``piece`` completes.

        :raises UpstreamBroken: a message is too long, damaged or malformed
        """
        text = piece
        if self._tail:
            self._tail += piece
            if len(self._tail) < self._needed:
                return []
            text = bytes(self._tail)
        messages = []
        start, size, self._needed = 0, len(text), 0
        while size - start >= _SHORTEST:
            end = start + self._length(text, start)
            if end > size:
                self._needed = end - start
                break
            messages.append(self._message(text, start, end))
            start = end
        self._tail = bytearray(text[start:])
        return messages

    def close(self) -> list[Message]:
        """Nothing: a message without its end is none."""
        self._tail.clear()
        return []

    def _length(self, text: bytes, start: int) -> int:
        length, n_headers, checksum = _PRELUDE.unpack_from(text, start)
        if zlib.crc32(text[start : start + 8]) != checksum:
            raise _damaged()
        if length > self._max_bytes:
            raise UpstreamBroken("The provider sent an event that is too long")
        if length < _SHORTEST + n_headers:
            raise _damaged()
        return int(length)

    def _message(self, text: bytes, start: int, end: int) -> Message:
        if zlib.crc32(text[start : end - 4]) != _CHECKSUM.unpack_from(text, end - 4)[0]:
            raise _damaged()
        head = start + _PRELUDE.size
        body = head + int.from_bytes(text[start + 4 : start + 8], "big")
        raw, data = text[head:body], text[body : end - 4]
        name = self._known.get(raw)
        if name is not None:
            return name, data
        headers = read_headers(raw)
        match headers.get(b":message-type"):
            case b"exception":
                return EXCEPTION + headers.get(b":exception-type", b""), data
            case b"error":
                said = headers.get(b":error-message", b"").decode(errors="replace")
                return EXCEPTION + headers.get(b":error-code", b""), _encode({"message": said})
        name = headers.get(b":event-type", b"")
        if len(raw) <= _MAX_KNOWN_BYTES and len(self._known) < _MAX_KNOWN:
            self._known[raw] = name
        return name, data


def read_headers(raw: bytes) -> Headers:
    """Names and values of the headers, the values as they stand there.

    :raises UpstreamBroken: they are malformed
    """
    headers: Headers = {}
    at, size = 0, len(raw)
    while at < size:
        after_name = at + 1 + raw[at]
        if after_name >= size:
            raise _damaged()
        kind = raw[after_name]
        value = after_name + 1
        if kind in _WITH_LENGTH:
            n_value = int.from_bytes(raw[value : value + 2], "big")
            value += 2
        elif kind in _SIZES:
            n_value = _SIZES[kind]
        else:
            raise _damaged()
        if value + n_value > size:
            raise _damaged()
        headers[raw[at + 1 : after_name]] = raw[value : value + n_value]
        at = value + n_value
    return headers


def _damaged() -> UpstreamBroken:
    return UpstreamBroken("The provider's stream was damaged on its way")
