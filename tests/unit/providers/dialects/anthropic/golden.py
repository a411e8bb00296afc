"""The golden files of this dialect."""

from __future__ import annotations

from functools import partial

from unit.providers.dialects import pairs
from unit.providers.dialects.pairs import answer, load, request, values

__all__ = ["answer", "cases", "load", "request", "values"]

cases = partial(pairs.cases, "anthropic")
