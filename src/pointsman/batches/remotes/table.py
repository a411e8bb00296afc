"""Which batch API is asked how, by :attr:`pointsman.pipeline.targets.Target.batch_api`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pointsman.batches.remotes.anthropic import AnthropicRemote
from pointsman.batches.remotes.base import Remote
from pointsman.batches.remotes.gemini import GeminiRemote
from pointsman.batches.remotes.openai import OpenAiRemote
from pointsman.pipeline.targets import Target

REMOTES: Final[Mapping[str, Callable[[Target], Remote]]] = {
    "openai": OpenAiRemote,
    "anthropic": AnthropicRemote,
    "gemini": GeminiRemote,
}
