"""Members of the JSON objects that a client sends, taken one by one and checked."""

from __future__ import annotations

from typing import Any

from pointsman.errors import InvalidRequest


class Fields:
    """The members of one object.

    Each method takes a member; a ``null`` is a member that is not there. What was not taken stays in ``rest``.
    All of them raise :class:`InvalidRequest` that names the place of a member which is not what it should be.
    """

    __slots__ = ("_place", "rest")

    def __init__(self, value: Any, place: str = "") -> None:
        if type(value) is not dict:
            raise invalid(place, "an object")
        self.rest: dict[str, Any] = {name: member for name, member in value.items() if member is not None}
        self._place = place

    def place(self, name: str) -> str:
        """Where the member ``name`` stands in the request."""
        return f"{self._place}.{name}" if self._place else name

    def take(self, name: str) -> Any:
        """A member of any type."""
        return self.rest.pop(name, None)

    def text(self, name: str) -> str | None:
        """A text."""
        value: str | None = self._typed(name, str, "a string")
        return value

    def needed_text(self, name: str) -> str:
        """A text that has to be there."""
        value = self.text(name)
        if value is None:
            raise missing(self.place(name))
        return value

    def flag(self, name: str) -> bool | None:
        """``true`` or ``false``."""
        value: bool | None = self._typed(name, bool, "true or false")
        return value

    def number(self, name: str) -> float | None:
        """A number, whole or not."""
        value: Any = self.rest.pop(name, None)
        if value is None or type(value) is float or type(value) is int:
            return value
        raise invalid(self.place(name), "a number")

    def whole(self, name: str) -> int | None:
        """A whole number; clients whose language has one kind of numbers may write ``7.0``."""
        value = self.number(name)
        if type(value) is float:
            if not value.is_integer():
                raise invalid(self.place(name), "a whole number")
            return int(value)
        return value  # type: ignore[return-value]  # a float was seen to above

    def items(self, name: str) -> list[Any]:
        """An array; none is an empty one."""
        value: list[Any] | None = self._typed(name, list, "an array")
        return value or []

    def inner(self, name: str) -> Fields | None:
        """An object."""
        value = self.rest.pop(name, None)
        return None if value is None else Fields(value, self.place(name))

    def needed_inner(self, name: str) -> Fields:
        """An object that has to be there."""
        value = self.inner(name)
        if value is None:
            raise missing(self.place(name))
        return value

    def schema(self, name: str) -> dict[str, Any] | None:
        """An object that stays as it is."""
        value: dict[str, Any] | None = self._typed(name, dict, "an object")
        return value

    def _typed(self, name: str, kind: type, expected: str) -> Any:
        value = self.rest.pop(name, None)
        if value is None or type(value) is kind:
            return value
        raise invalid(self.place(name), expected)


def invalid(place: str, expected: str) -> InvalidRequest:
    """The refusal of what stands at ``place``, which is not ``expected``."""
    if not place:
        return InvalidRequest(f"The body must be {expected}")
    return InvalidRequest(f"Invalid '{place}': expected {expected}", param=place)


def missing(place: str) -> InvalidRequest:
    """The refusal of a request that lacks what should stand at ``place``."""
    return InvalidRequest(f"Missing required parameter: '{place}'", param=place)
