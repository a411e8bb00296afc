"""Where things stand in config documents: paths into the tree, and places in files."""

from __future__ import annotations

import re

import msgspec

Path = tuple[str | int, ...]
"""Steps from the root of a document: keys and list positions."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_/-]*")


class Place(msgspec.Struct, frozen=True):
    """A position in a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1


class Spot(msgspec.Struct, frozen=True):
    """Where an entry's key and its value begin; the same place for list items."""

    key: Place
    value: Place


def spell(path: Path) -> str:
    """A path as an operator reads it: ``model_list[2].litellm_params.model``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f'["{_shortened(step)}"]'
    return text


def _shortened(key: str) -> str:
    clean = "".join(char if char.isprintable() else "?" for char in key)
    return clean if len(clean) <= 80 else clean[:77] + "..."
