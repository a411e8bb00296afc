"""``files`` into the settings of where files of clients are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.config.check import Report, read_section
from pointsman.config.grammar import FILES
from pointsman.store.buckets import SCHEMES
from pointsman.store.settings import DAY, MEBIBYTE, BucketPlace, FileSettings


def read_files(top: Mapping[str, Any], report: Report) -> FileSettings:
    """The settings of a document."""
    values = read_section(top.get(FILES.name), FILES, (FILES.name,), report).values
    found: dict[str, Any] = {}
    sizes = {"max_file_mb": "max_bytes", "max_owner_mb": "max_owner_bytes"}
    found |= {ours: max(1, int(values[name] * MEBIBYTE)) for name, ours in sizes.items() if name in values}
    if "batch_days" in values:
        found["batch_seconds"] = values["batch_days"] * DAY
    if "bucket_url" in values:
        found["bucket"] = place_of(values["bucket_url"])
        if found["bucket"] is None:
            report.error((FILES.name, "bucket_url"), "must be an address such as s3://bucket/prefix")
    return FileSettings(**found)


def place_of(url: str) -> BucketPlace | None:
    """The bucket, and where in it, that an address names; ``None``: it names none."""
    scheme, _, rest = url.strip().partition("://")
    name, _, prefix = rest.partition("/")
    if scheme not in SCHEMES or not name:
        return None
    prefix = prefix.strip("/")
    return BucketPlace(SCHEMES[scheme], name, f"{prefix}/" if prefix else "")
