from __future__ import annotations

import json
from typing import Any

from openai.types.chat import ChatCompletion
from unit.providers.dialects.openai.golden import built, cases, reply_terms

from pointsman.providers.dialects import openai
from pointsman.wire.chat import Answer, Thinking


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


def kinds(parts: list[Any]) -> set[tuple[str, str]]:
    return {(type(part).__name__, part.text if isinstance(part, Thinking) else "") for part in parts}
