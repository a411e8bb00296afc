"""How a reply goes out: the way back to a client, events (WHATWG HTML, section 9.2) and the headers of a failure."""

from __future__ import annotations

import math
from typing import Final, Protocol

from pointsman.errors import GatewayError

EVENTS: Final = b"content-type: text/event-stream\r\ncache-control: no-cache, no-transform\r\nx-accel-buffering: no\r\n"
"""Header lines of a stream of events."""
COMMENT: Final = b":\n\n"
"""An event that says nothing."""


class Flow(Protocol):
    """A producer that can be told to wait."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Reply(Protocol):
    """The way back to a client; the edge's exchange is one. Writing never waits: ``flow_to`` names who shall."""

    @property
    def is_started(self) -> bool: ...
    def reply(self, status: int, headers: bytes, body: bytes) -> None: ...
    def start(self, status: int, headers: bytes, length: int | None = None) -> None: ...
    def write(self, piece: bytes) -> None: ...
    def finish(self) -> None: ...
    def flow_to(self, flow: Flow | None) -> None: ...


def event(data: bytes, name: bytes = b"") -> bytes:
    """Data as an event. What stands on several lines stays on several."""
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(data.splitlines())
    if name:
        return b"event: %b\ndata: %b\n\n" % (name, data)
    return b"data: %b\n\n" % data


def header_lines(error: GatewayError) -> bytes:
    """What a failure says in the head of its reply."""
    lines = [
        b"%b: %b\r\n" % (name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in error.headers
    ]
    if error.retry_after is not None:
        lines.append(b"retry-after: %d\r\n" % max(1, math.ceil(error.retry_after)))
    return b"".join(lines)
