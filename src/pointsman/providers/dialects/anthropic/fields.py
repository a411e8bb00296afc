"""Taking members out of a client's JSON, or saying which one is wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, TypeVar

from pointsman.errors import InvalidRequest

T = TypeVar("T")

_WORDS: Final[dict[type, str]] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def place(at: str, name: str) -> str:
    """``name`` within the object that stands at ``at``; the whole body is at the empty one."""
    return f"{at}.{name}" if at else name


def take(raw: dict[str, Any], name: str, kind: type[T], at: str = "") -> T | None:
    """Give a member that must be of ``kind`` if it is there; ``null`` is not there.

    :raises InvalidRequest: it is of another kind
    """
    value = raw.get(name)
    if value is None or type(value) is kind:
        return value
    raise unfit(place(at, name), _WORDS[kind])


def need(raw: dict[str, Any], name: str, kind: type[T], at: str = "") -> T:
    """Give a member that must be there.

    :raises InvalidRequest: it is not, or is of another kind
    """
    value = take(raw, name, kind, at)
    if value is None:
        raise InvalidRequest(f"Missing '{place(at, name)}'", param=place(at, name))
    return value


def number(raw: dict[str, Any], name: str) -> float | None:
    """Give a number that may be written as an integer.

    :raises InvalidRequest: it is none
    """
    value = raw.get(name)
    return float(value) if type(value) is int else take(raw, name, float)


def objects(values: list[Any], at: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Give the objects of a list with their places.

    :raises InvalidRequest: one is none
    """
    for index, value in enumerate(values):
        here = f"{at}[{index}]"
        if not isinstance(value, dict):
            raise unfit(here, _WORDS[dict])
        yield value, here


def texts(raw: dict[str, Any], name: str) -> list[str]:
    """Give a list of strings; none if it is not there.

    :raises InvalidRequest: it is something else
    """
    values = take(raw, name, list) or []
    if not all(isinstance(value, str) for value in values):
        raise unfit(name, "a list of strings")
    return values


def rest(raw: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Give the members that are not among the ``known`` ones."""
    return {name: value for name, value in raw.items() if name not in known}


def unfit(param: str, expected: str) -> InvalidRequest:
    """The refusal of a member that is not what it should be."""
    return InvalidRequest(f"Invalid '{param}': expected {expected}", param=param)
