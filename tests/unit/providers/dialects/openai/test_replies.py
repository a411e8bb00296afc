from __future__ import annotations

import json
from typing import Any

from openai.types.chat import ChatCompletion
from unit.providers.dialects.openai.golden import built, cases, reply_terms

from pointsman.providers.dialects import openai
from pointsman.wire.chat import Answer, ChatRequest, Choice, Part, Text, Thinking, Tool, ToolCall


@cases("answers_out")
def test_an_answer_is_written(case: Any) -> None:
    native = openai.write_answer(
        built(case["canonical"]), reply_terms(built(case["request"])), merges_reasoning=case["merges_reasoning"]
    )
    assert native == case["native"]


@cases("answers_out")
def test_openais_sdk_finds_every_member_that_it_requires(case: Any) -> None:
    found = ChatCompletion.model_validate_json(json.dumps(case["native"]), strict=True)
    choices = case["native"]["choices"]
    assert len(found.choices) == len(choices)
    for choice in choices:
        assert {"index", "message", "logprobs", "finish_reason"} <= choice.keys()
        assert {"role", "content", "refusal"} <= choice["message"].keys()


@cases("answers")
def test_an_answer_of_the_same_wire_says_the_same_again(case: Any) -> None:
    answer: Answer = built(case["canonical"])
    again = openai.read_answer(json.dumps(openai.write_answer(answer, reply_terms())).encode())
    assert again.usage == answer.usage
    assert [choice.finish for choice in again.choices] == [choice.finish for choice in answer.choices]
    for before, after in zip(answer.choices, again.choices, strict=True):
        assert kinds(after.parts) == kinds(before.parts)


FILE = {"type": "file_citation", "file_citation": {"filename": "a.pdf", "start_index": 0, "end_index": 1}}
PAGE = {"type": "url_citation", "url_citation": {"url": "https://e.com", "start_index": 0, "end_index": 1}}


def test_citations_that_chat_does_not_have_stand_among_the_specific_fields() -> None:
    parts: list[Part] = [Text("a", annotations=[PAGE, FILE])]
    answer = Answer(choices=[Choice(parts=parts, finish="stop")], dialect="anthropic")
    message = openai.write_answer(answer, reply_terms())["choices"][0]["message"]
    assert (message["annotations"], message["provider_specific_fields"]) == ([PAGE], {"annotations": [FILE]})


def test_a_tool_that_another_dialect_says_more_of_is_called_as_a_tool() -> None:
    raw = {"name": "f", "input_schema": {}, "defer_loading": True}
    tools = [Tool(name="f", dialect="anthropic", raw=raw)]
    call = ToolCall(id="c", name="f", arguments="{}")
    answer = Answer(choices=[Choice(parts=[call], finish="tool_calls")], dialect="openai")
    terms = reply_terms(ChatRequest(dialect="anthropic", turns=[], tools=tools))
    choice = openai.write_answer(answer, terms)["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["id"] == "c"


def kinds(parts: list[Any]) -> set[tuple[str, str]]:
    return {(type(part).__name__, part.text if isinstance(part, Thinking) else "") for part in parts}
