"""``batches`` into the settings of batches of requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.batches.settings import BatchSettings
from pointsman.config.check import Report, read_section
from pointsman.config.grammar import BATCHES
from pointsman.store.settings import MEBIBYTE

_AS_THEY_ARE = ("max_requests", "max_open", "max_concurrency", "lease_seconds")
_SIZES = {"max_input_mb": "max_input_bytes", "max_line_mb": "max_line_bytes"}
LEAST_LINE = 4096
"""Bytes: less would hold no request."""


def read_batches(top: Mapping[str, Any], report: Report) -> BatchSettings:
    """The settings of a document."""
    values = read_section(top.get(BATCHES.name), BATCHES, (BATCHES.name,), report).values
    found = {name: values[name] for name in _AS_THEY_ARE if name in values}
    found |= {ours: max(LEAST_LINE, int(values[name] * MEBIBYTE)) for name, ours in _SIZES.items() if name in values}
    return BatchSettings(**found)
