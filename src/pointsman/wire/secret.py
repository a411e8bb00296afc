"""A credential that does not print itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_NAME: Final = re.compile(r"(?i)key|secret|passw|token|credential|authorization|cookie")
"""Headers and variables that usually hold a secret."""
_SHORTEST: Final = 8


class Secret:
    """A string that shows only in :meth:`reveal`, so that no log, error, listing or ``repr`` can hold it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The credential itself; for the head of an upstream request and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def revealed(value: Any) -> Any:
    """A value with the texts of the secrets in it, at any depth."""
    if isinstance(value, Mapping):
        return {key: revealed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [revealed(item) for item in value]
    return value.reveal() if isinstance(value, Secret) else value


def texts_of(value: Any) -> Iterator[str]:
    """The texts of the secrets in a value, at any depth."""
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from texts_of(item)


def texts_named_so(named: Mapping[str, str]) -> Iterator[str]:
    """The values of headers or variables whose names say that they are secret."""
    for name, value in named.items():
        if _NAME.search(name) and len(value) >= _SHORTEST:
            yield value
