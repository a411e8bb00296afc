from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pointsman.mcp.protocol.listings import (
    MAX_TTL_MS,
    PROMPTS,
    RESOURCES,
    TEMPLATES,
    TOOLS,
    Item,
    Kind,
    merged,
    read_page,
    renamed,
    write_list,
)
from pointsman.wire.jsonrpc import RpcError, raw

GOOD = {"name": "good", "inputSchema": {"type": "object"}, "vendor": {"x": [1, None]}}


def page_of(*tools: Any, kind: Kind = TOOLS, **more: Any) -> Any:
    return read_page(kind, raw({kind.member: list(tools), **more}))


@pytest.mark.requirement("mcp.faithful")
def test_elements_stay_the_bytes_that_the_server_has_sent() -> None:
    text = b'{"name" : "good","inputSchema":{"type":"object"},  "vendor":1.50}'
    page = read_page(TOOLS, msgspec.Raw(b'{"tools":[' + text + b"]}"))
    assert bytes(page.items[0].raw) == text


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        ({"name": "bad", "inputSchema": {}}, "bad"),
        ({"name": "bad"}, "bad"),
        ({"name": "bad", "inputSchema": {"type": "object"}, "title": 3}, "bad"),
        ({"name": "bad", "inputSchema": {"type": "object", "properties": {"a": {"x-mcp-header": "A"}}}}, "bad"),
        ({"name": 7, "inputSchema": {"type": "object"}}, "#1"),
        ({"name": "x" * 3000, "inputSchema": {"type": "object"}}, "#1"),
        ({"name": "cut \ufffd", "inputSchema": {"type": "object"}}, "#1"),
        ("no object", "#1"),
        (GOOD, "#1"),
    ],
)
@pytest.mark.requirement("mcp.bad-tool")
def test_one_bad_tool_hides_itself_and_no_other(bad: Any, name: str) -> None:
    page = page_of(GOOD, bad, {**GOOD, "name": "last"})
    assert [item.key for item in page.items] == ["good", "last"]
    assert list(page.faults) == [name]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (PROMPTS, {"name": "p", "arguments": [{"name": "a"}]}, {"name": "q", "arguments": [{}]}),
        (PROMPTS, {"name": "p"}, {"name": "q", "arguments": "a"}),
        (PROMPTS, {"name": "p"}, {"name": "q", "description": "a\u200bb"}),
        (RESOURCES, {"uri": "a:b", "name": "n"}, {"uri": "a:c"}),
        (RESOURCES, {"uri": "a:b", "name": "n"}, {"uri": "a:c", "name": "n\U000e0041"}),
        (RESOURCES, {"uri": "a:b", "name": "n"}, {"uri": "a:c", "name": "n", "mimeType": 3}),
        (TEMPLATES, {"uriTemplate": "a:{b}", "name": "n"}, {"uriTemplate": "", "name": "n"}),
    ],
)
def test_so_it_is_with_prompts_and_resources(kind: Kind, good: Any, bad: Any) -> None:
    page = page_of(good, bad, kind=kind)
    assert [item.key for item in page.items] == [good[kind.key]]
    assert len(page.faults) == 1


def test_a_resource_keeps_its_name_too() -> None:
    (item,) = page_of({"uri": "a:b", "name": "n"}, kind=RESOURCES).items
    assert item.name == "n"


def test_a_page_tells_where_the_list_goes_on_and_how_long_it_holds() -> None:
    page = page_of(GOOD, nextCursor="c", ttlMs=1500, cacheScope="public", _meta={"a": 1})
    assert (page.cursor, page.ttl_ms, page.is_public) == ("c", 1500, True)
    assert msgspec.json.decode(page.meta) == {"a": 1}


@pytest.mark.parametrize(
    ("ttl", "expected"), [(-1, None), ("9", None), (True, None), (None, None), (0, 0), (2.5, 2), (1e308, MAX_TTL_MS)]
)
def test_a_time_that_is_none_counts_as_not_said(ttl: Any, expected: int | None) -> None:
    assert page_of(GOOD, ttlMs=ttl).ttl_ms == expected


@pytest.mark.parametrize("result", [b"{}", b'{"tools":{}}', b"[]", b'{"tools":null}'])
def test_what_is_no_list_is_an_error_of_the_server(result: bytes) -> None:
    with pytest.raises(RpcError, match="is no list"):
        read_page(TOOLS, msgspec.Raw(result))


def test_another_name_is_put_in_the_place_of_the_first_and_nothing_else_changes() -> None:
    item = Item("good", raw(GOOD))
    assert msgspec.json.decode(renamed(item, TOOLS, "a__good")) == {**GOOD, "name": "a__good"}
    assert renamed(item, TOOLS, "good") is item.raw


@pytest.mark.parametrize("meta", [None, {"x": 1}, "strange"])
def test_a_name_that_does_not_tell_the_first_has_it_in_its_meta(meta: Any) -> None:
    item = Item("good", raw({**GOOD, "_meta": meta} if meta else GOOD))
    found = msgspec.json.decode(renamed(item, TOOLS, "other"))
    assert found["_meta"]["pointsman/name"] == "good"
    assert found["_meta"].get("x") == (1 if meta == {"x": 1} else None)


def test_a_list_is_written_with_its_other_members() -> None:
    written = write_list(TOOLS, [raw(GOOD), raw({"name": "b"})], {"ttlMs": 5})
    assert msgspec.json.decode(written) == {"tools": [GOOD, {"name": "b"}], "ttlMs": 5}
    assert msgspec.json.decode(write_list(PROMPTS, [], {})) == {"prompts": []}


def test_together_servers_can_what_any_of_them_can() -> None:
    first = {"tools": {"listChanged": False}, "extensions": {"a": {}}}
    second = {"tools": {"listChanged": True}, "resources": {"subscribe": True}, "extensions": {"b": {"c": 1}}}
    assert merged([first, second]) == {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True},
        "extensions": {"a": {}, "b": {"c": 1}},
    }
