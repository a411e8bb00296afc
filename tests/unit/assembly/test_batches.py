from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pointsman.access.caller import MASTER
from pointsman.assembly.accounts import Ground, accounts_of
from pointsman.assembly.batches import LOOK_SECONDS, BatchService
from pointsman.assembly.files import FileService
from pointsman.assembly.site import Site
from pointsman.config.loading import load
from pointsman.errors import ObjectNotFound, Overloaded
from pointsman.pipeline.till import Till
from pointsman.store.work import NewBatch
from pointsman.telemetry.metrics import Metrics
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.deadlines import Sweeper


class Place:
    """What a service of batches stands on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tasks = Tasks(logging.getLogger("tests"), 100)
        self.services: list[BatchService] = []
        self.sites: list[Site] = []

    def service(self, *, has_data: bool = True) -> BatchService:
        data = self.folder / "data" if has_data else None
        ground = Ground(data=data, environ={}, tasks=self.tasks)
        unused: Any = None
        site = Site(
            sweeper=Sweeper(asyncio.get_running_loop()),
            outbox=unused,
            tasks=self.tasks,
            metrics=Metrics("0"),
            till=Till(now=lambda: 0.0),
            accounts=accounts_of(ground),
            data=data,
            database=None,
            environ={},
        )
        file = self.folder / "config.yaml"
        file.write_text("{}")
        loaded = load(file, {}, 1)
        assert loaded.snapshot is not None, loaded.problems
        files = FileService(site)
        files.configure(loaded.snapshot)
        made = BatchService(site, files)
        made.configure(loaded.snapshot, unused, MASTER)
        self.services.append(made)
        self.sites.append(site)
        return made

    async def add(self) -> None:
        """A batch that somebody else has made, and that nobody here can begin."""
        work = (await self.sites[0].accounts.opened()).records.work
        await work.create(NewBatch(id="batch_1", owner="", doc={"endpoint": "x", "input_file_id": "file-1"}))
        assert await work.take("somebody", 1000.0) is not None


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    for service in made.services:
        await service.close()
    await made.tasks.close(1.0)
    for site in made.sites:
        await site.accounts.close()


async def test_there_is_one_service_which_is_made_when_somebody_asks(place: Place) -> None:
    service = place.service()
    assert service.counts() is None
    assert not service.is_busy
    first, second = await asyncio.gather(service.service(), service.service())
    assert first is second
    counts = service.counts()
    assert counts is not None
    assert (counts.batches, counts.lines) == (0, 0)
    service.drain()
    assert not service.is_busy


async def test_without_a_place_for_anything_there_are_no_batches(place: Place) -> None:
    service = place.service(has_data=False)
    with pytest.raises(ObjectNotFound):
        await service.service()
    service.warm()
    assert len(place.tasks) == 0


async def test_a_gateway_that_ends_takes_nothing_on(place: Place) -> None:
    service = place.service()
    await service.close()
    with pytest.raises(Overloaded):
        await service.service()


@pytest.mark.requirement("batches.taken-over")
async def test_an_idle_process_looks_whether_others_have_left_a_batch(place: Place) -> None:
    service, sleeps = place.service(), list[float]()

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) == 2:
            await place.add()

    await service.watch(sleep, lambda: 0.5)
    assert sleeps == [LOOK_SECONDS] * 3
    assert service.counts() is not None


def test_nothing_of_it_is_imported_before() -> None:
    code = "import sys, pointsman.app; print([m for m in sys.modules if m.startswith('pointsman.batches.')])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(eval(found.stdout)) <= {"pointsman.batches.settings"}
