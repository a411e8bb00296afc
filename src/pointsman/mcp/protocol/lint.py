"""What is wrong with a tool, so that it alone is kept from clients and not the whole list that it stands in.

Clients refuse a list in which one tool is no tool; and what a person cannot see in a tool's texts, while a model reads
it, has no honest use there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain
from typing import Any, Final

MAX_NAME: Final = 128
MAX_DEPTH: Final = 64
_HIDDEN = re.compile(
    "["
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters but tabs and line ends
    "\xad\u034f\u180b-\u180f\u200b\u2060-\u206f\ufeff\ufff0-\ufffb"  # no width
    "\u2028\u2029"  # line ends that few show as such
    "\u202a-\u202e"  # turning the direction of what follows, as some of the others do
    "\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"  # letters without a shape
    "\ufe00-\ufe0d"  # variants of what has none; those of emoji are others
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # marks of shorthand and of music
    "\U000e0000-\U000e0fff"  # tags, and more variants
    "]"
    # What joins, divides and turns letters, or picks their form, has honest uses one at a time.
    "|[\u061c\u200c-\u200f]{2}|[\ufe0e\ufe0f]{2}"
)


def faults(tool: Any) -> list[str]:
    """Why a tool is not to be shown; none: it may be."""
    if not isinstance(tool, Mapping):
        return ["it is no object"]
    name = tool.get("name")
    found = []
    if not isinstance(name, str) or not name:
        found.append("it has no name")
    elif len(name) > MAX_NAME or " " in name or not name.isprintable():
        found.append(f"its name is longer than {MAX_NAME} characters, or has spaces in it")
    description = tool.get("description")
    if description is not None and not isinstance(description, str):
        found.append("its description is no text")
    for member, is_needed in (("inputSchema", True), ("outputSchema", False)):
        wrong = _wrong_schema(tool.get(member), is_needed=is_needed)
        if wrong is not None:
            found.append(f"its {member} {wrong}")
    hidden = concealed(tool)
    if hidden is not None:
        found.append(hidden)
    return found


def concealed(value: Any, depth: int = 0) -> str | None:
    """What is in a value that nobody sees, or too deep to be looked at; ``None``: nothing."""
    if isinstance(value, str):
        found = _HIDDEN.search(value)
        return None if found is None else f"it holds the character U+{ord(found[0][0]):04X}, which nobody sees"
    if not isinstance(value, Mapping | list):
        return None
    if depth >= MAX_DEPTH:
        return f"it is deeper than {MAX_DEPTH} levels"
    inner = chain(value.keys(), value.values()) if isinstance(value, Mapping) else value
    return next((why for one in inner if (why := concealed(one, depth + 1)) is not None), None)


def visible(text: str | None) -> str | None:
    """A text without what nobody sees."""
    return None if text is None else _HIDDEN.sub("", text)


def _wrong_schema(schema: Any, *, is_needed: bool) -> str | None:
    if schema is None:
        return "is missing" if is_needed else None
    if not isinstance(schema, Mapping):
        return "is no object"
    # That of a result may be of any type.
    return "is not that of an object" if is_needed and schema.get("type") != "object" else None
