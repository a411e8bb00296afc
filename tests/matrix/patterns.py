"""Whether JSON holds what is looked for.

A pattern is JSON itself: an object must have the members of the pattern's, a list an element for each of the
pattern's, anything else must be equal. ``...`` stands for whatever is neither missing nor null, a set for any of its
elements, a function for what it says yes to.
"""

from __future__ import annotations

from typing import Any


def holds(value: Any, pattern: Any) -> bool:
    """Whether ``value`` has all that ``pattern`` says."""
    if pattern is ...:
        return value is not None
    if callable(pattern):
        return bool(pattern(value))
    if isinstance(pattern, set | frozenset):
        return any(holds(value, each) for each in pattern)
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            name in value and holds(value[name], inner) for name, inner in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(holds(each, inner) for each in value) for inner in pattern)
    return bool(value == pattern) and type(value) is type(pattern)


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the members of ``more``, object by object."""
    both = dict(base)
    for name, value in more.items():
        there = both.get(name)
        both[name] = merged(there, value) if isinstance(there, dict) and isinstance(value, dict) else value
    return both
