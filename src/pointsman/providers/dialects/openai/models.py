"""What the name of a model tells about the server behind it, where servers of the OpenAI wire differ.

A name may have its maker before it, as with OpenRouter: ``openai/o3``.
"""

from __future__ import annotations

import re
from typing import Final

_WITH_REASONING: Final = re.compile(r"(?:.*/)?(?:o\d|gpt-(?:[5-9]|\d\d))")
_WITH_NONE: Final = re.compile(r"(?:.*/)?gpt-(?:5\.\d|[6-9]|\d\d)")
_WITH_BREAKPOINTS: Final = re.compile(r"(?:.*/)?gpt-(?:5\.(?:[6-9]|\d\d)|[6-9]|\d\d)")
_WITH_CUSTOM_TOOLS: Final = re.compile(r"(?:.*/)?gpt-(?:[5-9]|\d\d)")
_GOOGLES: Final = re.compile(r"(?:.*/)?gemini")


def takes_completion_limit(model: str) -> bool:
    """Whether it is one of OpenAI's that refuse ``max_tokens`` and want ``max_completion_tokens``.

    Other servers know the older name, and some of them no other.
    """
    return _WITH_REASONING.match(model) is not None


def takes_no_effort(model: str) -> bool:
    """Whether ``reasoning_effort: none`` is understood: OpenAI's from gpt-5.1 on. Before, ``minimal`` was the least."""
    return _WITH_NONE.match(model) is not None


def takes_breakpoints(model: str) -> bool:
    """Whether a part may have a ``prompt_cache_breakpoint``: OpenAI's from gpt-5.6 on."""
    return _WITH_BREAKPOINTS.match(model) is not None


def takes_custom_tools(model: str) -> bool:
    """Whether tools that take free text are known: OpenAI's from gpt-5 on."""
    return _WITH_CUSTOM_TOOLS.match(model) is not None


def is_googles(model: str) -> bool:
    """Whether signatures of tool calls are wanted back, as Gemini wants them."""
    return _GOOGLES.match(model) is not None
