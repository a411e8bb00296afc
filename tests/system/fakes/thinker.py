"""A fake provider of models that can judge, plan, think and give likelihoods, each as it is asked to."""

from __future__ import annotations

import json
from typing import Any

from system.upstream.script import Answer, Received, event, json_answer, stream_answer

USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
PARTS = {"sub_queries": [{"query": "First part?", "model": "cheap"}, {"query": "Second part?", "model": "dear"}]}
HARD = "hard"


def answer(received: Received) -> Answer:
    """The answer of ``cheap-1``, ``dear-1`` or ``mind-1``."""
    body = received.json
    text, calls = _said(body)
    if body.get("stream"):
        return _streamed(text)
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    if body.get("logprobs"):
        choice["logprobs"] = {"content": [_likely(_text(body["messages"][-1]["content"]))]}
    head: dict[str, Any] = {"id": "c1", "object": "chat.completion", "created": 1, "model": "x"}
    return json_answer(head | {"choices": [choice], "usage": USAGE})


def _said(body: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    messages = body["messages"]
    system, last = str(messages[0]["content"]), _text(messages[-1]["content"])
    if "You check answers" in system:
        return ("Verdict: incorrect" if HARD in last else "Verdict: correct"), []
    if "response_format" in body:
        return json.dumps(PARTS), []
    if body.get("tools") and messages[-1]["role"] != "tool":
        arguments = json.dumps({"model": "dear", "query": "What is known of it?"})
        return "", [{"id": "call_1", "type": "function", "function": {"name": "ask_model", "arguments": arguments}}]
    if messages[-1]["role"] == "tool":
        return f"So it is: {last}", []
    return f"{body['model']} on {last.splitlines()[0]}", []


def _likely(text: str) -> dict[str, Any]:
    """The first model for what names ``cheap``, the second one for ``dear``, and else any."""
    likely = {"A": -6.0 if "dear" in text else -0.7, "B": -6.0 if "cheap" in text else -0.7}
    tops = [{"token": token, "logprob": value} for token, value in likely.items()]
    return {**tops[0], "top_logprobs": tops}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or ())


def _streamed(text: str) -> Answer:
    head: dict[str, Any] = {"id": "c2", "object": "chat.completion.chunk", "created": 1, "model": "x"}
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        *({"content": word} for word in text.split(" ")),
    ]
    chunks: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    chunks.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = [event(head | {"choices": [chunk]}) for chunk in chunks]
    return stream_answer(*events, event(head | {"choices": [], "usage": USAGE}), event("[DONE]"))
