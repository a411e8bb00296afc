"""The fake providers refuse what the real ones refuse: one that took anything would prove nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from system.fakes import anthropic, cohere, gemini, ollama, openai, responses
from system.fakes.config import FAKES
from system.fakes.model import SEAL, THOUGHT
from system.upstream.script import Answer, Received

JSON = [("content-type", "application/json")]
BEARER = [*JSON, ("authorization", f"Bearer {openai.KEY}")]
CLAUDE = [*JSON, ("x-api-key", anthropic.KEY), ("anthropic-version", "2023-06-01")]
LATER = [*JSON, ("x-api-key", anthropic.KEY), ("anthropic-version", "2026-10-21")]
GOOGLE = [*JSON, ("x-goog-api-key", gemini.KEY)]
COHERE = [*JSON, ("authorization", f"Bearer {cohere.KEY}")]
HELLO = {"role": "user", "content": "Hi"}
THINKS = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "x"}]}
THOUGHTS = {"type": "thinking", "thinking": THOUGHT, "signature": SEAL}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOLD = {"role": "tool", "tool_call_id": "c1", "content": "x"}
FUNCTION = {"functionCall": {"name": "f", "args": {}}}
FUNCTION_TOLD = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "x"}}}]}
ASKED = {"role": "user", "parts": [{"text": "Hi"}]}


def anthropic_body(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 100, "messages": [HELLO, *messages], **more}


def chat_body(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [HELLO, *messages], **more}


def said(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def model_said(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
GENERATE = "/v1beta/models/m:generateContent"
TAKEN: Mapping[str, tuple[Callable[[Received], Answer], str, list[tuple[str, str]], Any]] = {
    "chat": (openai.answer, CHAT, BEARER, chat_body()),
    "chat results": (openai.answer, CHAT, BEARER, chat_body(said(None, tool_calls=[CALL]), TOLD)),
    "messages": (anthropic.answer, MESSAGES, CLAUDE, anthropic_body(temperature=0.5)),
    "messages thought": (
        anthropic.answer,
        MESSAGES,
        CLAUDE,
        anthropic_body(said([THOUGHTS, USE]), RESULT, **THINKS),
    ),
    "responses": (responses.answer, RESPONSES, BEARER, {"model": "m", "input": "Hi"}),
    "gemini": (gemini.answer, GENERATE, GOOGLE, {"contents": [ASKED]}),
    "gemini signed": (
        gemini.answer,
        GENERATE,
        GOOGLE,
        {"contents": [ASKED, model_said(FUNCTION | {"thoughtSignature": gemini.SIGNATURE}), FUNCTION_TOLD]},
    ),
    "cohere": (cohere.answer, "/v2/chat", COHERE, chat_body(stream=False)),
    "ollama": (ollama.answer, "/api/chat", JSON, chat_body(stream=False)),
}
REFUSED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "an unknown member": ("chat", chat_body(top_secret=1)),
    "a result without its call": ("chat", chat_body(TOLD)),
    "a call without its result": ("chat", chat_body(said(None, tool_calls=[CALL]), HELLO)),
    "a schema without a name": ("chat", chat_body(response_format={"type": "json_schema", "json_schema": {}})),
    "no limit": ("messages", {"model": "m", "messages": [HELLO]}),
    "an empty text": ("messages", anthropic_body(said([{"type": "text", "text": ""}]), HELLO)),
    "a use without its result": ("messages", anthropic_body(said([USE]), HELLO)),
    "a turn that was thought about and does not say so": (
        "messages",
        anthropic_body(said([USE]), RESULT, **THINKS),
    ),
    "another signature": (
        "messages",
        anthropic_body(said([THOUGHTS | {"signature": "AAAA"}, USE]), RESULT, **THINKS),
    ),
    "a budget over the limit": ("messages", anthropic_body(**THINKS | {"max_tokens": 1000})),
    "what the model has said as input": (
        "responses",
        {"model": "m", "input": [said([{"type": "input_text", "text": "x"}])]},
    ),
    "reasoning that is lost": ("responses", {"model": "m", "input": "Hi", "store": False, "reasoning": {}}),
    "a call without signature": ("gemini", {"contents": [ASKED, model_said(FUNCTION), FUNCTION_TOLD]}),
    "a schema without its type": ("gemini", {"contents": [ASKED], "generationConfig": {"responseSchema": {}}}),
    "no word about streams": ("cohere", chat_body()),
    "OpenAI's name of a member": ("cohere", chat_body(stream=False, top_p=0.5)),
    "arguments as text": (
        "ollama",
        chat_body(said("", tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]), stream=False),
    ),
}


def ask(answer: Callable[[Received], Answer], path: str, headers: list[tuple[str, str]], body: Any) -> Answer:
    return answer(Received("POST", path, headers, json.dumps(body).encode()))


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_right_is_taken(name: str) -> None:
    found = ask(*TAKEN[name])
    assert found.status == 200, found.content


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused(name: str) -> None:
    like, body = REFUSED[name]
    answer, path, headers, _ = TAKEN[like]
    assert ask(answer, path, headers, body).status == 400


def test_the_later_version_of_anthropic_has_no_sampling() -> None:
    assert ask(anthropic.answer, MESSAGES, LATER, anthropic_body(temperature=1)).status == 400
    assert ask(anthropic.answer, MESSAGES, LATER, anthropic_body()).status == 200


@pytest.mark.parametrize("name", [name for name in FAKES if name != "ollama"])
def test_a_stranger_is_refused(name: str) -> None:
    path = {"converse": "/model/m/converse", "gemini": GENERATE, "deepgram": "/v1/listen?model=nova-3"}.get(
        name, "/v1/x"
    )
    assert ask(FAKES[name], path, JSON, {}).status in ((400,) if name == "gemini" else (401, 403))
