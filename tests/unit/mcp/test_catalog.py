from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from unit.mcp.pretending import CHANGED, Pretending, caller, client, server, tool

from pointsman.errors import GatewayError, UpstreamTimeout, UpstreamUnreachable
from pointsman.mcp import catalog as catalog_of
from pointsman.mcp.calls import Quiet
from pointsman.mcp.catalog import RETRY_SECONDS, TTL_MS, Catalog, Listing
from pointsman.mcp.connections import Connection
from pointsman.mcp.events import Events
from pointsman.mcp.protocol.listings import PROMPTS, RESOURCES, TEMPLATES, TOOLS, Kind
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import RpcError

SILENT: dict[str, Any] = {"capabilities": {"tools": {}, "prompts": {}, "resources": {}}}
PATIENCE = 5.0


class Shop:
    """A catalog of one server."""

    def __init__(self, far: Pretending, *, is_shared: bool = True, **settings: Any) -> None:
        self.now = 0.0
        self.far = far
        self.tasks = Tasks(logging.getLogger("tests"), 100)
        self.connection = Connection(("a", ""), server("a", **settings), far, is_shared=is_shared)
        self.faults: dict[str, str] = {}
        self.counted: list[str] = []
        self.catalog = Catalog(
            Events(), self.tasks, lambda: self.now, Quiet(client(caller(""))), inspect=self._inspect, count=self._count
        )

    async def _inspect(self, settings: object, items: object) -> dict[str, str]:
        return self.faults

    def _count(self, server_id: str, outcome: str) -> None:
        assert server_id == "a"
        self.counted.append(outcome)

    async def get(self, kind: Kind = TOOLS, *, patience: float = PATIENCE, insists: bool = False) -> Listing:
        return await self.catalog.get(self.connection, kind, patience, insists=insists)

    async def names(self, **more: Any) -> list[str]:
        return list((await self.get(**more)).items)

    async def read_anew(self) -> None:
        """Let what was begun come to its end."""
        await asyncio.wait_for(self._nothing_goes_on(), 5)

    async def _nothing_goes_on(self) -> None:
        while len(self.tasks):
            await asyncio.sleep(0)


@pytest.fixture
def make() -> Callable[..., Shop]:
    def make(*tools: Any, said: Any = None, **settings: Any) -> Shop:
        return Shop(Pretending({"tools": list(tools)}, **(SILENT if said is None else said)), **settings)

    return make


