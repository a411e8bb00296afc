"""What an operator can set about calling upstreams."""

from __future__ import annotations

import msgspec


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """How long each step of one upstream request may take, in seconds."""

    connect: float = 5.0
    """Name resolution, TCP, proxy tunnel and TLS together."""
    first_byte: float = 600.0
    """From the request being sent to the head of the answer."""
    idle: float = 120.0
    """Between two pieces of the answer's body."""
    total: float = 6000.0
    """From the start to the last byte."""


class Proxies(msgspec.Struct, frozen=True, kw_only=True):
    """Forward proxies, as the customary environment variables name them."""

    http: str | None = None
    https: str | None = None
    no_proxy: tuple[str, ...] = ()


class UpstreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the upstream client."""

    timeouts: Timeouts = Timeouts()
    proxies: Proxies = Proxies()
    max_connections_per_host: int = 4096
    max_waiting_per_host: int = 8192
    """Requests that may wait for a connection; one more is refused at once."""
    keepalive: float = 60.0
    """Seconds that an idle connection is kept."""
    max_head_bytes: int = 65_536
    ca_file: str | None = None
    verify_tls: bool = True
