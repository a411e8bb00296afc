"""Members of what clients send.

Google takes every name in camel and in snake case, and one object for a list of one.
"""

from __future__ import annotations

from typing import Any

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.gemini.schemas import camel


def read_object(value: Any, place: str) -> dict[str, Any]:
    """A copy of an object with its names in camel case.

    :raises InvalidRequest: it is none
    """
    if not isinstance(value, dict):
        raise InvalidRequest(f"{place} must be an object", param=place)
    return {camel(name): member for name, member in value.items()}


def objects_of(value: Any, place: str) -> list[tuple[str, dict[str, Any]]]:
    """Objects of a list, each with its place; none of ``null``.

    :raises InvalidRequest: it is no list of objects
    """
    if value is None:
        return []
    if isinstance(value, dict):
        return [(place, read_object(value, place))]
    if not isinstance(value, list):
        raise InvalidRequest(f"{place} must be a list", param=place)
    return [(f"{place}[{at}]", read_object(each, f"{place}[{at}]")) for at, each in enumerate(value)]
