from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import Completion
from unit.providers.dialects.completions.golden import built, cases, reply_terms

from pointsman.providers.dialects import completions
from pointsman.providers.dialects.completions.answers import write_finish, write_logprobs, write_usage
from pointsman.wire.chat import Finish
from pointsman.wire.usage import Usage


@cases("answers_out")
def test_an_answer_is_written_as_openais_sdk_requires_it(case: Any) -> None:
    native = completions.write_answer(built(case["canonical"]), reply_terms())
    assert native == case["native"]
    Completion.model_validate_json(json.dumps(native), strict=True)


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "stop"),
        ("content_filter", "content_filter"),
        ("refusal", "content_filter"),
        ("pause", "stop"),
    ],
)
def test_an_end_has_one_of_three_reasons(finish: Finish, word: str) -> None:
    assert write_finish(finish) == word


def test_offsets_of_tokens_begin_where_the_text_before_has_ended() -> None:
    entries: list[dict[str, Any]] = [
        {"token": "Hi", "logprob": -0.1, "top_logprobs": [{"token": "Hi", "logprob": -0.1}]},
        {"token": "!"},
    ]
    assert write_logprobs(entries, 5) == {
        "tokens": ["Hi", "!"],
        "token_logprobs": [-0.1, None],
        "top_logprobs": [{"Hi": -0.1}, {}],
        "text_offset": [5, 7],
    }


def test_a_total_that_is_not_known_is_added_up() -> None:
    assert write_usage(Usage(input_tokens=2, output_tokens=3))["total_tokens"] == 5


def test_what_was_written_to_the_cache_is_said_where_it_is_known() -> None:
    assert write_usage(Usage(cache_write_tokens=3))["prompt_tokens_details"] == {
        "cached_tokens": 0,
        "cache_write_tokens": 3,
    }
    assert write_usage(Usage())["prompt_tokens_details"] == {"cached_tokens": 0}
