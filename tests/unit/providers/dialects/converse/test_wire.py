from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from pointsman.providers.dialects.converse.wire import read_finish, read_stop_sequence, read_usage
from pointsman.wire.usage import Usage


@pytest.mark.parametrize(
    ("reason", "has_calls", "finish"),
    [
        ("end_turn", False, ("stop", None)),
        ("end_turn", True, ("tool_calls", None)),
        ("tool_use", True, ("tool_calls", None)),
        ("tool_use", False, ("stop", None)),
        ("max_tokens", True, ("length", None)),
        ("model_context_window_exceeded", False, ("length", "model_context_window_exceeded")),
        ("content_filtered", False, ("content_filter", "content_filtered")),
        ("refusal", False, ("refusal", "refusal")),
        ("pause_turn", False, ("pause", "pause_turn")),
        ("malformed_tool_use", False, ("stop", "malformed_tool_use")),
        ("malformed_model_output", False, ("stop", "malformed_model_output")),
        ("of_the_future", False, ("stop", "of_the_future")),
        (None, False, ("stop", None)),
    ],
)
def test_reasons_are_told_with_amazons_word_where_it_says_more(
    reason: str | None, has_calls: bool, finish: tuple[str, str | None]
) -> None:
    assert read_finish(reason, has_calls=has_calls) == finish


@pytest.mark.parametrize(
    ("reason", "fields", "sequence"),
    [
        ("stop_sequence", {"stop_sequence": "END"}, "END"),
        ("stop_sequence", {"stop_sequence": 7}, None),
        ("stop_sequence", None, None),
        ("end_turn", {"stop_sequence": "END"}, None),
    ],
)
def test_the_stop_sequence_is_in_the_models_own_fields(reason: str, fields: Any, sequence: str | None) -> None:
    assert read_stop_sequence(reason, fields) == sequence


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (
            b'{"inputTokens":10,"outputTokens":5,"totalTokens":315,"cacheReadInputTokens":300}',
            Usage(input_tokens=310, output_tokens=5, total_tokens=315, cached_input_tokens=300),
        ),
        (
            b'{"inputTokens":310,"outputTokens":5,"totalTokens":315,"cacheReadInputTokens":300}',
            Usage(input_tokens=310, output_tokens=5, total_tokens=315, cached_input_tokens=300),
        ),
        (
            b'{"inputTokens":1,"outputTokens":2,"cacheWriteInputTokens":3}',
            Usage(input_tokens=4, output_tokens=2, total_tokens=6, cache_write_tokens=3),
        ),
        (b'{"inputTokens":-1}', None),
        (b"null", None),
        (b"[]", None),
    ],
)
def test_the_input_is_counted_with_what_the_cache_had(raw: bytes, usage: Usage | None) -> None:
    assert read_usage(Raw(raw)) == usage
