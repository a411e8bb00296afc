from __future__ import annotations

import asyncio

import pytest
from unit.mcp.pretending import Pretending, Rig, client, server, tool

from pointsman.errors import UpstreamUnreachable
from pointsman.mcp.protocol.listings import TOOLS
from pointsman.mcp.shelves import Shelf, Shelves, outcomes


def rig_of(*failures: Exception | None) -> tuple[Rig, Shelves]:
    pairs = []
    for number, failure in enumerate(failures):
        far = Pretending({"tools": [tool("x")]})
        far.failure = failure
        pairs.append((server(f"s{number}"), far))
    rig = Rig(*pairs)
    return rig, rig.gateway._shelves


async def gathered(rig: Rig, shelves: Shelves, patience: float = 5.0) -> list[Shelf]:
    return await shelves.all(list(rig.registry.entries.values()), TOOLS, client(), patience)


@pytest.mark.requirement("mcp.partial")
async def test_what_is_down_does_not_look_like_what_is_empty() -> None:
    rig, shelves = rig_of(None, UpstreamUnreachable("gone"))
    rig.by_id["s0"].lists["tools"] = []
    found = await gathered(rig, shelves)
    assert outcomes(found) == {"pointsman/servers": {"s0": "ok", "s1": "unreachable"}}
    assert [shelf.listing is None for shelf in found] == [False, True]


@pytest.mark.requirement("mcp.partial")
async def test_a_server_that_hangs_takes_no_more_than_its_time() -> None:
    rig, shelves = rig_of(None, None)
    rig.by_id["s1"].gate = asyncio.Event()
    found = await gathered(rig, shelves, 0.001)
    assert [shelf.outcome for shelf in found] == ["ok", "timeout"]
    rig.by_id["s1"].gate.set()
    assert [shelf.outcome for shelf in await gathered(rig, shelves)] == ["ok", "ok"]


async def test_what_was_known_before_is_told_apart() -> None:
    rig, shelves = rig_of(None)
    await gathered(rig, shelves)
    rig.by_id["s0"].failure = UpstreamUnreachable("gone")
    rig.gateway.recheck()
    (shelf,) = await gathered(rig, shelves)
    assert (shelf.outcome, shelf.listing is None) == ("stale", False)


async def test_one_who_asks_a_single_server_is_told_why_it_fails() -> None:
    rig, shelves = rig_of(UpstreamUnreachable("gone"))
    for _ in range(2):
        with pytest.raises(UpstreamUnreachable):
            await shelves.one(rig.registry.entries["s0"], TOOLS, client(), 5.0)
    rig.by_id["s0"].failure = None
    assert list((await shelves.one(rig.registry.entries["s0"], TOOLS, client(), 5.0)).items) == ["x"]
