from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.wire.usage import (
    Usage,
    count_images,
    estimate_tokens,
    filled,
    find_usage,
    last_usage,
    said_bytes,
    splice_answer_model,
    total,
)

CHAT = {
    "id": "chatcmpl-1",
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": 'the "usage": {"x": 1}'}}],
    "usage": {
        "prompt_tokens": 19,
        "completion_tokens": 10,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 4},
    },
    "service_tier": "default",
}

texts = st.text(st.sampled_from('"\\{}[]: model') | st.characters(codec="utf-8"), max_size=12)
values = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("model") | texts, inner, max_size=3),
    max_leaves=8,
)


def of(usage: Any) -> Usage | None:
    return find_usage(json.dumps({"usage": usage}).encode())


def test_chat_usage_is_found() -> None:
    wanted = Usage(input_tokens=19, output_tokens=10, total_tokens=29, cached_input_tokens=3, reasoning_tokens=4)
    assert find_usage(json.dumps(CHAT).encode()) == wanted
    assert find_usage(json.dumps(CHAT, indent=2).encode()) == wanted


@pytest.mark.parametrize(
    ("usage", "wanted"),
    [
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(input_tokens=8, total_tokens=8)),
        (
            {
                "input_tokens": 5,
                "input_tokens_details": {"cached_tokens": 2},
                "output_tokens": 7,
                "output_tokens_details": {"reasoning_tokens": 6},
                "total_tokens": 12,
            },
            Usage(
                input_tokens=5, output_tokens=7, total_tokens=12, cached_input_tokens=2, reasoning_tokens=6
            ),
        ),
        ({"type": "duration", "seconds": 12.5}, Usage(seconds=12.5)),
        ({"total_tokens": 40}, Usage(input_tokens=40, total_tokens=40)),
        (
            {
                "input_tokens": 1,
                "cache_read_input_tokens": 10,
                "cache_creation_input_tokens": 100,
                "output_tokens": 3,
            },
            Usage(
                input_tokens=111, output_tokens=3, total_tokens=114, cached_input_tokens=10, cache_write_tokens=100
            ),
        ),
        (
            {
                "input_tokens": 1,
                "cache_creation_input_tokens": 100,
                "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
                "output_tokens": 3,
            },
            Usage(
                input_tokens=101,
                output_tokens=3,
                total_tokens=104,
                cache_write_tokens=100,
                cache_write_1h_tokens=40,
            ),
        ),
        (
            {
                "prompt_tokens": 20,
                "completion_tokens": 9,
                "total_tokens": 29,
                "prompt_tokens_details": {"cache_write_tokens": 2, "audio_tokens": 3, "image_tokens": 4},
                "completion_tokens_details": {"audio_tokens": 5, "image_tokens": 1},
                "cache_creation": {"ephemeral_1h_input_tokens": 1},
            },
            Usage(
                input_tokens=20,
                output_tokens=9,
                total_tokens=29,
                cache_write_tokens=2,
                cache_write_1h_tokens=1,
                audio_input_tokens=3,
                image_input_tokens=4,
                audio_output_tokens=5,
                image_output_tokens=1,
            ),
        ),
        (
            {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29, "cache_creation_input_tokens": 7},
            Usage(input_tokens=20, output_tokens=9, total_tokens=29, cache_write_tokens=7),
        ),
        (
            {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29, "cached_tokens": 7},
            Usage(input_tokens=20, output_tokens=9, total_tokens=29, cached_input_tokens=7),
        ),
        (
            {
                "type": "tokens",
                "input_tokens": 14,
                "input_token_details": {"text_tokens": 10, "audio_tokens": 4},
                "output_tokens": 101,
                "total_tokens": 115,
            },
            Usage(input_tokens=14, output_tokens=101, total_tokens=115, audio_input_tokens=4),
        ),
        (
            {
                "input_tokens": 50,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
                "output_tokens": 50,
                "output_tokens_details": {"image_tokens": 45},
                "total_tokens": 100,
            },
            Usage(
                input_tokens=50, output_tokens=50, total_tokens=100, image_input_tokens=40, image_output_tokens=45
            ),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, "prompt_cache_hit_tokens": 4},
            Usage(input_tokens=9, output_tokens=1, total_tokens=10, cached_input_tokens=4),
        ),
        (
            {"billed_units": {"input_tokens": 4, "output_tokens": 5}, "tokens": {"input_tokens": 900}},
            Usage(input_tokens=4, output_tokens=5, total_tokens=9),
        ),
        (
            {"prompt_tokens": 3, "completion_tokens": None, "prompt_tokens_details": None},
            Usage(input_tokens=3, total_tokens=3),
        ),
        ({"prompt_tokens": "3", "completion_tokens": 2.0, "total_tokens": -5}, Usage(output_tokens=2, total_tokens=2)),
        ({"prompt_tokens": 10**30, "completion_tokens": True, "prompt_tokens_details": []}, Usage()),
    ],
)  # fmt: skip
def test_each_spelling_of_usage_is_understood(usage: Any, wanted: Usage) -> None:
    assert of(usage) == wanted


