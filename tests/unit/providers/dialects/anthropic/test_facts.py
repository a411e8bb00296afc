from __future__ import annotations

import pytest

from pointsman.providers.dialects import anthropic
from pointsman.providers.dialects.anthropic.facts import generation_of
from pointsman.providers.translation import Inbound, Outbound


@pytest.mark.parametrize(
    ("model", "generation"),
    [
        ("claude-opus-4-8", (4, 8)),
        ("claude-sonnet-4-5-20250929", (4, 5)),
        ("claude-sonnet-4-20250514", (4, 0)),
        ("claude-opus-4@20250514", (4, 0)),
        ("claude-opus-5", (5, 0)),
        ("claude-fable-5-2", (5, 2)),
        ("claude-3-7-sonnet-latest", (3, 7)),
        ("claude-3-opus-20240229", (3, 0)),
        ("us.anthropic.claude-opus-4-6-v1", (4, 6)),
        ("anthropic/Claude-Opus-4.7", (4, 7)),
        ("deepseek-chat", (0, 0)),
        ("claude-next", (0, 0)),
    ],
)
def test_the_generation_is_in_the_name(model: str, generation: tuple[int, int]) -> None:
    assert generation_of(model) == generation


def test_the_package_is_a_dialect_in_both_directions() -> None:
    outbound: Outbound = anthropic
    inbound: Inbound = anthropic
    assert (outbound.NAME, outbound.FRAMING, inbound.NAME) == ("anthropic", "sse", "anthropic")
