from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.vendors.demo.chat import chat, completions

ASK: dict[str, Any] = {"model": "small", "messages": [{"role": "user", "content": "hi"}]}
NOW = 1_700_000_000.5


def answer(body: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(b"".join(piece for _, piece in chat(json.dumps(body).encode(), NOW).pieces))
    return value


def chunks(body: dict[str, Any], endpoint: Any = chat) -> list[dict[str, Any]]:
    pieces = [piece for _, piece in endpoint(json.dumps(body | {"stream": True}).encode(), NOW).pieces]
    assert pieces[-1] == b"data: [DONE]\n\n"
    return [json.loads(piece.removeprefix(b"data: ")) for piece in pieces[:-1]]


def test_an_answer_has_every_member_that_clients_need() -> None:
    body = answer(ASK)
    assert body["id"].startswith("chatcmpl-")
    assert (body["object"], body["created"], body["model"]) == ("chat.completion", 1_700_000_000, "small")
    [choice] = body["choices"]
    assert set(choice) == {"index", "message", "logprobs", "finish_reason"}
    assert set(choice["message"]) == {"role", "content", "refusal"}
    assert choice["finish_reason"] == "stop"
    assert "demo" in choice["message"]["content"]
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


def test_a_stream_says_the_same_as_the_whole() -> None:
    parts = chunks(ASK)
    assert len({(part["id"], part["created"], part["model"], part["object"]) for part in parts}) == 1
    assert parts[0]["object"] == "chat.completion.chunk"
    assert parts[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    text = "".join(part["choices"][0]["delta"].get("content", "") for part in parts)
    assert text == answer(ASK)["choices"][0]["message"]["content"]
    assert [part["choices"][0]["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + ["stop"]
    assert all("usage" not in part for part in parts)


def test_a_stream_tells_usage_when_asked() -> None:
    parts = chunks(ASK | {"stream_options": {"include_usage": True}})
    assert parts[-1]["choices"] == []
    assert parts[-1]["usage"] == answer(ASK)["usage"]
    assert all(part["usage"] is None for part in parts[:-1])


def test_larger_models_answer_more_and_slower() -> None:
    replies = [chat(json.dumps(ASK | {"model": name, "stream": True}).encode(), NOW) for name in ("small", "large")]
    assert len(replies[0].pieces) * 2 < len(replies[1].pieces)
    assert sum(delay for delay, _ in replies[0].pieces) < sum(delay for delay, _ in replies[1].pieces)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_is_kept(name: str) -> None:
    body = answer(ASK | {name: 5})
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 5
    assert chunks(ASK | {name: 5})[-1]["choices"][0]["finish_reason"] == "length"


def test_several_choices_are_several_answers() -> None:
    body = answer(ASK | {"n": 3})
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in body["choices"]}) == 3
    streamed = {part["choices"][0]["index"] for part in chunks(ASK | {"n": 3})}
    assert streamed == {0, 1, 2}


def test_stop_and_json_are_honoured() -> None:
    assert answer(ASK | {"stop": ["demo"]})["choices"][0]["message"]["content"].endswith("built-in ")
    content = answer(ASK | {"response_format": {"type": "json_object"}})["choices"][0]["message"]["content"]
    assert json.loads(content)["is_demo"] is True


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"messages": 7}, "messages"),
        ({"messages": []}, "messages"),
        ({"n": 0}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": 7}, "stream_options"),
        ({"response_format": "json"}, "response_format"),
        ({"tools": 7}, "tools"),
        ({"model": "embed"}, "model"),
    ],
)
def test_wrong_fields_are_named(extra: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat(json.dumps(ASK | extra).encode(), NOW)
    assert caught.value.param == param


@pytest.mark.parametrize("prompt", ["hi", ["hi", "there"], [1, 2, 3], [[1, 2], [3]]])
def test_completions_take_every_form_of_prompt(prompt: Any) -> None:
    raw = json.dumps({"model": "small", "prompt": prompt}).encode()
    body = json.loads(completions(raw, NOW).pieces[0][1])
    assert body["object"] == "text_completion"
    assert "demo" in body["choices"][0]["text"]


@pytest.mark.parametrize("prompt", [None, 7, [], [{}], [[{}]]])
def test_completions_refuse_another_prompt(prompt: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        completions(json.dumps({"model": "small", "prompt": prompt}).encode(), NOW)
    assert caught.value.param == "prompt"


def test_completion_chunks_always_have_text() -> None:
    parts = chunks({"model": "small", "prompt": "hi", "stream_options": {"include_usage": True}}, completions)
    assert all(isinstance(part["choices"][0]["text"], str) for part in parts[:-1])
    assert parts[-1]["usage"]["total_tokens"] > 0
