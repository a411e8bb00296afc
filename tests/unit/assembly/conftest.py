from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pointsman.assembly.a2a import A2a
from pointsman.assembly.batches import BatchService
from pointsman.assembly.files import FileService
from pointsman.assembly.mcp import Mcp
from pointsman.assembly.reach import Reach
from pointsman.assembly.serving import Assembly, Lasting
from pointsman.assembly.site import Site
from pointsman.config.loading import load
from pointsman.config.snapshot import Snapshot
from pointsman.edge.accounts import Accounts
from pointsman.edge.context import Serving
from pointsman.pipeline.admission import Admission
from pointsman.pipeline.answers import Answers
from pointsman.pipeline.gate import Gates
from pointsman.pipeline.idempotency import IdempotencyLedger
from pointsman.pipeline.till import Till
from pointsman.telemetry.logs import Redactor
from pointsman.telemetry.metrics import Metrics
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.outbox import Outbox

Snap = Callable[..., Snapshot]


class Rig:
    """An assembly, and what it has put in force."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        loop = asyncio.get_running_loop()
        self.sweeper = Sweeper(loop)
        self.redactor = Redactor()
        self.tasks = Tasks(logging.getLogger("tests"), 100)
        self.watchers = Tasks(logging.getLogger("tests"), 100)
        self.metrics = Metrics("1")
        admission = Admission(self.sweeper, self.metrics)
        self.outbox = Outbox(loop)
        accounts, till = Accounts(), Till(now=time.time)
        self.site = Site(
            sweeper=self.sweeper,
            outbox=self.outbox,
            tasks=self.watchers,
            metrics=self.metrics,
            till=till,
            accounts=accounts,
            data=folder / "data",
            database=None,
            environ={},
        )
        self.mcp = Mcp(self.site)
        self.a2a = A2a(self.site)
        files = FileService(self.site)
        self.lasting = Lasting(
            sweeper=self.sweeper,
            metrics=self.metrics,
            admission=admission,
            tasks=self.tasks,
            watchers=self.watchers,
            gates=Gates(time.monotonic),
            ledger=IdempotencyLedger(self.tasks, admission, time.monotonic),
            redactor=self.redactor,
            answers=Answers(time.monotonic, time.time, lambda: "x", self.sweeper),
            reach_of=partial(Reach, sweeper=self.sweeper, outbox=self.outbox, tasks=self.tasks),
            data=folder / "data",
            environ={},
            accounts=accounts,
            till=till,
            mcp=self.mcp,
            a2a=self.a2a,
            files=files,
            batches=BatchService(self.site, files),
        )
        self.put: list[Serving] = []
        self.number = 0
        self.assembly: Assembly

    def snapshot(self, text: str) -> Snapshot:
        """Of a document; each one has another number."""
        self.number += 1
        file = self.folder / "config.yaml"
        file.write_text(text)
        loaded = load(file, {}, self.number)
        assert loaded.snapshot is not None, loaded.problems
        return loaded.snapshot

    def begin(self, text: str) -> Assembly:
        self.assembly = Assembly(self.lasting, self.snapshot(text))
        return self.assembly

    async def change(self, text: str) -> Serving:
        """Put a document in force."""
        after = await self.assembly.prepare(self.snapshot(text))
        await self.assembly.swap(after, self.put.append)
        return after.serving

    async def settle(self) -> None:
        """Let what nobody refers to be gone, and the loop hear of it."""
        gc.collect()
        async with asyncio.timeout(5):
            while self.assembly.retiring:
                await asyncio.sleep(0)
        await asyncio.sleep(0.01)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    yield made
    if hasattr(made, "assembly"):
        await made.assembly.close()
    await made.watchers.close(1)
    await made.tasks.close(1)


@pytest.fixture
def entry() -> Callable[..., str]:
    def make(name: str = "a", upstream: str = "x", base: str = "http://127.0.0.1:1/v1", **more: Any) -> str:
        params = {"model": f"openai/{upstream}", "api_key": f"sk-canary-{name}", "api_base": base, **more}
        listed = ", ".join(
            f'{key}: "{value}"' if isinstance(value, str) else f"{key}: {value}" for key, value in params.items()
        )
        return f"  - {{model_name: {name}, litellm_params: {{{listed}}}}}\n"

    return make
