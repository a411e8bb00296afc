"""The batches of a process. Nothing of them is loaded before somebody asks, or one waits for whoever has time."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pointsman.assembly.files import FileService
from pointsman.assembly.site import Site
from pointsman.errors import GatewayError, Overloaded
from pointsman.store.base import StoreDown

if TYPE_CHECKING:
    from pointsman.access.caller import Caller
    from pointsman.assembly.batches_service import Service
    from pointsman.batches.service import Batches
    from pointsman.config.snapshot import Snapshot
    from pointsman.pipeline.serve import Pipeline
    from pointsman.telemetry.batches import BatchCounts

LOOK_SECONDS = 10.0
"""About which an idle process looks whether others have batches that they cannot go on with."""
log = logging.getLogger(__name__)


class InForce:
    """What lines are run by at the moment."""

    def __init__(self) -> None:
        self.snapshot: Snapshot
        self.pipeline: Pipeline
        self.master: Caller


class BatchService:
    """See :class:`~pointsman.edge.batches.BatchWork`; it lasts as long as the process."""

    def __init__(self, site: Site, files: FileService) -> None:
        self._site = site
        self._files = files
        self._in_force = InForce()
        self._service: Service | None = None
        self._opening = asyncio.Lock()
        self._is_closed = False

    def configure(self, snapshot: Snapshot, pipeline: Pipeline, master: Caller) -> None:
        """Go by this from now on; lines that run go on with what they began with."""
        now = self._in_force
        now.snapshot, now.pipeline, now.master = snapshot, pipeline, master

    def warm(self) -> None:
        """Begin to look for batches that wait, where there may be any."""
        site = self._site
        if site.database is not None or site.data is not None:
            site.tasks.start(self.watch(), "look for batches")

    async def watch(
        self,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Look now and then, until there is one; from then on they are followed closely."""
        while self._service is None:
            try:
                await self._site.accounts.look()
                admin = self._site.accounts.admin
                if admin is not None and (await admin.records.work.backlog()).batches:
                    await self._ready()
            except (GatewayError, StoreDown) as error:
                log.debug("batches cannot be looked for: %s", error)
            await sleep(LOOK_SECONDS * (0.5 + chance()))

    async def service(self) -> Batches:
        """See :class:`~pointsman.edge.batches.BatchWork`."""
        return (await self._ready()).batches

    @property
    def is_busy(self) -> bool:
        """Whether lines run."""
        return self._service is not None and self._service.is_busy

    def counts(self) -> BatchCounts | None:
        """What is told of them; ``None``: nobody has asked for any yet."""
        return None if self._service is None else self._service.counts()

    def drain(self) -> None:
        """Begin nothing any more."""
        if self._service is not None:
            self._service.drain()

    async def close(self) -> None:
        """Leave everything to others, at once."""
        self._is_closed = True
        if self._service is not None:
            await self._service.close()

    async def _ready(self) -> Service:
        """:raises Overloaded: the store is away, or the gateway ends"""
        async with self._opening:
            if self._is_closed:
                raise Overloaded
            if self._service is None:
                files = await self._files.files()
                admin = await self._site.accounts.opened()
                from pointsman.assembly.batches_service import Service  # noqa: PLC0415  as the docstring here says

                if self._is_closed:
                    raise Overloaded
                self._service = Service(self._site, admin, files, self._in_force)
                self._service.start()
            return self._service
