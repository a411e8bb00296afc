from __future__ import annotations

import json
from typing import Any

import pytest
from unit.pipeline.mcp_use.making import answered, events, offers, stream, tool

from pointsman.errors import InvalidRequest, UpstreamBroken
from pointsman.pipeline.mcp_use.approvals import Pending, id_of
from pointsman.pipeline.mcp_use.inputs import function_call, function_output
from pointsman.pipeline.mcp_use.offers import Done
from pointsman.pipeline.mcp_use.responses import ResponsesForm

OWN = {"type": "function", "name": "own", "parameters": {"type": "object"}}
USAGE = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
CALL = {"id": "fc_1", "status": "completed"} | function_call("call_1", "depot__echo", '{"text":"A"}')
THEIRS = {"id": "fc_2"} | function_call("call_2", "own", "{}")
APPROVAL = id_of(Pending("call_1", "depot__echo", '{"text":"A"}'))


def said(text: str, item_id: str = "msg_1") -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": item_id, "type": "message", "role": "assistant", "status": "completed", "content": content}


def form(*tools: Any, **body: Any) -> ResponsesForm:
    whole = {"model": "m", "input": "hi", "tools": list(tools or (tool(), OWN))} | body
    return ResponsesForm(whole, offers(*(one for one in whole["tools"] if one.get("type") == "mcp")))


def response(*output: Any, number: int = 1, **more: Any) -> dict[str, Any]:
    whole = {"id": f"resp_{number}", "object": "response", "created_at": 100 + number, "status": "completed"}
    return whole | {"output": list(output), "usage": USAGE, "store": True, "tools": []} | more


def asked(made: ResponsesForm, *, is_last: bool = False) -> Any:
    return json.loads(made.request(is_last=is_last))


def take(made: ResponsesForm, *output: Any, **more: Any) -> None:
    made.take(json.dumps(response(*output, **more)).encode())


def kinds(items: Any) -> list[str]:
    return [one["type"] for one in items]


# -- what the model is asked ----------------------------------------------------------------------------------------


def test_servers_are_functions_for_the_model_beside_the_tools_of_the_client() -> None:
    tools = asked(form())["tools"]
    assert [one["name"] for one in tools] == ["own", "depot__echo", "depot__clock"]
    # Else OpenAI would take the schema of a tool for one that is strict.
    assert tools[1]["strict"] is False


def test_a_server_elsewhere_stays_with_the_provider() -> None:
    foreign = {"type": "mcp", "server_label": "x", "server_url": "https://elsewhere.test/mcp"}
    whole = {
        "input": "hi",
        "tools": [tool(), foreign],
        "tool_choice": {"type": "mcp", "server_label": "x", "name": "y"},
    }
    got = asked(ResponsesForm(whole, offers()))
    assert got["tools"][0] == foreign
    assert got["tool_choice"] == whole["tool_choice"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "mcp", "server_label": "d"}, "required"),
        ({"type": "mcp", "server_label": "d", "name": "echo"}, {"type": "function", "name": "depot__echo"}),
        ("none", "none"),
    ],
)
def test_a_choice_of_a_server_is_one_of_its_functions(choice: Any, expected: Any) -> None:
    assert asked(form(tool_choice=choice))["tool_choice"] == expected


def test_in_the_last_round_nothing_may_be_called() -> None:
    assert asked(form(), is_last=True)["tool_choice"] == "none"


def test_what_has_to_be_called_once_does_not_have_to_be_called_for_ever() -> None:
    made = form(tool_choice="required")
    made.request(is_last=False)
    take(made, CALL)
    answered(made, "A")
    assert asked(made)["tool_choice"] == "auto"


def test_where_there_are_no_tools_none_are_declared() -> None:
    made = ResponsesForm({"input": "hi", "tools": [tool()]}, offers(names=()))
    assert "tools" not in asked(made)


def test_what_goes_on_without_the_client_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        form(background=True)
    assert caught.value.param == "background"


def test_a_function_of_the_client_with_the_name_of_a_tool_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        form(tool(), {"type": "function", "name": "depot__echo"})


