from __future__ import annotations

from typing import Any

import pytest
from unit.pipeline.mcp_use.making import offers, tool

from pointsman.errors import InvalidRequest
from pointsman.pipeline.mcp_use.approvals import Pending, id_of
from pointsman.pipeline.mcp_use.inputs import DENIED, GONE, Read, function_call, function_output, read_input

ID = id_of(Pending("call_1", "depot__echo", '{"text":"A"}'))
CALLED = function_call("call_1", "depot__echo", '{"text":"A"}')
REQUEST = {"type": "mcp_approval_request", "id": ID, "server_label": "d", "name": "echo", "arguments": "{}"}


def approval(**more: Any) -> dict[str, Any]:
    return {"type": "mcp_approval_response", "approval_request_id": ID, "approve": True} | more


def read(value: Any, *, is_chained: bool = False) -> Read:
    return read_input(value, offers(), is_chained=is_chained)


@pytest.mark.parametrize(
    ("value", "items"),
    [("hi", [{"role": "user", "content": "hi"}]), (None, []), ([{"role": "user", "content": "x"}, 7],) * 2],
)
def test_an_input_is_a_list_of_items(value: Any, items: Any) -> None:
    assert read(value).items == items


def test_lists_of_tools_are_left_out_and_remembered() -> None:
    known = {"type": "mcp_list_tools", "server_label": "d", "tools": []}
    other = {"type": "mcp_list_tools", "server_label": "other", "tools": []}
    got = read([known, other])
    assert (got.items, got.listed) == ([other], {"d"})


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        ({"output": "A"}, "A"),
        ({"error": {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "no"}]}}, "no"),
        ({"error": {"type": "http_error", "message": "gone"}}, "gone"),
        ({"error": "odd"}, "odd"),
        ({}, "Error"),
    ],
)
def test_a_call_that_was_made_is_one_of_a_function_with_its_answer(outcome: Any, text: str) -> None:
    item = {"type": "mcp_call", "id": "mcp_0_call_1", "server_label": "d", "name": "echo", "arguments": "{}"} | outcome
    assert read([item]).items == [
        function_call("0_call_1", "depot__echo", "{}"),
        function_output("0_call_1", text),
    ]


def test_a_call_of_another_server_is_left_to_the_provider() -> None:
    item = {"type": "mcp_call", "id": "mcp_1", "server_label": "other", "name": "x", "arguments": "{}"}
    assert read([item]).items == [item]


@pytest.mark.parametrize("with_request", [True, False])
def test_an_approved_call_is_to_be_made_and_has_its_place(with_request: bool) -> None:
    got = read([*([REQUEST] if with_request else []), approval(), {"role": "user", "content": "and?"}])
    [wanted] = got.approved
    assert (wanted.id, wanted.offer.name, wanted.arguments, wanted.approval) == ("call_1", "echo", '{"text":"A"}', ID)
    got.slots["call_1"]["output"] = "A"
    assert got.items == [CALLED, function_output("call_1", "A"), {"role": "user", "content": "and?"}]


def test_where_the_provider_keeps_what_was_before_it_knows_the_call() -> None:
    assert read([approval()], is_chained=True).items[0]["type"] == "function_call_output"


@pytest.mark.parametrize(
    ("more", "text"), [({}, DENIED), ({"reason": "not now"}, f"{DENIED}: not now"), ({"reason": None}, DENIED)]
)
def test_a_refused_call_is_not_made(more: Any, text: str) -> None:
    got = read([REQUEST, approval(approve=False, **more)])
    assert got.approved == []
    assert got.items == [CALLED, function_output("call_1", text)]


def test_a_tool_that_is_not_offered_any_more_is_not_called() -> None:
    got = read_input([approval()], offers(tool(), names=()), is_chained=False)
    assert got.approved == []
    assert got.items[1]["output"] == GONE


def test_an_approval_of_another_kind_is_left_to_the_provider() -> None:
    item = approval(approval_request_id="mcpr_0ab")
    assert read([item]).items == [item]


@pytest.mark.parametrize("wrong", [approval(approve="yes"), REQUEST | {"id": "mcpr_0ab"}])
def test_an_approval_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidRequest):
        read([wrong])


@pytest.mark.parametrize("item", [{"type": []}, {"type": "mcp_call", "server_label": []}])
def test_what_is_no_item_is_left_to_the_provider(item: Any) -> None:
    assert read_input([item], offers(), is_chained=False).items == [item]
