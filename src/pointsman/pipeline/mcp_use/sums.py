"""What several rounds have used, in the words of any API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def add_up(sums: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add what a round has used, member by member."""
    for name, value in more.items():
        if isinstance(value, dict):
            inner = sums.get(name)
            sums[name] = inner if isinstance(inner, dict) else {}
            add_up(sums[name], value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            before = sums.get(name)
            sums[name] = value + (before if isinstance(before, int | float) else 0)
        else:
            sums.setdefault(name, value)
