from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.pipeline.a2a_use.asked import encoded, params_of
from pointsman.providers.codecs import INBOUND
from pointsman.wire import operations as op

PICTURE = {"type": "image_url", "image_url": {"url": "https://a/b.png"}}


def ask(messages: Any, **more: Any) -> dict[str, Any]:
    """The message for the agent."""
    body = json.dumps({"model": "a2a/x", "messages": messages, **more}).encode()
    found: dict[str, Any] = params_of(INBOUND[op.CHAT.name].read_request(body), lambda: "new")["message"]
    return found


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def agent(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def refused(messages: Any, **more: Any) -> str | None:
    with pytest.raises(InvalidRequest) as error:
        ask(messages, **more)
    return error.value.param


def test_one_message_of_the_user_is_one_of_the_agents() -> None:
    assert ask([user("hello")]) == {"messageId": "new", "role": "ROLE_USER", "parts": [{"text": "hello"}]}


def test_what_was_said_before_goes_along_as_text() -> None:
    history = [{"role": "system", "content": "Be brief."}, user("hi"), agent("yo")]
    first, *rest = ask([*history, user("and"), user("now?")])["parts"]
    assert first["text"] == (
        "The conversation so far:\n\nInstructions: Be brief.\n\nUser: hi\n\nYou: yo\n\nNow the user says:\n\n"
    )
    assert rest == [{"text": "and"}, {"text": "now?"}]


@pytest.mark.parametrize("name", ["a2a_context_id", "context_id"])
def test_in_a_context_that_is_named_the_agent_knows_it_already(name: str) -> None:
    found = ask([user("hi"), agent("yo"), user("now?")], metadata={name: "c"}, user="somebody")
    assert (found["parts"], found["contextId"]) == ([{"text": "now?"}], "c")


def test_a_task_can_be_gone_on_with() -> None:
    found = ask([user("hi"), agent("which?"), user("this")], metadata={"a2a_task_id": "t", "context_id": ""})
    assert (found["parts"], found["taskId"]) == ([{"text": "this"}], "t")
    assert "contextId" not in found


def test_who_the_user_is_names_no_context() -> None:
    assert "contextId" not in ask([user("hi")], user="somebody")


def test_files_go_along_also_those_of_earlier_messages() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}
    file = {"type": "file", "file": {"filename": "x.pdf", "file_data": "data:application/pdf;base64,QUJD"}}
    data = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    messages = [user([{"type": "text", "text": "see"}, PICTURE]), agent("a cat"), user([data, sound, file])]
    parts = ask(messages)["parts"]
    assert parts[0]["text"].startswith("The conversation so far:\n\nUser: see")
    assert parts[1:] == [
        {"url": "https://a/b.png"},
        {"raw": "QUJD", "mediaType": "image/png"},
        {"raw": "QUJD", "mediaType": "audio/wav"},
        {"raw": "QUJD", "mediaType": "application/pdf", "filename": "x.pdf"},
    ]


def test_what_an_agent_cannot_be_asked_is_refused() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    assert refused([user("hi")], n=2) == "n"
    assert refused([user("hi")], tools=[tool], tool_choice="required") == "tool_choice"
    assert refused([user("hi"), agent("yo")]) == "messages"
    assert refused([user("")]) == "messages"
    assert refused([user([{"type": "file", "file": {"file_id": "f"}}])]) == "messages"
    assert refused([user("hi")], metadata={"context_id": "x" * 1001}) == "metadata"


def test_results_of_tools_are_what_the_user_says() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [user("hi"), {"role": "assistant", "content": None, "tool_calls": [call]}]
    assert ask([*messages, {"role": "tool", "tool_call_id": "c", "content": "42"}])["parts"][-1] == {"text": "42"}


def test_parameters_are_json() -> None:
    assert encoded({"message": {}}) == b'{"message":{}}'
