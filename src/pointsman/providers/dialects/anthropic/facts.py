"""The dialect's name, and what has to be known of a model before a request for it can be written.

Anthropic's documentation says which models take what; the rules here go by the generation in a model's name, so that
they hold for the names of Bedrock and Vertex AI and for models to come:

* 3.7 to 4.5 think by a budget of tokens, 4.6 by a budget or adaptively, 4.7 and later adaptively only
  (platform.claude.com/docs/en/build-with-claude/adaptive-thinking);
* ``effort`` goes with adaptive thinking; ``xhigh`` came with 4.7;
* beside thinking, ``temperature`` and ``top_k`` are refused, and ``top_p`` below 0.95
  (platform.claude.com/docs/en/build-with-claude/extended-thinking);
* answers are held to a schema from 4.1 on (platform.claude.com/docs/en/build-with-claude/structured-outputs);
* from 4.7 on, ``temperature``, ``top_p`` and ``top_k`` are refused unless they say nothing
  (platform.claude.com/docs/en/api/messages);
* from 4.8 on, system messages may stand within the conversation
  (platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages).

What is not Claude, at vendors that have copied the format, thinks by a budget and has none of the others.
"""

from __future__ import annotations

import re
from typing import Final

NAME: Final = "anthropic"

DEFAULT_MAX_TOKENS: Final = 4096
"""The limit of an answer where neither the caller nor the model's facts say one; the format insists on one."""

BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
"""Thinking budgets for efforts, where the model knows budgets only; up to ``high`` those that LiteLLM gives."""
MIN_BUDGET: Final = 1024

Generation = tuple[int, int]
"""Major and minor version of a Claude."""
OTHER: Final[Generation] = (0, 0)
"""What is no Claude."""

THINKING_SINCE: Final = (3, 7)
FORMATS_SINCE: Final = (4, 1)
ADAPTIVE_SINCE: Final = (4, 6)
BUDGETS_UNTIL: Final = (4, 6)
XHIGH_SINCE: Final = (4, 7)
SAMPLING_UNTIL: Final = (4, 6)
SYSTEM_WITHIN_SINCE: Final = (4, 8)

_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(?P<major>\d{1,2})(?!\d)(?:[-.](?P<minor>\d{1,2})(?!\d))?")


def generation_of(model: str) -> Generation:
    """Give the generation in a model's name, whatever a vendor puts around it.

    ``claude-opus-4-6-v1`` is ``(4, 6)``, ``claude-sonnet-4-20250514`` is ``(4, 0)``.
    """
    found = _VERSION.search(model.lower())
    return OTHER if found is None else (int(found["major"]), int(found["minor"] or 0))
