"""A desk whose clients make batches, which nobody runs."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from files import MemoryFiles, make_files
from work import MemoryWork

from pointsman.batches.files import BATCH, NewFile
from pointsman.batches.service import Batches
from pointsman.batches.settings import BatchSettings
from pointsman.edge.exchange import Exchange
from pointsman.store.work import BatchRow

NOW = 1_800_000_000.0
MASTER = "sk-master-canary"


class QueueOffice:
    """Its clock goes on by a second with each step of the queue."""

    def __init__(self, desk: Any, wire: type[Any], directory: Path) -> None:
        self.desk = desk
        self.time = NOW
        self.work = MemoryWork(now=self._tick)
        self.files = make_files(directory, MemoryFiles())
        numbers = count(1)
        self._wire = wire
        self._made = Batches(self.work, self.files, BatchSettings, lambda: str(next(numbers)))
        desk.gateway.serving = replace(desk.gateway.serving, batches=self)

    def drain(self) -> None: ...

    async def service(self) -> Batches:
        return self._made

    async def call(
        self, method: str, path: str, body: bytes = b"", *, key: str = MASTER, headers: dict[bytes, bytes] | None = None
    ) -> Any:
        """What came back, as it is on the wire."""
        path, _, query = path.partition("?")
        wire = self._wire()
        given = {b"authorization": b"Bearer " + key.encode(), b"host": b"here:4000"} | (headers or {})
        exchange = Exchange(wire, method, path, query, given, "1.1", keep_alive=True, received=0.0)
        if body:
            exchange.feed(body)
        exchange.complete()
        await self.desk.gateway.serving.accounts.opened()
        await self.desk.gateway.handle(exchange)
        return wire

    async def file(self, owner: str = "", purpose: str = BATCH, data: bytes = b"{}\n") -> str:
        async with self.files.begin(NewFile(owner=owner, purpose=purpose, filename="f")) as writing:
            await writing.write(data)
            return (await writing.finish()).id

    async def end(self, state: Any, **doc: Any) -> BatchRow:
        """End the batch that waits longest."""
        taken = await self.work.take("me")
        assert taken is not None
        ended = await self.work.end(taken.lease, taken.doc | doc, state=state)
        assert ended is not None
        return ended

    def _tick(self) -> float:
        self.time += 1.0
        return self.time


def content(wire: Any) -> bytes:
    """What came in chunks."""
    rest, pieces = wire.body, []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        pieces.append(rest[:length])
        rest = rest[length + 2 :]
    return b"".join(pieces)
