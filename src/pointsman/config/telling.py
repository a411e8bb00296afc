"""What the status tells of a source: the seed's fields, and what it was asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pointsman.config.sources.base import Version
from pointsman.config.sources.file import FileSource
from pointsman.config.starting import Origin

BUCKETS = ("s3", "gcs", "azure")


def told_of(origin: Origin, version: Version | None) -> dict[str, Any]:
    """Where documents come from; ``version`` is that of the source as it was judged last."""
    settings, etag = origin.settings, None if version is None else version.etag
    counts = None if origin.source is None else origin.source.counts
    return {
        "enabled": settings.is_enabled,
        "hot_reload_enabled": settings.has_hot_reload,
        "sync_interval_seconds": _whole(settings.interval),
        **{kind: _bucket(origin, kind, etag) for kind in BUCKETS},
        "file": _file(origin, etag),
        "source_requests": None if counts is None else counts.requests,
        "source_unchanged": None if counts is None else counts.unchanged,
        "source_failures": None if counts is None else counts.failures,
    }


def _bucket(origin: Origin, kind: str, etag: str | None) -> dict[str, Any]:
    source, address = origin.source, origin.settings.address
    if source is None or address is None or source.kind != kind:
        return {"enabled": False, "bucket": None, "key": None, "last_etag": None}
    return {"enabled": True, "bucket": address.bucket, "key": address.key, "last_etag": etag}


def _file(origin: Origin, etag: str | None) -> dict[str, Any]:
    source = origin.source
    if not isinstance(source, FileSource):
        return {"enabled": False, "path": None, "last_etag": None}
    return {"enabled": True, "path": str(Path(source.name)), "last_etag": etag}


def _whole(seconds: float) -> float:
    return int(seconds) if seconds.is_integer() else seconds
