from __future__ import annotations

import pytest

from pointsman.providers.dialects.anthropic import path


@pytest.mark.parametrize(
    ("base", "operation", "expected"),
    [
        ("", "chat", "/v1/messages"),
        ("/", "messages", "/v1/messages"),
        ("/v1", "chat", "/v1/messages"),
        ("/v1/", "count_tokens", "/v1/messages/count_tokens"),
        ("/v1/messages", "chat", "/v1/messages"),
        ("/v1/messages", "count_tokens", "/v1/messages/count_tokens"),
        ("/anthropic", "chat", "/anthropic/v1/messages"),
    ],
)
def test_operations_are_below_v1(base: str, operation: str, expected: str) -> None:
    assert path(base, operation, "claude-opus-5", is_stream=True) == expected
