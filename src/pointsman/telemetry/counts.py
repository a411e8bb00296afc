"""What others tell on a scrape."""

from __future__ import annotations

import msgspec


class PoolCounts(msgspec.Struct, frozen=True):
    """What the upstream client has open."""

    open: int
    idle: int
    waiting: int


class LoadCounts(msgspec.Struct, frozen=True):
    """What the gateway holds back and keeps."""

    refused: int = 0
    queued: int = 0
    lag_s: float = 0.0
    cache_hits: int = 0
    cache_misses: int = 0
    cache_bytes: int = 0


class ConfigCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration in force, and what came of others."""

    hash: str
    number: int
    loaded: float
    """Seconds since 1970."""
    reloads: int = 0
    failures: int = 0
    is_broken: bool = False
    retiring: int = 0
    requests: int = 0
    unchanged: int = 0
    down: int = 0
