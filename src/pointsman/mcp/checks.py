"""What a server may be called: the same for those of the config and those of the registry."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

RESERVED: Final = frozenset(
    {
        *("servers", "tools", "resources", "prompts", "health", "call"),
        *("sse", "messages", "sessions", "oauth", "registry"),
    }
)
"""What stands in the place of an id in paths below ``/mcp/``."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TOOL = re.compile(r"[A-Za-z0-9_./-]{1,128}")


def wrong_id(server_id: str) -> str | None:
    """What is wrong with the id of a server; ``None``: nothing."""
    if not _ID.fullmatch(server_id):
        return "the id of a server has 1 to 64 of the characters A-Z a-z 0-9 _ -, and begins with a letter or a digit"
    if server_id.lower() in RESERVED:
        return f"the id {server_id} is reserved: paths below /mcp/ need {', '.join(sorted(RESERVED))}"
    return None


def wrong_alias(alias: str) -> str | None:
    """What is wrong with the begin of the names of a server's tools; ``None``: nothing."""
    return None if _ID.fullmatch(alias) else "has 1 to 64 of the characters A-Z a-z 0-9 _ -"


def wrong_names(renamed: Mapping[str, str]) -> str | None:
    """What is wrong with names that tools are given; ``None``: nothing."""
    odd = next((name for name in renamed.values() if not _TOOL.fullmatch(name)), None)
    if odd is not None:
        return f"the name {odd[:100]!r} has other characters than A-Z a-z 0-9 _ . / -, or more than 128"
    twice = next((name for name, count in Counter(renamed.values()).items() if count > 1), None)
    return None if twice is None else f"two tools are called {twice}"