def test_all_that_was_said_goes_back_to_the_model_with_what_tools_have_answered() -> None:
    made = form()
    take(made, said("Let me see."), CALL)
    answered(made, "A")
    assert asked(made)["input"] == [
        {"role": "user", "content": "hi"},
        said("Let me see."),
        CALL,
        function_output("call_1", "A"),
    ]


def test_a_conversation_that_the_provider_keeps_gets_what_is_new() -> None:
    made = form(conversation="conv_1")
    take(made, CALL)
    answered(made, "A")
    assert asked(made)["input"] == [function_output("call_1", "A")]


def test_nothing_of_servers_is_left_in_the_input() -> None:
    known = {"type": "mcp_list_tools", "server_label": "d", "tools": []}
    assert asked(form(input=[known], previous_response_id="resp_0"))["input"] == []
    assert "input" not in asked(ResponsesForm({"tools": [tool()], "prompt": {"id": "p"}}, offers()))


@pytest.mark.parametrize(("store", "kept"), [(None, 2), (False, 1)])
def test_reasoning_goes_back_only_where_it_can_be_read_again(store: bool | None, kept: int) -> None:
    made = form(store=store)
    bare, whole = {"type": "reasoning", "id": "rs_1"}, {"type": "reasoning", "id": "rs_2", "encrypted_content": "x"}
    take(made, bare, whole, CALL)
    answered(made, "A")
    assert kinds(asked(made)["input"][1:]).count("reasoning") == kept


# -- a whole answer -------------------------------------------------------------------------------------------------


def test_the_reply_has_the_items_of_all_rounds_with_the_calls_of_servers_among_them() -> None:
    made = form()
    take(made, said("Let me see."), CALL)
    answered(made, "A")
    take(made, said("It is A.", "msg_2"), number=2)
    assert made.turn() == []
    assert made.is_over
    reply = json.loads(made.finish())
    assert kinds(reply["output"]) == ["mcp_list_tools", "message", "mcp_call", "message"]
    assert [one["name"] for one in reply["output"][0]["tools"]] == ["echo", "clock"]
    called = reply["output"][2]
    assert (called["name"], called["server_label"], called["output"], called["status"]) == (
        "echo",
        "d",
        "A",
        "completed",
    )
    assert reply["usage"]["total_tokens"] == 30
    # By the last one the provider knows all of it.
    assert (reply["id"], reply["created_at"]) == ("resp_2", 101)


def test_where_the_provider_keeps_nothing_the_id_is_that_of_the_first_round() -> None:
    made = form()
    take(made, CALL, store=False)
    answered(made, "A")
    take(made, said("A"), number=2, store=False)
    made.turn()
    assert json.loads(made.finish())["id"] == "resp_1"


def test_the_reply_tells_the_tools_of_the_client_without_their_secrets() -> None:
    made = form(tool(headers={"x-key": "canary"}, authorization="canary"))
    take(made, said("A"))
    made.turn()
    text = made.finish()
    assert b"canary" not in text
    assert json.loads(text)["tools"][0]["server_url"] == "gateway/depot"


def test_a_call_that_has_failed_is_an_item_with_an_error() -> None:
    made = form()
    take(made, CALL)
    wanted = made.turn()
    made.calling(wanted)
    made.called([Done(wanted=wanted[0], text="Error: no", is_error=True)])
    take(made, said("No."), number=2)
    made.turn()
    item = json.loads(made.finish())["output"][1]
    assert (item["status"], item["output"], item["error"]["content"][0]["text"]) == ("failed", None, "Error: no")


def test_calls_of_the_client_end_the_rounds_and_ours_are_made_before() -> None:
    made = form()
    take(made, CALL, THEIRS)
    answered(made, "A")
    assert made.is_over
    output = json.loads(made.finish())["output"]
    assert sorted(kinds(output)) == ["function_call", "mcp_call", "mcp_list_tools"]


def test_what_the_client_gives_back_goes_on_where_it_was() -> None:
    made = form()
    take(made, CALL, THEIRS)
    answered(made, "A")
    output = json.loads(made.finish())["output"]
    theirs = function_output("call_2", "B")
    again = asked(form(input=[{"role": "user", "content": "hi"}, *output, theirs]))["input"]
    called = [one for one in again if one.get("type") in ("function_call", "function_call_output")]
    assert {one["call_id"] for one in called} == {"call_2", "0_call_1"}
    assert kinds(again[1:]).count("function_call_output") == 2
    assert not any(kind.startswith("mcp") for kind in kinds(again[1:]))


