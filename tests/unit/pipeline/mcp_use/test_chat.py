from __future__ import annotations

import json
from typing import Any

import pytest
from unit.pipeline.mcp_use.making import answered, events, offers, stream, tool

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.pipeline.mcp_use.chat import ChatForm, joined, unfolded
from pointsman.pipeline.mcp_use.offers import Done

QUESTION = {"role": "user", "content": "hi"}
OWN = {"type": "function", "function": {"name": "own", "parameters": {"type": "object"}}}
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
CALL = {"id": "call_1", "type": "function", "function": {"name": "depot__echo", "arguments": '{"text":"A"}'}}
THEIRS = {"id": "call_2", "type": "function", "function": {"name": "own", "arguments": "{}"}}


def form(*tools: Any, **body: Any) -> ChatForm:
    whole = {"model": "m", "messages": [QUESTION], "tools": list(tools or (tool(), OWN))} | body
    return ChatForm(whole, offers(*(one for one in whole["tools"] if one.get("type") == "mcp")))


def answer(text: str | None, *calls: Any, **more: Any) -> bytes:
    message = {"role": "assistant", "content": text, "refusal": None} | ({"tool_calls": list(calls)} if calls else {})
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop", "logprobs": None}
    return json.dumps({"id": "c1", "object": "chat.completion", "choices": [choice], "usage": USAGE, **more}).encode()


def asked(made: ChatForm, *, is_last: bool = False) -> Any:
    return json.loads(made.request(is_last=is_last))


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def calling(*calls: Any) -> list[dict[str, Any]]:
    return [chunk({"tool_calls": [{"index": i, **one}]}) for i, one in enumerate(calls)] + [chunk({}, "tool_calls")]


# -- what the model is asked ----------------------------------------------------------------------------------------


def test_servers_are_functions_for_the_model_beside_those_of_the_client() -> None:
    tools = asked(form())["tools"]
    assert [one["function"]["name"] for one in tools] == ["own", "depot__echo", "depot__clock"]
    assert tools[1]["function"]["description"] == "It can echo"


def test_a_function_of_the_client_with_the_name_of_a_tool_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="depot__echo"):
        form(tool(), {"type": "function", "function": {"name": "depot__echo"}})


def test_several_answers_at_a_time_are_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        form(n=2)
    assert caught.value.param == "n"


def test_where_there_are_no_tools_none_are_declared() -> None:
    made = ChatForm({"messages": [], "tools": [tool()], "tool_choice": "auto"}, offers(names=()))
    assert asked(made).keys() == {"messages"}


def test_in_the_last_round_nothing_may_be_called() -> None:
    assert asked(form(), is_last=True)["tool_choice"] == "none"
    assert "tool_choice" not in asked(form())


def test_what_has_to_be_called_once_does_not_have_to_be_called_for_ever() -> None:
    made = form(tool_choice="required")
    assert asked(made)["tool_choice"] == "required"
    made.take(answer(None, CALL))
    answered(made, "A")
    assert asked(made)["tool_choice"] == "auto"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "mcp", "server_label": "d"}, "required"),
        (
            {"type": "mcp", "server_label": "d", "name": "echo"},
            {"type": "function", "function": {"name": "depot__echo"}},
        ),
        ({"type": "function", "function": {"name": "own"}}, {"type": "function", "function": {"name": "own"}}),
    ],
)
def test_a_choice_of_a_server_is_one_of_its_functions(choice: Any, expected: Any) -> None:
    assert asked(form(tool_choice=choice))["tool_choice"] == expected


def test_a_choice_of_a_tool_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="tool_choice"):
        form(tool_choice={"type": "mcp", "server_label": "d", "name": "none"})


# -- a whole answer -------------------------------------------------------------------------------------------------


def test_an_answer_without_calls_is_the_last_one() -> None:
    made = form()
    made.take(answer("Hello"))
    assert made.turn() == []
    assert made.is_over
    assert json.loads(made.finish()) == json.loads(answer("Hello"))


