from __future__ import annotations

import json
from typing import Any

import pytest
from gemini_batch_provider import answer_of

from pointsman.batches.protocol.lines import LineRequest
from pointsman.batches.protocol.providers.wording import Reply, Wording, refused
from pointsman.errors import InvalidRequest, UpstreamBroken, UpstreamRejected
from pointsman.providers.dialects import gemini
from pointsman.wire import operations as op
from pointsman.wire.operations import Operation

WORDING = Wording(outbound=gemini, vendor="gemini", model="gemini-up")
REPLY = Reply("house", "batch1x1", 1000)


def line(operation: Operation = op.CHAT, **members: Any) -> LineRequest:
    said = {"model": "house", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]} | members
    return LineRequest("a", f"/v1{operation.path}", operation, json.dumps(said).encode())


@pytest.mark.parametrize("operation", [op.CHAT, op.MESSAGES])
def test_a_conversation_is_put_as_one_of_a_client_would_be(operation: Operation) -> None:
    body = WORDING.asked(line(operation))
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Hello"}]}]
    assert body["generationConfig"]["maxOutputTokens"] == 8


@pytest.mark.parametrize(
    "members",
    [
        {"num_retries": 1},
        {"logit_bias": {"5": 1}},
        {"messages": [{"role": "user"}]},
        {"tools": [{"type": "mcp", "server_label": "x", "server_url": "litellm_proxy"}]},
    ],
)
def test_what_says_how_it_is_to_be_served_or_cannot_be_said_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        WORDING.asked(line(**members))


def test_what_changes_no_answer_is_left_out() -> None:
    assert "user" not in WORDING.asked(line(user="somebody"))


def test_an_answer_is_told_in_the_words_of_the_line() -> None:
    body, usage = WORDING.answered(line(), json.dumps(answer_of()).encode(), REPLY)
    told = json.loads(body)
    assert (told["object"], told["model"], told["created"]) == ("chat.completion", "house", 1000)
    assert told["choices"][0]["message"]["content"] == "Hi"
    assert (usage.input_tokens, usage.output_tokens) == (1, 1)
    message = json.loads(WORDING.answered(line(op.MESSAGES), json.dumps(answer_of()).encode(), REPLY)[0])
    assert (message["type"], message["model"], message["content"][0]["text"]) == ("message", "house", "Hi")


def test_tools_that_take_free_text_are_functions_there_and_themselves_here() -> None:
    asked = line(tools=[{"type": "custom", "custom": {"name": "run"}}])
    [tool] = WORDING.asked(asked)["tools"]
    assert [one["name"] for one in tool["functionDeclarations"]] == ["run"]
    answer = answer_of()
    [argument] = tool["functionDeclarations"][0]["parametersJsonSchema"]["properties"]
    call = {"functionCall": {"name": "run", "args": {argument: "ls"}}}
    answer["candidates"][0]["content"]["parts"] = [call]
    told = json.loads(WORDING.answered(asked, json.dumps(answer).encode(), REPLY)[0])
    [called] = told["choices"][0]["message"]["tool_calls"]
    assert (called["type"], called["custom"]["input"]) == ("custom", "ls")


@pytest.mark.parametrize("answer", [b"", b"[]", b"7"])
def test_what_is_no_answer_is_not_told_as_one(answer: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        WORDING.answered(line(), answer, REPLY)


def test_an_error_is_told_in_the_words_of_the_line() -> None:
    error = UpstreamRejected("no", status=400, kind="invalid_request_error")
    assert json.loads(refused(line(), error))["error"]["message"] == "no"
    assert json.loads(refused(line(op.MESSAGES), error))["type"] == "error"
