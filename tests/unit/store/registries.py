"""A registry, and the store that it stands on, which is there and away as the test says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from records import MemoryRecords

from pointsman.errors import Overloaded
from pointsman.store.base import Change
from pointsman.store.following import Feed
from pointsman.store.registry import Kind, Registry
from pointsman.telemetry.tasks import Tasks


class News:
    """As the known keys are."""

    def __init__(self) -> None:
        self.listeners: list[Any] = []


class Store:
    """Records, and what tells of their changes."""

    sealer = None

    def __init__(self, kind: Kind[Any, Any]) -> None:
        self.records = MemoryRecords()
        self.keys = News()
        self._kind = kind

    async def write(self, entry: Any, entry_id: str = "", *, is_told: bool = True) -> None:
        name = entry_id if entry is None else entry.id
        doc = None if entry is None else self._kind.to_doc(entry, None)
        await self.records.change([Change(self._kind.table, name, doc)])
        if is_told:
            self.tell([(self._kind.table, name)])

    def tell(self, rows: Iterable[tuple[str, str]] | None) -> None:
        for listener in self.keys.listeners:
            listener(rows)


class World:
    """A registry and what it stands on."""

    def __init__(self, kind: Kind[Any, Any]) -> None:
        self.store = Store(kind)
        self.is_there = True
        self.is_away = False
        self.asked = 0
        self.time = 0.0
        self.changes = 0
        self.tasks = Tasks(logging.getLogger("tests"), 10)
        self.registry: Registry[Any, Any] = Registry(kind, self.feed, self.tasks, clock=lambda: self.time)
        self.registry.on_change.append(self.count)

    async def feed(self) -> Feed | None:
        self.asked += 1
        if self.is_away:
            raise Overloaded
        found: Any = self.store
        return found if self.is_there else None

    def count(self) -> None:
        self.changes += 1

    async def settle(self) -> None:
        while len(self.tasks):
            await asyncio.sleep(0)

    @property
    def ids(self) -> list[str]:
        return list(self.registry.entries)
