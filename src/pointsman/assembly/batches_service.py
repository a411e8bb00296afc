"""What running batches consists of, put together."""

from __future__ import annotations

import random
import secrets
import time
from functools import partial

from pointsman.assembly.batches import InForce
from pointsman.assembly.site import Site
from pointsman.batches.callers import Callers
from pointsman.batches.executors import ProviderExecutor
from pointsman.batches.files import Files
from pointsman.batches.lines import Lines
from pointsman.batches.runner import Runner, Surroundings
from pointsman.batches.service import Batches
from pointsman.batches.settings import BatchSettings
from pointsman.batches.steps import Steps
from pointsman.edge.admin import Admin
from pointsman.telemetry.batches import BatchCounts

CLOSE_PATIENCE = 2.0
SECRET_BYTES = 32
ID_BYTES = 16


class Service:
    """All of it. Its methods belong to the event loop."""

    def __init__(self, site: Site, admin: Admin, files: Files, in_force: InForce) -> None:
        work = admin.records.work
        callers = Callers(admin.keys, lambda: in_force.master, secrets.token_bytes(SECRET_BYTES))
        around = Surroundings(
            clock=time.monotonic,
            now=time.time,
            processor=time.thread_time,
            chance=random.random,
            lag=lambda: site.sweeper.lag,
            clients=lambda: site.metrics.in_flight,
            make_safe=site.till.note_down,
        )

        def settings() -> BatchSettings:
            return in_force.snapshot.batches

        lines = Lines(lambda: in_force.pipeline, time.time)
        self.batches = Batches(work, files, settings, partial(secrets.token_hex, ID_BYTES))
        self._runner = Runner(work, files, lines, callers, settings, around)
        provider = ProviderExecutor(work, files, callers, lambda: in_force.pipeline, site.till)
        self._steps = Steps(
            work,
            files,
            callers,
            lambda: in_force.pipeline,
            settings,
            self._runner.holder,
            now=time.time,
            choose=provider.choose,
            poll=provider.poll,
        )
        self._runner.on_work = self._steps.wake

    @property
    def is_busy(self) -> bool:
        """Whether lines run, or a step is done."""
        return self._runner.is_busy or self._steps.is_busy

    def start(self) -> None:
        """Begin what goes on as long as the process."""
        self._runner.start()
        self._steps.start()

    def counts(self) -> BatchCounts:
        """What is told of them."""
        backlog = self._runner.backlog
        age = 0.0 if backlog.oldest_at is None else max(0.0, time.time() - backlog.oldest_at)
        return BatchCounts(batches=backlog.batches, lines=backlog.lines, oldest_seconds=age, done=self._runner.counts)

    def drain(self) -> None:
        """Begin nothing any more; what runs goes on."""
        self._steps.is_draining = True
        self._runner.drain()

    async def close(self) -> None:
        """Leave everything to others, at once."""
        await self._steps.close(CLOSE_PATIENCE)
        await self._runner.close()