@pytest.mark.requirement("mcp.catalog")
async def test_a_list_is_read_once_for_all_who_ask(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"), tool("b"))
    assert [*await asyncio.gather(shop.names(), shop.names())] == [["a", "b"]] * 2
    assert shop.far.count("tools/list") == 1


async def test_an_old_list_is_given_while_it_is_read_anew(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"))
    await shop.names()
    shop.far.lists["tools"] = [tool("b")]
    shop.now = TTL_MS / 1000
    assert await shop.names() == ["a"]
    await shop.read_anew()
    assert await shop.names() == ["b"]


async def test_the_server_says_how_long_its_list_holds(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"))
    shop.far.page = {"ttlMs": 10_000}
    await shop.names()
    shop.now = 9.9
    assert shop.catalog.fresh(shop.connection, TOOLS) is not None
    shop.now = 10.0
    assert shop.catalog.fresh(shop.connection, TOOLS) is None


async def test_a_list_that_holds_for_no_time_is_read_each_time(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"))
    shop.far.page = {"ttlMs": 0}
    await shop.names()
    shop.far.lists["tools"] = [tool("b")]
    assert await shop.names() == ["b"]


@pytest.mark.requirement("mcp.catalog")
async def test_a_list_that_the_server_has_changed_is_waited_for(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"), said={})
    await shop.names()
    shop.far.lists["tools"] = [tool("b")]
    assert await shop.names() == ["a"]
    shop.catalog.dirty(shop.connection, CHANGED.method)
    assert await shop.names() == ["b"]


async def test_a_server_that_tells_of_changes_is_listened_to(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"), said={})
    await shop.names()
    assert [interest.tools for interest, _ in shop.far.watches] == [True]
    assert shop.connection.is_idle
    shop.catalog.forget(shop.connection)
    assert not shop.far.watches


async def test_one_that_does_not_is_left_alone(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"))
    await shop.names()
    assert not shop.far.watches


async def test_a_connection_of_one_caller_is_not_listened_to_for_lists(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"), said={}, is_shared=False)
    await shop.names()
    assert not shop.far.watches


async def test_all_pages_are_one_list(make: Callable[..., Shop]) -> None:
    shop = make()
    shop.far.pages = {None: ([tool("a")], "2"), "2": ([tool("b"), tool("a", title="again")], "3"), "3": ([], None)}
    listing = await shop.get()
    assert list(listing.items) == ["a", "b"]
    assert b"again" not in bytes(listing.items["a"].raw)
    assert listing.page.cursor is None


async def test_a_list_that_is_too_long_says_where_it_goes_on(
    make: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_of, "MAX_ITEMS", 2)
    shop = make()
    shop.far.pages = {None: ([tool("a")], "2"), "2": ([tool("b")], "3"), "3": ([tool("c")], None)}
    listing = await shop.get()
    assert (len(listing.items), listing.page.cursor) == (2, "3")


async def test_a_server_whose_pages_go_round_in_circles_is_read_once(make: Callable[..., Shop]) -> None:
    shop = make()
    shop.far.pages = {None: ([tool("a")], "2"), "2": ([tool("b")], "2")}
    assert len(await shop.names()) == 2


async def test_what_a_server_does_not_have_is_not_asked_for(make: Callable[..., Shop]) -> None:
    shop = make(said={"capabilities": {"tools": {}}})
    listing = await shop.get(PROMPTS)
    assert (listing.is_offered, list(listing.items), shop.far.asked) == (False, [], [])


async def test_resources_without_templates_are_no_failure(make: Callable[..., Shop]) -> None:
    shop = make()
    shop.far.lists["resources"] = [{"uri": "a:b", "name": "n"}]
    assert list((await shop.get(TEMPLATES)).items) == []
    assert list((await shop.get(RESOURCES)).items) == ["a:b"]


async def test_tools_that_must_not_be_shown_are_set_aside_with_the_reason(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"), tool("b"), {"name": "c", "inputSchema": {}})
    shop.faults = {"b": "it has changed"}
    assert await shop.names() == ["a"]
    faults = shop.catalog.faults(shop.connection, TOOLS)
    assert faults["b"] == "it has changed"
    assert set(faults) == {"b", "c"}
    shop.faults = {}
    shop.catalog.recheck()
    assert await shop.names() == ["a", "b"]


async def test_a_failure_is_told_and_the_next_who_insists_tries_again(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"))
    shop.far.failure = UpstreamUnreachable("gone")
    with pytest.raises(UpstreamUnreachable):
        await shop.get()
    assert shop.catalog.failure(shop.connection) is not None
    shop.far.failure = None
    with pytest.raises(UpstreamUnreachable):
        await shop.get()
    assert await shop.names(insists=True) == ["a"]
    assert shop.catalog.failure(shop.connection) is None


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (None, "ok"),
        (UpstreamUnreachable("gone"), "unreachable"),
        (UpstreamTimeout("late"), "timeout"),
        (RpcError(-32603, "no"), "refused"),
    ],
)
async def test_what_came_of_reading_is_counted(make: Callable[..., Shop], failure: Any, outcome: str) -> None:
    shop = make(tool("a"))
    shop.far.failure = failure
    with suppress(GatewayError, RpcError):
        await shop.get()
    assert shop.counted == [outcome]


async def test_others_try_again_after_a_moment(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"))
    shop.far.failure = UpstreamUnreachable("gone")
    with pytest.raises(UpstreamUnreachable):
        await shop.get()
    shop.far.failure = None
    shop.now = RETRY_SECONDS
    assert await shop.names() == ["a"]


@pytest.mark.requirement("mcp.catalog")
async def test_while_a_server_is_away_its_last_list_is_given(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"))
    await shop.names()
    shop.far.failure = UpstreamUnreachable("gone")
    shop.catalog.dirty(shop.connection, CHANGED.method)
    assert await shop.names() == ["a"]
    assert isinstance(shop.catalog.failure(shop.connection), UpstreamUnreachable)


@pytest.mark.parametrize("answer", [RpcError(-32603, "broken"), {"tools": "none"}])
async def test_an_answer_that_is_no_list_is_a_failure(make: Callable[..., Shop], answer: Any) -> None:
    shop = make()
    shop.far.answers["tools/list"] = answer
    with pytest.raises(RpcError):
        await shop.get()


async def test_a_server_that_hangs_is_waited_for_once_and_read_on(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"))
    shop.far.gate = asyncio.Event()
    with pytest.raises(UpstreamTimeout):
        await shop.get(patience=0.001)
    shop.now = 1.0
    with pytest.raises(UpstreamTimeout):
        # Others have waited long enough: nobody would know if this waited for as long as the test may take.
        await asyncio.wait_for(shop.get(patience=1.0), 0.9)
    shop.far.gate.set()
    await shop.read_anew()
    assert await shop.names() == ["a"]


async def test_reading_has_an_end_too(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"), timeout=0.001)
    shop.far.gate = asyncio.Event()
    with pytest.raises(UpstreamTimeout):
        await shop.get()
    await shop.read_anew()


@pytest.mark.requirement("mcp.catalog")
async def test_lists_together_have_a_bound(make: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_of, "MAX_BYTES", 100)
    shop = make(tool("a", title="x" * 200))
    shop.far.lists["prompts"] = [{"name": "p"}]
    await shop.get()
    assert shop.catalog.fresh(shop.connection, TOOLS) is not None
    await shop.get(PROMPTS)
    assert shop.catalog.fresh(shop.connection, TOOLS) is None


async def test_when_no_more_can_be_read_that_is_told(make: Callable[..., Shop]) -> None:
    shop = make(tool("a"))
    await shop.tasks.close(1)
    with pytest.raises(GatewayError, match="overloaded"):
        await shop.get()
