from __future__ import annotations

import pytest

from pointsman.providers.dialects.openai.finishes import read_finish, write_finish
from pointsman.wire.chat import Finish


@pytest.mark.parametrize(
    ("word", "has_calls", "has_refusal", "expected"),
    [
        ("stop", False, False, ("stop", None)),
        ("stop", True, False, ("tool_calls", None)),
        ("stop", False, True, ("refusal", None)),
        ("length", True, False, ("length", None)),
        ("function_call", True, False, ("tool_calls", None)),
        ("model_length", False, False, ("length", None)),
        ("SAFETY", False, False, ("content_filter", None)),
        ("recitation", False, False, ("stop", "recitation")),
    ],
)
def test_a_vendors_word_is_understood(
    word: str, has_calls: bool, has_refusal: bool, expected: tuple[Finish, str | None]
) -> None:
    assert read_finish(word, has_calls=has_calls, has_refusal=has_refusal) == expected


@pytest.mark.parametrize(
    ("finish", "has_refusal", "is_legacy", "word"),
    [
        ("stop", False, False, "stop"),
        ("length", False, False, "length"),
        ("content_filter", False, False, "content_filter"),
        ("tool_calls", False, False, "tool_calls"),
        ("tool_calls", False, True, "function_call"),
        ("refusal", True, False, "stop"),
        ("refusal", False, False, "content_filter"),
        ("pause", False, False, "stop"),
    ],
)
def test_our_word_becomes_one_that_clients_know(finish: Finish, has_refusal: bool, is_legacy: bool, word: str) -> None:
    assert write_finish(finish, has_refusal=has_refusal, is_legacy=is_legacy) == word
