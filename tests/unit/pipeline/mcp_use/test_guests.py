from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from unit.mcp.pretending import Pretending, Rig, caller
from unit.mcp.pretending import tool as mcp_tool
from unit.pipeline.mcp_use.making import tool

from pointsman.errors import InvalidRequest, UpstreamUnreachable
from pointsman.mcp.base import Server
from pointsman.mcp.gateway import Gateway
from pointsman.mcp.settings import ServerSettings
from pointsman.pipeline.mcp_use.entries import Entry, find
from pointsman.pipeline.mcp_use.guests import GUEST, MOST_PAGES, Guests
from pointsman.pipeline.mcp_use.offers import Wanted

URL = "https://elsewhere.example/mcp"


class Home:
    """Where one server is called from that exists only here."""

    def __init__(self, server: Pretending) -> None:
        self.gateway: Gateway = Rig().gateway
        self.server = server
        self.visited: list[ServerSettings] = []
        self.left: list[ServerSettings] = []

    def visit(self, settings: ServerSettings) -> Server:
        self.visited.append(settings)
        return self.server

    def leave(self, settings: ServerSettings) -> None:
        self.left.append(settings)


def entries(**more: Any) -> list[Entry]:
    return list(find([tool(more.pop("url", URL), **more)], "").foreign)


def home(*names: str) -> Home:
    server = Pretending({"tools": [mcp_tool(name) for name in names or ("echo",)]})
    server.answers["tools/call"] = {"content": [{"type": "text", "text": "A"}]}
    return Home(server)


async def test_a_foreign_server_is_called_for_one_request() -> None:
    there = home("echo", "clock")
    guests = Guests(there, caller(), ())
    offers = await guests.offers(entries(authorization="t", headers={"X-A": "b"}))
    assert [one.public for one in offers] == ["d__echo", "d__clock"]
    assert guests.has("d")
    done = await guests.call(Wanted(id="call_1", offer=offers[0], arguments='{"n":1}'), 5.0)
    assert (done.text, done.is_error) == ("A", False)
    assert there.server.asked[-1] == ("tools/call", {"name": "echo", "arguments": {"n": 1}})
    await guests.close()
    assert there.server.is_closed
    assert (there.left, guests.has("d")) == (there.visited, False)


async def test_it_has_an_id_that_no_other_server_has_and_is_not_trusted() -> None:
    there = home()
    await Guests(there, caller(), ()).offers(entries(authorization="t", headers={"X-A": "b"}))
    [settings] = there.visited
    assert settings.id.startswith(GUEST)
    assert (settings.source, settings.allow_private, settings.transport) == ("request", False, "streamable_http")
    assert settings.static_headers == {"authorization": "Bearer t", "x-a": "b"}


async def test_an_address_that_ends_so_is_of_the_transport_of_2024() -> None:
    there = home()
    await Guests(there, caller(), ()).offers(entries(url="https://elsewhere.example/sse"))
    assert there.visited[0].transport == "sse"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/mcp",
        "http://localhost/mcp",
        "http://169.254.169.254/latest",
        "http://[::1]/mcp",
        "http://10.0.0.1/mcp",
        "https://user:pass@elsewhere.example/mcp",
        "file:///etc/passwd",
        "elsewhere.example",
    ],
)
async def test_an_address_that_only_the_gateway_can_reach_is_refused(url: str) -> None:
    there = home()
    with pytest.raises(InvalidRequest) as caught:
        await Guests(there, caller(), ()).offers(entries(url=url))
    assert (caught.value.param, there.visited) == ("tools[0].server_url", [])


async def test_a_private_one_may_be_called_if_the_operator_says_so() -> None:
    there = home()
    assert await Guests(there, caller(), ("127.0.0.1",)).offers(entries(url="http://127.0.0.1:8080/mcp"))


@pytest.mark.parametrize("headers", [{"host": "x"}, {"mcp-session-id": "x"}, {"x-a": "b\r\nc: d"}, {"a b": "c"}])
async def test_headers_that_belong_to_the_connection_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await Guests(home(), caller(), ()).offers(entries(headers=headers))
    assert caught.value.param == "tools[0].headers"


async def test_long_lists_come_in_pages_and_end() -> None:
    there = home()
    there.server.pages = {None: ([mcp_tool("a")], "1"), "1": ([mcp_tool("b")], "1")}
    offers = await Guests(there, caller(), ()).offers(entries())
    assert [one.name for one in offers] == ["a", *["b"] * (MOST_PAGES - 1)]


async def test_tools_with_hidden_characters_are_not_offered() -> None:
    there = home()
    there.server.lists["tools"].append(mcp_tool("other", description="Say\u200b nothing"))
    assert [one.name for one in await Guests(there, caller(), ()).offers(entries())] == ["echo"]


async def test_one_that_does_not_tell_its_tools_fails_the_request_and_is_left() -> None:
    there = home()
    there.server.failure = UpstreamUnreachable("secret address")
    guests = Guests(there, caller(), ())
    with pytest.raises(UpstreamUnreachable, match="'d' does not tell its tools"):
        await guests.offers(entries())
    await guests.close()
    assert there.left == there.visited


@pytest.mark.requirement("mcp.audit")
async def test_each_call_is_written_down_also_when_its_client_leaves(caplog: pytest.LogCaptureFixture) -> None:
    there, is_called = home(), asyncio.Event()
    guests = Guests(there, caller(), (), "r7")
    [one] = await guests.offers(entries(url=f"{URL}?key=canary"))
    wanted = Wanted(id="call_1", offer=one, arguments="{}")

    async def hang(*_: Any) -> None:
        is_called.set()
        await asyncio.Event().wait()

    with caplog.at_level(logging.INFO, "pointsman.mcp.calls"):
        await guests.call(wanted, 5.0)
        there.server.answers["tools/call"] = hang
        task = asyncio.create_task(guests.call(wanted, 5.0))
        await is_called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    said = [vars(record) for record in caplog.records]
    assert [one["outcome"] for one in said] == ["success", "cancelled"]
    assert {(one["caller"], one["server"], one["tool"], one["request_id"]) for one in said} == {
        ("key:a", URL, "echo", "r7")
    }


async def test_a_list_that_is_nested_too_deep_is_none() -> None:
    there = home()
    there.server.answers["tools/list"] = RecursionError()
    with pytest.raises(UpstreamUnreachable, match="does not tell"):
        await Guests(there, caller(), ()).offers(entries())
