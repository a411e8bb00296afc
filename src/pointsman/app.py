"""The composition root: a snapshot becomes a running gateway, and later ones take its place."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex

from pointsman import __version__
from pointsman.assembly.reach import Reach
from pointsman.assembly.reloading import Control
from pointsman.assembly.serving import CLOSE_PATIENCE, Assembly, Lasting
from pointsman.config.reload import Reloader
from pointsman.config.snapshot import Snapshot
from pointsman.config.sources.settings import SyncSettings
from pointsman.config.starting import Origin
from pointsman.edge.gateway import Gateway
from pointsman.edge.line import Peers
from pointsman.edge.settings import EdgeSettings
from pointsman.edge.table import Routes
from pointsman.pipeline.admission import Admission
from pointsman.pipeline.answers import Answers
from pointsman.pipeline.gate import Gates
from pointsman.pipeline.idempotency import IdempotencyLedger
from pointsman.telemetry.logs import Logs, Redactor
from pointsman.telemetry.metrics import Metrics
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.outbox import Outbox

MAX_TASKS = 2000
"""Calls that can run without their client: to be repeated, or read to their end."""
MAX_WATCHERS = 1000
"""Tasks that run as long as the gateway."""
EDGE_TICK = 0.5
"""Deadlines of client connections are long; looking at ten thousand of them more often is not worth it."""


@asynccontextmanager
async def running(
    snapshot: Snapshot,
    data: Path | None = None,
    origin: Origin | None = None,
    complete: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot,
    peers: Peers | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway that serves ``snapshot``, and those that follow it, until the context ends.

    ``data`` is the directory for what is to be remembered; ``None``: nothing is. ``origin`` is where the snapshot came
    from, ``complete`` gives a later one what only this process knows, and ``peers`` are the other workers.
    """
    origin = origin or Origin(environ={}, settings=SyncSettings())
    peers = peers or Peers()
    loop = asyncio.get_running_loop()
    sweeper, edge_sweeper = Sweeper(loop), Sweeper(loop, EDGE_TICK)
    outbox = Outbox(loop)
    logs = Logs(sys.stderr, is_terminal=sys.stderr.isatty(), redactor=Redactor())
    metrics = Metrics(
        __version__,
        pool=lambda: assembly.pool_counts,
        log_drops=lambda: logs.dropped,
        is_resting=lambda model_id: assembly.is_resting(model_id),  # noqa: PLW0108  it is made below
        load=lambda: assembly.load_counts,
        learning=lambda: assembly.learning_counts,
        decision_drops=lambda: assembly.dropped_decisions,
        checkpoints=lambda: assembly.checkpoint_counts,
        config=lambda: reloader.counts,
    )
    lasting = _lasting(sweeper, outbox, metrics, logs, data, origin.environ)
    control = Control(peers, lasting.watchers)
    assembly = Assembly(lasting, snapshot, control)
    gateway = Gateway(assembly.current.serving, Routes(), EdgeSettings(), edge_sweeper, outbox)
    gateway.is_busy = lambda: len(lasting.tasks) > 0
    reloader = Reloader(
        origin, snapshot, control.put, peers, complete=complete, retiring=lambda: assembly.retiring, now=time.time
    )
    logs.start()
    sweeper.start()
    edge_sweeper.start()
    control.start(assembly, reloader, gateway)
    try:
        yield gateway
    finally:
        edge_sweeper.stop()
        # Calls fail with their upstreams, and tell their clients; only then those are cancelled that wait for something
        # else.
        await assembly.close()
        await lasting.watchers.close(CLOSE_PATIENCE)
        await lasting.tasks.settle(CLOSE_PATIENCE)
        await lasting.tasks.close(CLOSE_PATIENCE)
        await assembly.save()
        sweeper.stop()
        logs.close()


def _lasting(
    sweeper: Sweeper, outbox: Outbox, metrics: Metrics, logs: Logs, data: Path | None, environ: Mapping[str, str]
) -> Lasting:
    log = logging.getLogger("pointsman.tasks")
    tasks, admission = Tasks(log, MAX_TASKS), Admission(sweeper, metrics)
    return Lasting(
        sweeper=sweeper,
        metrics=metrics,
        admission=admission,
        tasks=tasks,
        watchers=Tasks(log, MAX_WATCHERS),
        gates=Gates(time.monotonic),
        ledger=IdempotencyLedger(tasks, admission, time.monotonic),
        redactor=logs.redactor,
        answers=Answers(time.monotonic, time.time, partial(token_hex, 12), sweeper),
        reach_of=partial(Reach, sweeper=sweeper, outbox=outbox, tasks=tasks),
        data=data,
        environ=environ,
    )
