"""The golden files of this dialect."""

from __future__ import annotations

from functools import partial

from unit.providers.dialects import classes
from unit.providers.dialects.classes import built, plain

__all__ = ["built", "cases", "plain"]

cases = partial(classes.cases, "ollama")
