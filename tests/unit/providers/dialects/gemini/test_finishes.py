from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.gemini.finishes import read_finish, write_finish
from pointsman.wire.chat import Choice, Finish


@pytest.mark.parametrize(
    ("reason", "finish", "detail"),
    [
        (None, "stop", None),
        ("STOP", "stop", None),
        ("MAX_TOKENS", "length", None),
        ("CONTINUATION", "pause", "CONTINUATION"),
        ("SAFETY", "content_filter", "SAFETY"),
        ("SPII", "content_filter", "SPII"),
        ("IMAGE_SAFETY", "content_filter", "IMAGE_SAFETY"),
        ("MODEL_ARMOR", "content_filter", "MODEL_ARMOR"),
    ],
)
def test_googles_words_are_read(reason: str | None, finish: Finish, detail: str | None) -> None:
    assert read_finish(reason, has_calls=False) == (finish, detail)
    if reason is not None:
        assert write_finish(Choice(parts=[], finish=finish, detail=detail)) == {"finishReason": reason}


def test_calls_turn_a_stop_into_what_it_is() -> None:
    assert read_finish("STOP", has_calls=True) == ("tool_calls", None)
    assert read_finish("UNEXPECTED_TOOL_CALL", has_calls=True) == ("tool_calls", "UNEXPECTED_TOOL_CALL")


@pytest.mark.parametrize("word", ["MALFORMED_FUNCTION_CALL", "OTHER", "NO_IMAGE"])
def test_a_failure_of_the_model_is_an_answer_in_its_own_word(word: str) -> None:
    assert read_finish(word, has_calls=False) == ("stop", word)
    assert write_finish(Choice(parts=[], finish="stop", detail=word)) == {"finishReason": word}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(parts=[], finish="tool_calls"), {"finishReason": "STOP"}),
        (Choice(parts=[], finish="content_filter"), {"finishReason": "SAFETY"}),
        (Choice(parts=[], finish="content_filter", detail="hate"), {"finishReason": "SAFETY", "finishMessage": "hate"}),
        (Choice(parts=[], finish="refusal"), {"finishReason": "SAFETY", "finishMessage": "refusal"}),
        (Choice(parts=[], finish="stop", detail="SAFETY"), {"finishReason": "STOP", "finishMessage": "SAFETY"}),
    ],
)
def test_other_words_are_written_as_googles(choice: Choice, expected: dict[str, Any]) -> None:
    assert write_finish(choice) == expected
