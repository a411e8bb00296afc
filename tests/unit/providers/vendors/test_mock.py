from __future__ import annotations

import json

from pointsman.providers.vendors.mock import respond

BODY = b'{"model":"m","messages":[]}'


def test_a_chat_is_answered_with_the_fixed_text() -> None:
    reply = respond("hi there", b"/v1/chat/completions", BODY, now=1.5)

    answer = json.loads(reply.body)
    assert (reply.status, reply.content_type) == (200, b"application/json")
    assert answer["choices"][0]["message"]["content"] == "hi there"
    assert answer["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def test_a_streamed_chat_ends_with_usage_and_done() -> None:
    reply = respond("hi", b"/v1/chat/completions?a=1", b'{"model":"m","stream":true}', now=1.5)

    events = reply.body.decode().split("\n\n")
    assert reply.content_type.startswith(b"text/event-stream")
    assert json.loads(events[0][6:])["choices"][0]["delta"]["content"] == "hi"
    assert json.loads(events[2][6:])["usage"]["total_tokens"] > 0
    assert events[3] == "data: [DONE]"


def test_nothing_but_chats_is_mocked() -> None:
    reply = respond("hi", b"/v1/embeddings", BODY, now=1.5)

    assert reply.status == 400
    assert "chat completions only" in json.loads(reply.body)["error"]["message"]
