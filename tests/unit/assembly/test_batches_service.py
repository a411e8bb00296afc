from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from files import MemoryFiles, make_files
from records import MemoryRecords

from pointsman.access.caller import MASTER
from pointsman.assembly.batches import InForce
from pointsman.assembly.batches_service import Service
from pointsman.assembly.site import Site
from pointsman.batches.files import BATCH, NewFile
from pointsman.batches.protocol.creating import WantedBatch
from pointsman.batches.settings import BatchSettings
from pointsman.config.snapshot import Snapshot
from pointsman.edge.admin import Admin
from pointsman.pipeline.call import Call
from pointsman.pipeline.serve import Pipeline
from pointsman.store.work import BatchRow

LINE = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}'


class Counted:
    """What is asked of the process."""

    lag = 0.0
    in_flight = 0

    def __init__(self) -> None:
        self.safe = 0

    def note_down(self) -> None:
        self.safe += 1


class Answering:
    """A pipeline that answers everything."""

    batch_targets = SimpleNamespace(choose=lambda *_: None)
    """No provider runs batches."""

    def clock(self) -> float:
        return 0.0

    def check_model(self, *_: Any) -> None: ...

    async def serve(self, call: Call, _body: bytes) -> None:
        call.downstream.reply(200, b"", b"{}")


class InSnapshot:
    batches = BatchSettings()


@pytest.mark.requirement("batches.flow")
async def test_from_a_file_to_a_file(tmp_path: Path) -> None:
    records, rows = MemoryRecords(), MemoryFiles()
    files, counted, unused = make_files(tmp_path, rows), Counted(), cast("Any", None)
    in_force = InForce()
    in_force.snapshot, in_force.master = cast("Snapshot", InSnapshot()), MASTER
    in_force.pipeline = cast("Pipeline", Answering())
    site = Site(
        sweeper=cast("Any", counted),
        outbox=unused,
        tasks=unused,
        metrics=cast("Any", counted),
        till=cast("Any", counted),
        accounts=unused,
        data=None,
        database=None,
        environ={},
    )
    admin = Admin(records=records, keys=unused, pepper=unused, now=lambda: 0.0, make_key=lambda: "", make_id=lambda: "")
    service = Service(site, admin, files, in_force)
    service.start()
    async with files.begin(NewFile(owner="", purpose=BATCH, filename="in.jsonl")) as writing:
        await writing.write(LINE)
        source = await writing.finish()
    wanted = WantedBatch(endpoint="/v1/chat/completions", input_file_id=source.id, completion_window="24h")
    row: BatchRow | None = await service.batches.create(MASTER, wanted, {})
    async with asyncio.timeout(20):
        while row is not None and row.state != "completed":
            await asyncio.sleep(0)
            row = await records.work.get(row.id)
    assert row is not None
    assert row.completed == 1
    assert counted.safe > 0
    counts = service.counts()
    assert counts.done.completed == 1
    service.drain()
    assert not service.is_busy
    await service.close()
