"""Definitions of tools that somebody has approved, and what has become of them since.

A server can show a harmless tool until it is trusted, and another one under the same name from then on. So what a model
reads of a tool is hashed when it is seen first, and compared with that whenever the list is read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

PINNED: Final = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
"""Members of a tool that are compared: what a model, or who decides for it, goes by."""
MAX_DEFINITION: Final = 64 * 1024
"""Bytes of a definition that is kept to be shown; of a longer one there is only the hash."""
MAX_TOOLS: Final = 2000

Kind = Literal["changed", "added", "removed"]


class Pin(msgspec.Struct, frozen=True, omit_defaults=True):
    """A definition that was approved."""

    digest: str
    definition: dict[str, Any] | None = None


class Difference(msgspec.Struct, frozen=True):
    """What is not as it was approved."""

    tool: str
    kind: Kind
    before: Pin | None
    after: Pin | None


def pin_of(tool: Mapping[str, Any]) -> Pin:
    """A tool as it is at the moment."""
    definition = {name: tool[name] for name in PINNED if tool.get(name) is not None}
    text = msgspec.json.encode(definition, order="sorted")
    return Pin(hashlib.sha256(text).hexdigest(), definition if len(text) <= MAX_DEFINITION else None)


def pins_of(tools: Iterable[Mapping[str, Any]]) -> dict[str, Pin]:
    """Tools by name; of two with the same name the first."""
    found: dict[str, Pin] = {}
    for tool in tools:
        name = tool.get("name")
        if isinstance(name, str) and len(found) < MAX_TOOLS:
            found.setdefault(name, pin_of(tool))
    return found


def differences(approved: Mapping[str, Pin], seen: Mapping[str, Pin]) -> list[Difference]:
    """What differs, in the order of the names."""
    found = []
    for name in sorted(approved.keys() | seen.keys()):
        before, after = approved.get(name), seen.get(name)
        if before is None:
            found.append(Difference(name, "added", None, after))
        elif after is None:
            found.append(Difference(name, "removed", before, None))
        elif before.digest != after.digest:
            found.append(Difference(name, "changed", before, after))
    return found
