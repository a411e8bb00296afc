"""Parameters that the operator sets for a deployment."""

from __future__ import annotations

from typing import Any

import pytest

from pointsman.errors import InternalError
from pointsman.pipeline.defaults import merged, native_defaults, read_defaults, with_defaults
from pointsman.providers.dialects import anthropic, gemini, responses
from pointsman.wire.chat import ChatRequest

OPERATORS: dict[str, Any] = {"temperature": 0.5, "max_completion_tokens": 9, "stop": ["x"], "verbosity": "low"}


def test_they_hold_where_the_request_says_nothing_in_whatever_dialect_it_came() -> None:
    request = ChatRequest(dialect="gemini", turns=[], temperature=1.0)
    told = with_defaults(request, read_defaults(OPERATORS))
    assert (told.temperature, told.max_tokens, told.stop) == (1.0, 9, ["x"])
    assert (told.options["verbosity"], told.turns, told.dialect) == ("low", [], "gemini")


def test_what_only_openais_wire_knows_goes_to_those_who_came_by_it() -> None:
    defaults = read_defaults({"min_p": 0.1})
    assert with_defaults(ChatRequest(dialect="openai", turns=[]), defaults).extras == {"min_p": 0.1}
    assert with_defaults(ChatRequest(dialect="anthropic", turns=[]), defaults).extras == {}


def test_what_is_no_parameter_is_the_operators_fault() -> None:
    with pytest.raises(InternalError) as caught:
        read_defaults({"temperature": []})
    assert "temperature" in (caught.value.operator_detail or "")


def test_they_are_put_into_the_words_of_the_dialect() -> None:
    assert native_defaults(anthropic, OPERATORS, "claude-sonnet-4-5") == {
        "temperature": 0.5,
        "max_tokens": 9,
        "stop_sequences": ["x"],
    }
    assert native_defaults(gemini, {"temperature": 0.5}, "gemini-2.5-pro") == {"generationConfig": {"temperature": 0.5}}
    assert native_defaults(responses, {"max_tokens": 9}, "gpt-4.1") == {"max_output_tokens": 9}


def test_they_are_put_into_objects_that_are_there_and_never_in_the_place_of_what_is_said() -> None:
    body = {"generationConfig": {"topP": 1, "temperature": None}, "contents": []}
    defaults = {"generationConfig": {"temperature": 0.5, "topK": 3}, "labels": {}}
    assert merged(body, defaults) == {
        "generationConfig": {"topP": 1, "temperature": None, "topK": 3},
        "contents": [],
        "labels": {},
    }
    assert body["generationConfig"] == {"topP": 1, "temperature": None}
