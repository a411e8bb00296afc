"""``litellm_params.mock_response``: a deployment that answers chats with a fixed text and calls nobody."""

from __future__ import annotations

from typing import Any

import msgspec

HEADERS = {True: b"text/event-stream; charset=utf-8", False: b"application/json"}
CHAT_PATH = b"/chat/completions"
BYTES_PER_TOKEN = 4


class MockReply(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer: status, content type, body."""

    status: int
    content_type: bytes
    body: bytes


class _Chat(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None


def respond(text: str, target: bytes, body: bytes, *, now: float) -> MockReply:
    """Answer a chat with ``text``; anything else is a 400. ``now`` is Unix time in seconds."""
    if not target.partition(b"?")[0].endswith(CHAT_PATH):
        error = {"message": "mock_response answers chat completions only", "type": "invalid_request_error"}
        return MockReply(status=400, content_type=HEADERS[False], body=_encode({"error": error}))
    asked = msgspec.json.decode(body, type=_Chat)
    head: dict[str, Any] = {"id": f"chatcmpl-mock-{int(now * 1e6):x}", "created": int(now), "model": asked.model}
    given, made = -(-len(body) // BYTES_PER_TOKEN), -(-len(text.encode()) // BYTES_PER_TOKEN)
    usage = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    if asked.stream:
        return MockReply(status=200, content_type=HEADERS[True], body=_stream(head, text, usage))
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    answer = head | {"object": "chat.completion", "choices": [choice], "usage": usage}
    return MockReply(status=200, content_type=HEADERS[False], body=_encode(answer))


def _stream(head: dict[str, Any], text: str, usage: dict[str, int]) -> bytes:
    head = head | {"object": "chat.completion.chunk"}
    steps: tuple[tuple[dict[str, str], str | None], ...] = (
        ({"role": "assistant", "content": text}, None),
        ({}, "stop"),
    )
    chunks: list[dict[str, Any]] = [
        head | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}
        for delta, reason in steps
    ]
    chunks.append(head | {"choices": [], "usage": usage})
    return b"".join(b"data: %b\n\n" % _encode(chunk) for chunk in chunks) + b"data: [DONE]\n\n"


_encode = msgspec.json.Encoder().encode