def test_a_list_that_the_client_has_is_not_told_again() -> None:
    known = {"type": "mcp_list_tools", "server_label": "d", "tools": []}
    for made in (form(input=[known]), form(previous_response_id="resp_0")):
        take(made, said("A"))
        made.turn()
        assert kinds(json.loads(made.finish())["output"]) == ["message"]


def test_an_answer_that_was_cut_is_the_last_one() -> None:
    made = form()
    take(made, CALL, status="incomplete")
    assert made.turn() == []
    assert made.is_over


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"output":7}', b'{"output":[7]}', b"no"])
def test_an_answer_without_output_is_none(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        form().take(body)


def test_a_model_that_goes_on_calling_is_given_up_with_what_it_has_said() -> None:
    made = form()
    take(made, said("More!"), CALL)
    answered(made, "no")
    made.give_up()
    reply = json.loads(made.finish())
    assert made.is_over
    assert (reply["status"], reply["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


# -- approval -------------------------------------------------------------------------------------------------------


def test_a_call_that_has_to_be_approved_is_asked_for() -> None:
    made = form(tool(require_approval="always"))
    take(made, CALL)
    assert made.turn() == []
    assert made.is_over
    item = json.loads(made.finish())["output"][-1]
    assert item == {
        "id": APPROVAL,
        "type": "mcp_approval_request",
        "server_label": "d",
        "name": "echo",
        "arguments": '{"text":"A"}',
    }


def test_what_was_approved_is_called_before_the_model_is_asked() -> None:
    answer = {"type": "mcp_approval_response", "approval_request_id": APPROVAL, "approve": True}
    made = form(tool(require_approval="always"), input=[answer])
    [wanted] = made.approved()
    made.calling([wanted])
    made.called([Done(wanted=wanted, text="A")])
    assert asked(made)["input"] == [
        function_call("call_1", "depot__echo", '{"text":"A"}'),
        function_output("call_1", "A"),
    ]
    take(made, said("It is A."))
    made.turn()
    output = json.loads(made.finish())["output"]
    assert kinds(output) == ["mcp_list_tools", "mcp_call", "message"]
    assert output[1]["approval_request_id"] == APPROVAL


# -- a stream -------------------------------------------------------------------------------------------------------


def told(*items: Any, number: int = 1, ending: str = "completed") -> list[dict[str, Any]]:
    whole = response(*items, number=number)
    got: list[dict[str, Any]] = [
        {"type": f"response.{kind}", "response": whole | {"output": []}, "sequence_number": at}
        for at, kind in enumerate(("created", "in_progress"))
    ]
    for index, item in enumerate(items):
        got.append({"type": "response.output_item.added", "output_index": index, "item": item})
        if item["type"] == "function_call":
            delta = {"output_index": index, "item_id": item["id"], "delta": item["arguments"]}
            got.append({"type": "response.function_call_arguments.delta", **delta})
        else:
            got.append({"type": "response.output_text.delta", "output_index": index, "delta": "text"})
        got.append({"type": "response.output_item.done", "output_index": index, "item": item})
    return [*got, {"type": f"response.{ending}", "response": whole}]


def streamed(made: ResponsesForm, *rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    out = b""
    for values in rounds:
        made.request(is_last=False)
        out += made.feed(stream(*values))
        wanted = made.turn()
        out += made.calling(wanted) + made.called([Done(wanted=one, text="A") for one in wanted])
    return events(out + made.finish())


def test_a_stream_is_one_response_numbered_from_beginning_to_end() -> None:
    got = streamed(form(stream=True), told(said("Let me see."), CALL), told(said("A", "msg_2"), number=2))
    assert [one["sequence_number"] for one in got] == list(range(len(got)))
    assert [one["type"] for one in got[:2]] == ["response.created", "response.in_progress"]
    whole = [one["type"] for one in got if "response" in one]
    assert whole == ["response.created", "response.in_progress", "response.completed"]
    assert {one["response"]["id"] for one in got if "response" in one} == {"resp_1"}
    assert not any("function_call" in one["type"] for one in got)


def test_items_of_a_stream_have_places_of_their_own_and_stand_there_in_the_end() -> None:
    got = streamed(form(stream=True), told(said("Let me see."), CALL), told(said("A", "msg_2"), number=2))
    added = [(one["output_index"], one["item"]["type"]) for one in got if one["type"].endswith("item.added")]
    assert added == [(0, "mcp_list_tools"), (1, "message"), (2, "mcp_call"), (3, "message")]
    done = {one["output_index"]: one["item"] for one in got if one["type"] == "response.output_item.done"}
    assert [done[at] for at in range(4)] == got[-1]["response"]["output"]
    assert done[2]["output"] == "A"


def test_a_call_of_a_server_has_the_events_that_it_has_at_openai() -> None:
    got = streamed(form(stream=True), told(CALL), told(said("A"), number=2))
    assert [one["type"].removeprefix("response.") for one in got if one.get("output_index") == 1] == [
        "output_item.added",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
        "output_item.done",
    ]


def test_providers_that_use_an_id_again_make_no_two_items_with_one_id() -> None:
    got = streamed(form(stream=True), told(CALL), told(CALL, number=2), told(said("A"), number=3))
    ids = [item["id"] for item in got[-1]["response"]["output"]]
    assert len(ids) == len(set(ids)) == 4


def test_a_stream_asks_for_approval_by_an_item() -> None:
    got = streamed(form(tool(require_approval="always"), stream=True), told(CALL))
    assert got[-2]["item"]["type"] == "mcp_approval_request"
    assert got[-1]["type"] == "response.completed"


def test_what_is_called_before_the_first_round_is_told_after_the_beginning() -> None:
    answer = {"type": "mcp_approval_response", "approval_request_id": APPROVAL, "approve": True}
    made = form(tool(require_approval="always"), stream=True, input=[answer])
    wanted = made.approved()
    assert made.calling(wanted) + made.called([Done(wanted=one, text="A") for one in wanted]) == b""
    got = streamed(made, told(said("A")))
    assert got[0]["type"] == "response.created"
    assert kinds(got[-1]["response"]["output"]) == ["mcp_list_tools", "mcp_call", "message"]


@pytest.mark.parametrize("ending", ["incomplete", "failed"])
def test_a_response_that_ends_otherwise_is_the_last_one(ending: str) -> None:
    got = streamed(form(stream=True), told(CALL, ending=ending))
    assert got[-1]["type"] == f"response.{ending}"


def test_a_response_without_items_begins_and_ends() -> None:
    got = streamed(form(stream=True, previous_response_id="x"), told())
    assert [one["type"] for one in got] == ["response.created", "response.in_progress", "response.completed"]


def test_an_error_in_the_stream_goes_on_and_is_its_end() -> None:
    made = form(stream=True)
    made.request(is_last=False)
    out = made.feed(stream(*told(said("A"))[:3], {"type": "error", "message": "no"}))
    failed = {"type": "response.failed", "response": {"id": "x", "status": "failed"}}
    got = events(out + made.feed(stream(failed)))
    assert made.has_failed
    assert [one["type"] for one in got[-2:]] == ["error", "response.failed"]
    assert [one["sequence_number"] for one in got] == list(range(len(got)))


def test_a_stream_that_the_provider_keeps_goes_on_by_the_id_of_its_last_round() -> None:
    made = form(stream=True)
    streamed(made, told(CALL), told(said("A"), number=2))
    assert made.chain == ("resp_1", "resp_2")
    assert form().chain is None


@pytest.mark.parametrize("size", [1, 11, 100_000])
def test_pieces_may_be_of_any_size(size: int) -> None:
    made, data = form(stream=True), stream(*told(said("A"), CALL))
    made.request(is_last=False)
    out = b"".join(made.feed(data[at : at + size]) for at in range(0, len(data), size))
    assert [one["type"] for one in events(out)][-1] == "response.output_item.done"
    assert [one.id for one in made.turn()] == ["call_1"]


def test_what_is_no_json_is_the_providers_fault() -> None:
    with pytest.raises(UpstreamBroken):
        form(stream=True).feed(b"data: {no}\n\n")