@pytest.mark.parametrize(
    "names", [("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens")], ids=["chat", "responses"]
)
@pytest.mark.parametrize(("total", "output"), [(49, 39), (20, 10), (0, 10)])
def test_reasoning_that_only_the_total_counts_is_output_too(names: tuple[str, str], total: int, output: int) -> None:
    given, made = names
    usage = of({given: 10, made: 10, "total_tokens": total, f"{made}_details": {"reasoning_tokens": 29}})
    assert usage is not None
    assert (usage.output_tokens, usage.reasoning_tokens) == (output, 29)


def test_rerank_usage_is_found_in_the_billed_units() -> None:
    body = b'{"results":[],"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":1}}}'
    assert find_usage(body) == Usage(search_units=1)


def test_the_usage_of_the_answer_itself_wins_over_nested_ones() -> None:
    nested = {"usage": {"prompt_tokens": 1, "total_tokens": 1}}
    for answer in ({"x_groq": nested, **CHAT}, {**CHAT, "x_groq": nested}):
        usage = find_usage(json.dumps(answer).encode())
        assert usage is not None
        assert usage.input_tokens == 19


def test_an_unusually_long_usage_is_still_read() -> None:
    usage = of({"prompt_tokens": 3, "total_tokens": 3, "note": "}{" * 3000})
    assert usage == Usage(input_tokens=3, total_tokens=3)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"usage":null}', b'{"usage":7}', b'{"usage":{', b'{"usage":{"a":}}', b"plain text", b'{"a":"usage"}',
     b'{"billed_units":{]}', b'{"usage":' + b'{"usage":' * 5000, b'{"usage":{"prompt_tokens":"a" "b"}}'],
)  # fmt: skip
def test_no_usage_and_garbage_give_none(body: bytes) -> None:
    assert find_usage(body) is None


@given(st.binary(max_size=80) | st.text('{}[]",:usage 1\\', max_size=80).map(str.encode))
def test_nothing_makes_the_scan_raise(body: bytes) -> None:
    find_usage(body)
    find_usage(b'{"usage":{' + body)
    last_usage(b'"usage":{' + body)
    splice_answer_model(body, "m")


def test_the_last_usage_of_several_events_counts() -> None:
    text = b"".join(
        b'data: {"a":{"usage":{"prompt_tokens":%d,"total_tokens":%d}}}\n\n' % (count, count) for count in (1, 2)
    )
    assert last_usage(text) == Usage(input_tokens=2, total_tokens=2)
    assert last_usage(b'data: {"usage":null}') is None


@given(st.dictionaries(texts, values, max_size=4), st.booleans(), texts)
def test_the_public_name_replaces_the_answers_model_and_nothing_else(
    answer: dict[str, Any], has_model: bool, new: str
) -> None:
    answer.pop("model", None)
    if has_model:
        answer["model"] = 'up"stream'
    body = json.dumps(answer).encode()
    spliced = splice_answer_model(body, new)
    if has_model:
        assert json.loads(spliced) == {**answer, "model": new}
    else:
        assert spliced is body


def test_a_model_that_is_not_a_string_stays() -> None:
    for body in (b'{"model":null}', b'{"model":{"model":"x"}}', b'[{"model":"x"}]'):
        assert splice_answer_model(body, "m") is body


def test_images_are_counted_in_either_form() -> None:
    assert count_images(b'{"data":[{"b64_json":"x"},{"b64_json":"y"}]}') == 2
    assert count_images(b'{"data":[{"url":"x"}]}') == 1
    assert count_images(b"{}") == 0


def test_tokens_are_estimated_from_bytes() -> None:
    assert estimate_tokens(0) == 0
    assert estimate_tokens(360) == 100


def test_what_several_requests_have_used_is_added_up_count_by_count() -> None:
    one = Usage(input_tokens=3, output_tokens=2, total_tokens=5, cached_input_tokens=1, seconds=1.5)
    other = Usage(input_tokens=10, total_tokens=10, images=2, seconds=0.5)

    assert total([one, other]) == Usage(
        input_tokens=13, output_tokens=2, total_tokens=15, cached_input_tokens=1, images=2, seconds=2.0
    )
    assert total([]) == Usage()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"choices":[{"message":{"role":"assistant","content":"12345","reasoning_content":"123"}}]}', 8),
        (b'{"choices":[{"text":"a\\"b"}]}', 4),
        (b'{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}', 2),
        (b'{"type":"message","content":[{"type":"thinking","thinking":"12"},{"type":"text","text" : "123"}]}', 5),
        (b'{"candidates":[{"content":{"parts":[{"text":"1234"}]}}]}', 4),
        (b'{"text":{"format":{}}, "output":[{"content":[{"type":"output_text","text":"12"}]}]}', 2),
        (b"{}", 0),
    ],
)
def test_the_text_of_an_answer_is_counted_in_every_dialect(body: bytes, said: int) -> None:
    assert said_bytes(body) == said


def test_what_one_does_not_tell_another_one_fills() -> None:
    asked = Usage(input_tokens=5, total_tokens=5, search_units=1)
    assert filled(Usage(input_tokens=9, total_tokens=9), asked) == Usage(input_tokens=9, total_tokens=9, search_units=1)
