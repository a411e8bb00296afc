"""Reading members of a client's JSON: what is not as it should be is refused, and ``param`` says where.

A place is written as the client would: ``input[2].content[0].image_url``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from pointsman.errors import InvalidRequest

T = TypeVar("T")
Members = dict[str, Any]

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the decoder raises for bytes that are not the JSON that it expects."""


def wrong(place: str, expected: str) -> InvalidRequest:
    """The refusal of a value that is not what stands at ``place``."""
    return InvalidRequest(f"Invalid '{place}': expected {expected}", param=place)


def missing(place: str) -> InvalidRequest:
    """The refusal of a request without the value at ``place``."""
    return InvalidRequest(f"Missing required parameter: '{place}'", param=place)


def text(value: Any, place: str) -> str:
    """A text."""
    if isinstance(value, str):
        return value
    raise wrong(place, "a string")


def number(value: Any, place: str) -> float:
    """A number; a whole one stays whole."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise wrong(place, "a number")


def whole(value: Any, place: str) -> int:
    """A whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise wrong(place, "an integer")


def flag(value: Any, place: str) -> bool:
    """A truth value."""
    if isinstance(value, bool):
        return value
    raise wrong(place, "true or false")


def members(value: Any, place: str) -> Members:
    """An object."""
    if isinstance(value, dict):
        return value
    raise wrong(place, "an object")


def objects(value: Any, place: str) -> list[Members]:
    """A list of objects."""
    if isinstance(value, list):
        return [members(each, f"{place}[{at}]") for at, each in enumerate(value)]
    raise wrong(place, "an array of objects")


def texts(value: Any, place: str) -> list[str]:
    """A list of texts."""
    if isinstance(value, list):
        return [text(each, f"{place}[{at}]") for at, each in enumerate(value)]
    raise wrong(place, "an array of strings")


def optional(of: Members, name: str, read: Callable[[Any, str], T], place: str = "") -> T | None:
    """The member ``name`` of the object at ``place``; ``None`` where it is absent or null."""
    value = of.get(name)
    return None if value is None else read(value, _below(place, name))


def needed(of: Members, name: str, read: Callable[[Any, str], T], place: str = "") -> T:
    """The member ``name`` of the object at ``place``, which it must have."""
    value = of.get(name)
    if value is None:
        raise missing(_below(place, name))
    return read(value, _below(place, name))


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
