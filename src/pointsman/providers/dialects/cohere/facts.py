"""What several modules of this dialect go by."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pointsman.wire.chat import Finish

NAME: Final = "cohere"
FINISHES: Final[Mapping[str, Finish]] = MappingProxyType(
    {
        "COMPLETE": "stop",
        "STOP_SEQUENCE": "stop",
        "MAX_TOKENS": "length",
        "TOOL_CALL": "tool_calls",
        "ERROR_LIMIT": "length",
        "ERROR_TOXIC": "content_filter",
    }
)
"""Why an answer ended. Other words are taken as ``stop``, with the word as the detail."""
BROKEN: Final = frozenset({"ERROR", "TIMEOUT", "USER_CANCEL"})
"""Words for an answer that is not complete and never will be."""
