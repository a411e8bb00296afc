"""Limits of the downstream side."""

from __future__ import annotations

import msgspec


class EdgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What one client connection may cost; times in seconds."""

    max_head_bytes: int = 65_536
    head_timeout: float = 8.0
    """From the connection, or the first byte of a later request, to the end of the head; half-open ones end here."""
    keepalive: float = 75.0
    """How long a connection may rest between two requests; longer than the usual 60 s of load balancers."""
    body_idle: float = 30.0
    """Between two pieces of a request body."""
    stall: float = 60.0
    """How long a client may read nothing of a reply that waits for it."""
    linger: float = 2.0
    """How long an unread request body is thrown away after an early reply, so that the client can read that reply."""
    max_buffered_bytes: int = 65_536
    """Of a request body that nobody reads yet, and of a reply that the client does not read."""
