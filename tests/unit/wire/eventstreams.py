"""Messages of ``application/vnd.amazon.eventstream``, as Amazon writes them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from pointsman.wire.eventstream import EXCEPTION


def encode(name: str, payload: Any) -> bytes:
    """An event with the JSON of ``payload``; an exception if ``name`` begins with ``exception:``."""
    kind, _, exception = name.rpartition(EXCEPTION.decode())
    is_exception = bool(exception) and name.startswith(EXCEPTION.decode())
    headers = {
        ":exception-type" if is_exception else ":event-type": exception or kind,
        ":content-type": "application/json",
        ":message-type": "exception" if is_exception else "event",
    }
    return message(headers, msgspec.json.encode(payload))


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A message with headers of text."""
    return framed(b"".join(header(name, 7, _sized(value.encode())) for name, value in headers.items()), payload)


def header(name: str, kind: int, value: bytes) -> bytes:
    """A header of any type, ``value`` as it stands there."""
    return bytes([len(name)]) + name.encode() + bytes([kind]) + value


def framed(headers: bytes, payload: bytes) -> bytes:
    """A message with these bytes as its headers."""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def _sized(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value