def test_what_was_called_goes_back_to_the_model_with_what_it_has_answered() -> None:
    made = form()
    made.take(answer("Let me see.", CALL))
    [wanted] = made.turn()
    assert (wanted.id, wanted.offer.name, wanted.arguments, made.is_over) == ("call_1", "echo", '{"text":"A"}', False)
    made = form()
    made.take(answer("Let me see.", CALL))
    answered(made, "A")
    assert asked(made)["messages"] == [
        QUESTION,
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "A"},
    ]


def test_the_reply_has_the_text_of_all_rounds_and_what_all_have_used() -> None:
    made = form()
    made.take(answer("Let me see.", CALL))
    answered(made, "A")
    made.request(is_last=False)
    made.take(answer("It is A."))
    assert made.turn() == []
    reply = json.loads(made.finish())
    assert reply["choices"][0]["message"]["content"] == "Let me see.\n\nIt is A."
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert "tool_calls" not in reply["choices"][0]["message"]
    assert reply["usage"]["total_tokens"] == 30
    assert reply["pointsman"]["mcp_calls"][0]["status"] == "completed"


def test_calls_of_the_client_end_the_rounds_and_ours_are_made_before() -> None:
    made = form()
    made.take(answer("Both.", CALL, THEIRS))
    [wanted] = made.turn()
    assert wanted.id == "call_1"
    assert made.is_over


def test_what_the_client_gives_back_holds_the_rounds_that_it_has_not_seen() -> None:
    made = form()
    made.take(answer("Both.", CALL, THEIRS))
    answered(made, "A")
    message = json.loads(made.finish())["choices"][0]["message"]
    assert message["tool_calls"] == [THEIRS]
    answer_of_theirs = {"role": "tool", "tool_call_id": "call_2", "content": "B"}
    again = form(messages=[QUESTION, message, answer_of_theirs])
    assert asked(again)["messages"] == [
        QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "A"},
        {"role": "assistant", "content": "Both.", "refusal": None, "tool_calls": [THEIRS]},
        answer_of_theirs,
    ]


def test_calls_that_have_to_be_approved_are_handed_to_the_client() -> None:
    made = form(tool(require_approval="always"))
    made.take(answer(None, CALL))
    assert made.turn() == []
    assert json.loads(made.finish())["choices"][0]["message"]["tool_calls"] == [CALL]


