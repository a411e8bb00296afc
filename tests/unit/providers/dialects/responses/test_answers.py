from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response
from unit.providers.dialects.responses import golden

from pointsman.errors import UpstreamBroken, UpstreamRejected
from pointsman.providers.dialects import responses
from pointsman.providers.translation import ReplyTerms
from pointsman.wire.chat import Answer, ChatRequest, Choice, Part, Text, Thinking, ToolCall, Turn


def terms(request: ChatRequest) -> ReplyTerms:
    return ReplyTerms(model="public-name", unique="Zx9", created=1_700_000_000, request=request)


@pytest.mark.parametrize("path", golden.cases("answers"), ids=lambda path: path.stem)
def test_a_providers_answer_is_read(path: Path) -> None:
    case = golden.load(path)
    assert responses.read_answer(msgspec.json.encode(case["native"])) == golden.answer(case["canonical"])


@pytest.mark.parametrize("path", golden.cases("answers_out"), ids=lambda path: path.stem)
def test_an_answer_is_written_for_a_client(path: Path) -> None:
    case = golden.load(path)
    written = responses.write_answer(golden.answer(case["canonical"]), terms(golden.request(case["request"])))
    assert written == case["native"]


@pytest.mark.parametrize("path", golden.cases("answers_out"), ids=lambda path: path.stem)
def test_openais_sdk_finds_all_that_it_insists_on(path: Path) -> None:
    native = golden.load(path)["native"]
    parsed = Response.model_validate(native, strict=True)
    assert parsed.to_dict(mode="json", exclude_unset=True)["output"] == native["output"]
    assert parsed.usage is not None


@pytest.mark.parametrize("path", golden.cases("answers"), ids=lambda path: path.stem)
def test_what_a_provider_says_reaches_a_client_of_the_same_dialect(path: Path) -> None:
    answer = golden.answer(golden.load(path)["canonical"])
    written = responses.write_answer(answer, terms(ChatRequest(dialect="responses", turns=[])))
    again = responses.read_answer(msgspec.json.encode(written))
    assert [without_ids(part) for part in again.choices[0].parts] == [
        without_ids(part) for part in answer.choices[0].parts
    ]
    assert again.choices[0].finish == answer.choices[0].finish
    assert again.id == answer.id


def without_ids(part: Any) -> Any:
    if isinstance(part, Thinking):
        part.id = None
    elif hasattr(part, "namespace"):
        part.namespace = None
    return part


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"output":{}}',
        b'{"output":[],"status":"queued"}',
        b'{"output":[],"status":"in_progress"}',
        b'{"object":"chat.completion","choices":[]}',
        b"[" * 5000,
    ],
)
def test_what_is_no_answer_is_a_broken_upstream(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        responses.read_answer(body)


def test_a_failed_response_is_a_failure_of_the_provider() -> None:
    body = {
        "object": "response",
        "status": "failed",
        "output": [],
        "error": {"code": "rate_limit_exceeded", "message": "m"},
    }
    with pytest.raises(UpstreamRejected, match="m") as failed:
        responses.read_answer(msgspec.json.encode(body))
    assert (failed.value.status, failed.value.code) == (429, "rate_limit_exceeded")
    with pytest.raises(UpstreamBroken):
        responses.read_answer(b'{"status":"failed","output":[],"error":null}')


def test_the_settings_of_the_client_are_told_back() -> None:
    given = {
        "model": "x",
        "input": "Hi",
        "instructions": "Be brief.",
        "max_output_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.25,
        "parallel_tool_calls": False,
        "metadata": {"a": "b"},
        "user": "ann",
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "tools": [{"type": "web_search"}],
        "tool_choice": {"type": "web_search_preview"},
        "truncation": "auto",
    }
    request = responses.read_request(msgspec.json.encode(given))
    answer = Answer(choices=[Choice(parts=[Text("x")], finish="stop")], dialect="openai", created=7)
    written = responses.write_answer(answer, terms(request))
    told = {name: written[name] for name in given if name not in ("model", "input")}
    assert told == {name: value for name, value in given.items() if name not in ("model", "input")}
    assert (written["model"], written["created_at"], written["store"]) == ("public-name", 7, False)


def test_calls_without_an_id_get_one_each() -> None:
    calls: list[Part] = [ToolCall(id="", name="f", arguments="{}"), ToolCall(id="", name="f", arguments="{}")]
    answer = Answer(choices=[Choice(parts=calls, finish="tool_calls")], dialect="openai")
    request = ChatRequest(dialect="responses", turns=[Turn("user", [Text("x")])])
    first, second = responses.write_answer(answer, terms(request))["output"]
    assert first["call_id"].startswith("call_")
    assert first["call_id"] != second["call_id"]


def test_an_answer_without_choices_is_empty() -> None:
    answer = Answer(choices=[], dialect="openai")
    request = ChatRequest(dialect="responses", turns=[Turn("user", [Text("x")])])
    assert responses.write_answer(answer, terms(request))["output"] == []
