from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.anthropic.stops import read_refusal, read_stop, write_stop
from pointsman.wire.chat import Finish, Finished, Refusal


@pytest.mark.parametrize(
    ("reason", "finish", "detail"),
    [
        ("end_turn", "stop", None),
        ("stop_sequence", "stop", None),
        ("max_tokens", "length", None),
        ("tool_use", "tool_calls", None),
        ("pause_turn", "pause", None),
        ("refusal", "refusal", None),
        ("model_context_window_exceeded", "length", "model_context_window_exceeded"),
        ("compaction", "pause", "compaction"),
    ],
)
def test_reasons_go_there_and_back(reason: str, finish: Finish, detail: str | None) -> None:
    assert read_stop(reason, None) == (finish, detail)
    sequence = "END" if reason == "stop_sequence" else None
    end = Finished(finish, stop_sequence=sequence, detail=detail)
    assert write_stop(end, has_refusal=False)["stop_reason"] == reason


@pytest.mark.parametrize(("reason", "detail"), [("new", "new"), (None, None), (7, None)])
def test_an_unknown_reason_is_an_end(reason: Any, detail: str | None) -> None:
    assert read_stop(reason, {"category": "cyber"}) == ("stop", detail)


def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "Blocked."}
    assert read_stop("refusal", details) == ("refusal", "cyber")
    assert read_refusal(details) == [Refusal("Blocked.")]
    assert write_stop(Finished("refusal", detail="cyber"), has_refusal=False)["stop_details"]["category"] == "cyber"


@pytest.mark.parametrize("word", ["SAFETY", "content_filter"])
def test_words_of_other_providers_are_no_category(word: str) -> None:
    end = Finished("content_filter", detail=word)
    assert write_stop(end, has_refusal=False)["stop_details"]["category"] is None


@pytest.mark.parametrize("details", [None, {}, {"explanation": None}, {"explanation": 7}, []])
def test_a_refusal_may_say_nothing(details: Any) -> None:
    assert read_refusal(details) == []


def test_the_words_of_a_refusal_make_one_of_any_end() -> None:
    assert write_stop(Finished("stop"), has_refusal=True)["stop_reason"] == "refusal"
    assert write_stop(Finished("content_filter"), has_refusal=False)["stop_reason"] == "refusal"
