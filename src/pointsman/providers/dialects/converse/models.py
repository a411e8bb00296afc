"""What has to be known of a model before a request for it can be written: its id, and whose it is.

Users of LiteLLM write ``us.anthropic.claude-…``, ``converse/anthropic.claude-…``, ``eu-west-1/meta.llama…`` and
``nova/arn:aws:bedrock:…``. An ARN may say nothing of the model that is behind it; such a model takes what Converse
itself has, and nothing of what is its maker's.

Sources: docs.aws.amazon.com/bedrock/latest/userguide, on structured-output, prompt-caching, tool-use and
model-parameters, and for Claude platform.claude.com/docs/en/build-with-claude/adaptive-thinking.
"""

from __future__ import annotations

import re
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from pointsman.errors import InvalidRequest

NAME: Final = "converse"

Maker = Literal["claude", "nova", "nova-2", "gpt", "gpt-oss", "mistral", "other", "unknown"]
"""Whose ways a model has; ``gpt-oss`` is for Kimi's too. ``other`` has none of its own, ``unknown`` cannot be told."""

_MAKERS: Final[tuple[tuple[Maker, re.Pattern[str]], ...]] = (
    ("claude", re.compile(r"claude|anthropic")),
    ("nova-2", re.compile(r"nova-2")),
    ("nova", re.compile(r"\bnova")),
    ("gpt-oss", re.compile(r"gpt-oss|kimi-k2")),
    ("gpt", re.compile(r"openai")),
    ("mistral", re.compile(r"mistral")),
    ("other", re.compile(r"^[^:]*\.")),
)
_UNKNOWN: Final[Maker] = "unknown"
_CLAUDE: Final = re.compile(r"claude-(?:[a-z]+-)?(?P<major>\d{1,2})(?!\d)(?:[-.](?P<minor>\d{1,2})(?!\d))?")

Generation = tuple[int, int]
"""Major and minor version of a Claude; ``(0, 0)`` where there is none."""

THINKING_SINCE: Final = (3, 7)
FORMATS_SINCE: Final = (4, 5)
ADAPTIVE_SINCE: Final = (4, 6)
BUDGETS_UNTIL: Final = (4, 6)
SAMPLING_UNTIL: Final = (4, 6)
XHIGH_SINCE: Final = (4, 7)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a request is written for."""

    maker: Maker
    generation: Generation = (0, 0)

    @property
    def is_claude(self) -> bool:
        """Whether it is one of Anthropic's."""
        return self.maker == "claude"

    @property
    def is_nova(self) -> bool:
        """Whether it is one of Amazon's Nova models."""
        return self.maker in ("nova", "nova-2")

    @property
    def has_cache(self) -> bool:
        """Whether it takes cache points, or may."""
        return self.is_claude or self.is_nova or self.maker == "unknown"

    @property
    def is_sampled(self) -> bool:
        """Whether it takes ``temperature`` and the like, which later Claudes refuse unless they say nothing."""
        return not self.is_claude or self.generation <= SAMPLING_UNTIL

    @property
    def has_formats(self) -> bool:
        """Whether its answers and calls can be held to a schema, or may be."""
        return not self.is_nova and not (self.is_claude and self.generation < FORMATS_SINCE)


def model_of(name: str) -> Model:
    """What is known of a model by its name."""
    lowered = name.lower()
    maker = next((maker for maker, pattern in _MAKERS if pattern.search(lowered)), _UNKNOWN)
    found = _CLAUDE.search(lowered)
    if found is None:
        return Model(maker=maker)
    return Model(maker=maker, generation=(int(found["major"]), int(found["minor"] or 0)))


def model_path(base_path: str, name: str, method: str) -> str:
    """Path of a method of a model; whatever ``name`` is, the model is one segment of it.

    :raises InvalidRequest: it cannot be one
    """
    arn = name.find("arn:")
    model = name[arn:] if arn >= 0 else name.rpartition("/")[2]
    if model in {"", ".", ".."}:
        raise InvalidRequest("The model's name cannot stand in an address", param="model")
    return f"{base_path.rstrip('/')}/model/{quote(model, safe='')}/{method}"


def path(base_path: str, operation: str, model: str, *, is_stream: bool) -> str:  # noqa: ARG001 - chat is all there is
    """Path of ``chat``.

    :raises InvalidRequest: the model's name cannot stand in an address
    """
    return model_path(base_path, model, "converse-stream" if is_stream else "converse")