def test_a_model_that_goes_on_calling_is_given_up_with_what_it_has_said() -> None:
    made = form()
    made.take(answer("More!", CALL))
    answered(made, "no")
    made.give_up()
    choice = json.loads(made.finish())["choices"][0]
    assert made.is_over
    assert (choice["finish_reason"], "tool_calls" in choice["message"]) == ("length", False)


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{}]}', b"no"])
def test_an_answer_without_choices_is_none(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        form().take(body)


# -- a stream -------------------------------------------------------------------------------------------------------


def streamed(made: ChatForm, *rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    out = b""
    for values in rounds:
        made.request(is_last=False)
        out += made.feed(stream(*values)) + made.feed(b"data: [DONE]\n\n")
        wanted = made.turn()
        if wanted:
            out += made.calling(wanted)
            out += made.called([Done(wanted=one, text="A") for one in wanted])
    return events(out + made.finish())


FIRST = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Let me see."}), *calling(CALL)]
SECOND = [
    {**chunk({"role": "assistant", "content": ""}), "id": "c2"},
    {**chunk({"content": "It is"}), "id": "c2"},
    {**chunk({"content": " A."}), "id": "c2"},
    {**chunk({}, "stop"), "id": "c2"},
]


def test_a_stream_is_one_message_with_one_reason_and_one_end() -> None:
    got = streamed(form(stream=True), FIRST, SECOND)
    assert got[-1] == {}
    choices = [one["choices"][0] for one in got[:-1]]
    assert [one["finish_reason"] for one in choices if one["finish_reason"]] == ["stop"]
    assert choices[-1]["finish_reason"] == "stop"
    assert [one["delta"]["role"] for one in choices if "role" in one["delta"]] == ["assistant"]
    assert "".join(one["delta"].get("content", "") for one in choices) == "Let me see.\n\nIt is A."
    assert not any("tool_calls" in one["delta"] for one in choices)
    assert {one["id"] for one in got[:-1]} == {"c1"}


def test_text_goes_on_as_it_comes() -> None:
    made = form(stream=True)
    made.request(is_last=False)
    assert made.feed(stream(FIRST[0])) == b""
    assert [one["choices"][0]["delta"] for one in events(made.feed(stream(FIRST[1])))] == [
        {"role": "assistant", "content": ""},
        {"content": "Let me see."},
    ]


def test_a_stream_tells_what_is_called_where_clients_do_not_look() -> None:
    got = streamed(form(stream=True), FIRST, SECOND)
    told = [one["pointsman"]["mcp_calls"][0]["status"] for one in got if "pointsman" in one]
    assert told == ["in_progress", "completed"]


def test_usage_is_told_once_if_it_was_asked_for() -> None:
    used = {"id": "c1", "choices": [], "usage": USAGE}
    asked_for = form(stream=True, stream_options={"include_usage": True})
    got = streamed(asked_for, [*FIRST, used], [*SECOND, used])
    assert [one.get("usage") for one in got if one.get("usage")] == [
        {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
    ]
    assert got[-2]["choices"] == []
    assert not any("usage" in one for one in streamed(form(stream=True), [*FIRST, used], [*SECOND, used]))


def test_calls_of_the_client_go_on_as_they_come_and_then_it_is_told_of_the_rounds_before() -> None:
    got = streamed(form(stream=True), FIRST, calling(THEIRS))
    deltas = [one["choices"][0]["delta"] for one in got[:-1]]
    assert [one["tool_calls"] for one in deltas if "tool_calls" in one] == [[{"index": 0, **THEIRS}]]
    assert [message["role"] for message in deltas[-1]["pointsman"]["mcp_messages"]] == ["assistant", "tool"]
    assert got[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_an_error_in_the_stream_goes_on_and_is_its_end() -> None:
    made = form(stream=True)
    made.request(is_last=False)
    assert events(made.feed(stream({"error": {"message": "no"}}))) == [{"error": {"message": "no"}}]
    assert made.has_failed


def test_what_is_no_json_is_the_providers_fault() -> None:
    made = form(stream=True)
    with pytest.raises(UpstreamBroken):
        made.feed(b"data: {no}\n\n")


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_pieces_may_be_of_any_size(size: int) -> None:
    made, data = form(stream=True), stream(*FIRST)
    made.request(is_last=False)
    out = b"".join(made.feed(data[at : at + size]) for at in range(0, len(data), size))
    assert len(events(out)) == 2
    assert [one.id for one in made.turn()] == ["call_1"]


# -- messages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "both"), [("a", "b", "a\n\nb"), ("", "b", "b"), ("a", "", "a"), ("", "", "")]
)
def test_texts_of_two_rounds_are_told_apart(before: str, after: str, both: str) -> None:
    assert joined(before, after) == both


def test_messages_that_are_not_ours_stay_as_they_are() -> None:
    messages = [QUESTION, "text", {"role": "assistant", "content": "a", "other": 1}]
    assert unfolded(messages) == messages


def test_earlier_rounds_may_hold_nothing_but_calls_and_answers() -> None:
    with pytest.raises(InvalidRequest):
        unfolded([{"role": "assistant", "pointsman": {"mcp_messages": [{"role": "system", "content": "x"}]}}])
    assert unfolded([{"role": "assistant", "content": "a", "pointsman": 7}]) == [{"role": "assistant", "content": "a"}]


def test_what_is_no_function_is_left_to_the_provider() -> None:
    odd = {"type": "function", "function": "x"}
    one = ChatForm({"messages": [], "tools": [tool(), odd]}, offers())
    assert json.loads(one.request(is_last=False))["tools"][0] == odd
