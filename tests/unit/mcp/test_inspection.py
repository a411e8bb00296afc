from __future__ import annotations

from typing import Any

import msgspec
from records import MemoryRecords

from pointsman.mcp.inspection import NOT_APPROVED, Inspection
from pointsman.mcp.pinning import Pins
from pointsman.mcp.protocol.listings import Item
from pointsman.mcp.settings import ServerSettings


class Store:
    sealer = None

    def __init__(self) -> None:
        self.records = MemoryRecords()
        self.keys = self
        self.listeners: list[Any] = []

    async def open(self) -> Any:
        return self


def item(name: str, **more: Any) -> Item:
    tool = {"name": name, "inputSchema": {"type": "object"}} | more
    return Item(name, msgspec.Raw(msgspec.json.encode(tool)))


async def test_what_is_broken_and_what_nobody_has_approved_is_kept_back_and_the_others_are_not() -> None:
    look = Inspection(Pins(Store().open, now=lambda: 0.0))
    server = ServerSettings(id="s", name="s", pinning="block")
    assert await look(server, [item("a"), item("b")]) == {}
    items = [item("a"), item("b", description="other"), item("c", inputSchema={}), item("d", title="\u202e")]
    found = await look(server, items)
    assert set(found) == {"b", "c", "d"}
    assert found["b"] == NOT_APPROVED
    assert "inputSchema" in found["c"]
    assert "U+202E" in found["d"]
