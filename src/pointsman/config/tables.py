"""What a table of config keys is made of: sections, and one row per key."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import msgspec

from pointsman.config.kinds import ANY, Kind, number, whole

Standing = Literal["honoured", "pending"]
Unknown = Literal["warn", "keep", "carry"]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One config key."""

    name: str
    kind: Kind = ANY
    about: str = ""
    standing: Standing = "honoured"
    holds: Literal["one", "list", "map"] | None = None
    """How the value holds ``section``: as itself, as a list of it, or as a mapping of names to it."""
    section: str | None = None
    is_required: bool = False
    is_unset_allowed: bool = False
    """Whether a variable that is not set leaves it unset, with a warning, where it is an error elsewhere."""
    choices: tuple[str, ...] = ()
    """Values that are acted on; others are known but not acted on."""


class Section(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One mapping of a document."""

    name: str
    about: str
    keys: tuple[Key, ...]
    unknown: Unknown = "warn"
    """What becomes of keys outside the table: a warning, kept as they are, or carried into request bodies."""
    pending_prefixes: tuple[str, ...] = ()
    """Families of LiteLLM keys that are not acted on."""

    def find(self, name: str) -> Key | None:
        """The row of a key, also for a family of pending ones."""
        found = self._by_name.get(name)
        if found is not None:
            return found
        if name.startswith(self.pending_prefixes) and self.pending_prefixes:
            return Key(name=name, standing="pending")
        return None

    def names(self) -> tuple[str, ...]:
        """All keys of the table."""
        return tuple(self._by_name)

    @cached_property
    def _by_name(self) -> dict[str, Key]:
        return {key.name: key for key in self.keys}


def row(name: str, kind: Kind, about: str, **more: Any) -> Key:
    """A key that is acted on."""
    return Key(name=name, kind=kind, about=about, **more)


def as_section(name: str) -> dict[str, Any]:
    """The JSON Schema of a value that a section describes."""
    return {"$ref": f"#/definitions/{name}"}


def pending_rows(names: tuple[str, ...]) -> tuple[Key, ...]:
    """Keys of LiteLLM that nothing acts on."""
    return tuple(Key(name=name, standing="pending") for name in names)


RETRIES = whole(0, 100)
SPEED = number(0, above=True)
