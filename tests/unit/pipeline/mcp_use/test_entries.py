from __future__ import annotations

from typing import Any

import pytest
from unit.pipeline.mcp_use.making import entries, tool

from pointsman.errors import InvalidRequest
from pointsman.pipeline.mcp_use.entries import Approval, Filter, find, servers_of


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("gateway", ""),
        ("gateway/depot", "depot"),
        ("pointsman/mcp/depot", "depot"),
        ("litellm_proxy", ""),
        ("litellm_proxy/mcp", ""),
        ("litellm_proxy/mcp/depot,time", "depot,time"),
        ("litellm_proxy/depot/", "depot"),
        ("https://gw.test/mcp/depot", "depot"),
        ("http://GW.test/mcp/", ""),
        ("https://gw.test/depot/mcp", "depot"),
        ("https://gw.test/v1", None),
        ("https://gw.test:8443/mcp/depot", None),
        ("https://user@gw.test/mcp/depot", None),
        ("https://other.test/mcp/depot", None),
        ("gateway.test/mcp", None),
        ("ftp://gw.test/mcp", None),
        ("https://[/mcp", None),
    ],
)
def test_an_address_is_of_this_gateway_by_a_word_or_by_the_name_that_the_client_has_called(
    url: str, expected: str | None
) -> None:
    assert servers_of(url, "gw.test", "tools[0].server_url") == expected


def test_without_a_host_no_address_is_of_this_gateway() -> None:
    assert servers_of("https:///mcp/x", "", "p") is None


def test_a_longer_path_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="gateway/<server_id>") as caught:
        servers_of("gateway/a/b", "", "tools[2].server_url")
    assert caught.value.param == "tools[2].server_url"


def test_the_tools_of_a_request_are_told_apart() -> None:
    tools = [
        {"type": "function", "function": {"name": "own"}},
        tool("gateway/a", label="a"),
        tool("https://elsewhere.test/mcp", headers={"A": "b"}, authorization="t"),
        {"type": "mcp", "connector_id": "connector_x"},
        "no tool",
    ]
    found = find(tools, "gw.test")
    assert [(one.place, one.label, one.path) for one in found.ours] == [(1, "a", "a")]
    [other] = found.foreign
    assert (other.place, other.url) == (2, "https://elsewhere.test/mcp")
    assert other.headers == {b"a": b"b", b"authorization": b"Bearer t"}


def test_what_is_no_list_has_no_servers() -> None:
    assert find({"type": "mcp", "server_url": "gateway"}, "").ours == []


def test_two_servers_with_one_label_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="server_label"):
        entries(tool("gateway/a"), tool("gateway/b"))


def test_without_a_label_it_is_that_of_the_server() -> None:
    [one] = entries(tool("gateway/a", label=""))
    assert one.label == "a"


def test_headers_choose_servers_and_are_kept_for_those_that_are_shown_them() -> None:
    [one] = entries(tool("litellm_proxy", headers={"X-MCP-Servers": "a,b", "X-Trace": "7"}))
    assert (one.path, one.subset) == (None, "a,b")
    assert one.headers[b"x-trace"] == b"7"


@pytest.mark.parametrize(
    "wrong",
    [
        {"headers": ["a"]},
        {"headers": {"a": 1}},
        {"server_label": 7},
        {"allowed_tools": "echo"},
        {"allowed_tools": {"read_only": "yes"}},
        {"allowed_tools": [1]},
        {"require_approval": "sometimes"},
        {"require_approval": {"never": "all"}},
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        entries(tool(**wrong))
    assert caught.value.param is not None
    assert caught.value.param.startswith("tools[0].")


@pytest.mark.parametrize(
    ("chosen", "has"),
    [
        (Filter(), True),
        (Filter(frozenset({"echo"})), True),
        (Filter(frozenset({"depot__echo"})), True),
        (Filter(frozenset({"other"})), False),
        (Filter(is_read_only=True), True),
        (Filter(frozenset({"echo"}), is_read_only=False), False),
    ],
)
def test_a_filter_goes_by_either_name_and_by_what_the_tool_says_of_itself(chosen: Filter, has: bool) -> None:
    assert chosen.has(("echo", "depot__echo"), is_read_only=True) is has


@pytest.mark.parametrize(
    ("asked", "needed"),
    [
        (None, True),
        ("always", True),
        ("never", False),
        ({"never": {"tool_names": ["echo"]}}, False),
        ({"never": {"tool_names": ["other"]}}, True),
        ({"never": {"read_only": True}}, True),
        ({"never": {"tool_names": ["echo"]}, "always": {"tool_names": ["echo"]}}, True),
    ],
)
def test_a_call_has_to_be_approved_unless_the_client_says_that_it_need_not(asked: Any, needed: bool) -> None:
    [one] = entries(tool(require_approval=asked))
    assert one.approval.is_needed(("echo",), is_read_only=False) is needed


def test_by_default_everything_has_to_be_approved() -> None:
    assert Approval().is_needed(("x",), is_read_only=True)
