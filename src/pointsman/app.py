"""The composition root: a snapshot becomes a running gateway, and later ones take its place."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from secrets import token_hex

from pointsman import __version__
from pointsman.assembly.a2a import A2a
from pointsman.assembly.accounts import Ground, accounts_of
from pointsman.assembly.batches import BatchService
from pointsman.assembly.counts import store_counts
from pointsman.assembly.files import FileService
from pointsman.assembly.mcp import Mcp
from pointsman.assembly.reach import Reach
from pointsman.assembly.reloading import Control
from pointsman.assembly.serving import CLOSE_PATIENCE, Assembly, Lasting
from pointsman.assembly.site import Site
from pointsman.config.reload import Putting, Reloader
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
from pointsman.pipeline.till import Till
from pointsman.store.opening import counters as open_counters
from pointsman.store.settings import StoreSettings
from pointsman.telemetry.logs import Logs, Redactor
from pointsman.telemetry.metrics import Metrics
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.outbox import Outbox

MAX_TASKS = 2000
"""Calls that can run without their client: to be repeated, or read to their end."""
OPEN_PATIENCE = 2.0
"""Seconds that a start waits for its database."""
OTHER_STORES = "the config names other stores: a running gateway keeps those that it has, restart it to use them"
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
    loans: socket.socket | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway that serves ``snapshot``, and those that follow it, until the context ends.

    ``data`` is the directory for what is to be remembered; ``None``: nothing is. ``origin`` is where the snapshot came
    from, ``complete`` gives a later one what only this process knows, ``peers`` are the other workers, and over
    ``loans`` their parent lends them parts of limits.
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
        store=lambda: store_counts(lasting.accounts, till),
        batches=lambda: lasting.batches.counts(),  # noqa: PLW0108  it is made below
    )
    stores = snapshot.stores
    watchers, till = Tasks(logging.getLogger("pointsman.tasks"), MAX_WATCHERS), Till(now=time.time)
    ground = _ground(snapshot, data, origin, watchers, till, is_worker=loans is not None)
    ground = replace(ground, event_seconds=lambda: assembly.current.snapshot.stores.event_seconds)
    lasting = _lasting(sweeper, outbox, metrics, logs, ground, till)
    till.counters = await open_counters(stores.counters, loans, watchers, till.rebuild, till.write_down)
    control = Control(peers, lasting.watchers)
    assembly = Assembly(lasting, snapshot, control)
    gateway = Gateway(assembly.current.serving, Routes(), EdgeSettings(), edge_sweeper, outbox)
    gateway.is_busy = lambda: len(lasting.tasks) > 0 or lasting.batches.is_busy
    put = _noting(control.put, stores)
    reloader = Reloader(
        origin, snapshot, put, peers, complete=complete, retiring=lambda: assembly.retiring, now=time.time
    )
    logs.start()
    sweeper.start()
    edge_sweeper.start()
    _join(lasting.mcp, peers, control)
    control.start(assembly, reloader, gateway)
    try:
        await _begin(lasting)
        yield gateway
    finally:
        edge_sweeper.stop()
        await _end(assembly, lasting)
        sweeper.stop()
        logs.close()


def _join(mcp: Mcp, peers: Peers, control: Control) -> None:
    """Let the MCP gateways of all workers hear of each other."""
    control.hear = mcp.hear
    if not peers.is_alone:
        mcp.ask_others = lambda told: peers.ask({"do": "mcp", "told": told})


def _ground(
    snapshot: Snapshot,
    data: Path | None,
    origin: Origin,
    watchers: Tasks,
    till: Till,
    *,
    is_worker: bool,
) -> Ground:
    # Workers are one gateway, that of their parent.
    process = os.getppid() if is_worker else os.getpid()
    return Ground(
        data=data,
        environ=origin.environ,
        tasks=watchers,
        database=snapshot.stores.records,
        grace=snapshot.access.auth_grace,
        who=f"{process} {socket.gethostname()}",
        counts_alone=snapshot.stores.counters is None,
        till=till,
    )


async def _begin(lasting: Lasting) -> None:
    """Open the store that there is; where it is away, serve meanwhile. What is to go on by itself begins then."""
    accounts = lasting.accounts
    lasting.till.has_ledger = accounts.state != "Not connected"
    if lasting.till.has_ledger:
        opening = lasting.watchers.start(accounts.begin(OPEN_PATIENCE), "open the store of keys")
        await asyncio.wait([opening], timeout=OPEN_PATIENCE)
    for one in (lasting.mcp, lasting.a2a, lasting.files, lasting.batches):
        one.warm()


async def _end(assembly: Assembly, lasting: Lasting) -> None:
    # Calls fail with their upstreams, and tell their clients; only then those are cancelled that wait for something
    # else.
    await assembly.close()
    await lasting.tasks.settle(CLOSE_PATIENCE)
    await lasting.tasks.close(CLOSE_PATIENCE)
    # What they have used is counted and written down by those that run as long as the gateway.
    lasting.till.note_down()
    await lasting.till.counters.close()
    await lasting.watchers.close(CLOSE_PATIENCE)
    await lasting.accounts.close()
    await assembly.save()


def _noting(put: Putting, first: StoreSettings) -> Putting:
    """The same, with a note where another snapshot names other stores than those that are open."""

    async def noting(snapshot: Snapshot, *, is_checked: bool) -> list[str]:
        notes = await put(snapshot, is_checked=is_checked)
        return notes if snapshot.stores.fixed() == first.fixed() else [*notes, OTHER_STORES]

    return noting


def _lasting(sweeper: Sweeper, outbox: Outbox, metrics: Metrics, logs: Logs, ground: Ground, till: Till) -> Lasting:
    tasks = Tasks(logging.getLogger("pointsman.tasks"), MAX_TASKS)
    admission = Admission(sweeper, metrics)
    # Nobody is answered before what the answer costs is safe.
    outbox.first = till.note_down
    site = _site(sweeper, outbox, metrics, ground, till)
    files = FileService(site)
    return Lasting(
        sweeper=sweeper,
        metrics=metrics,
        admission=admission,
        tasks=tasks,
        watchers=ground.tasks,
        gates=Gates(time.monotonic),
        ledger=IdempotencyLedger(tasks, admission, time.monotonic),
        redactor=logs.redactor,
        answers=Answers(time.monotonic, time.time, partial(token_hex, 12), sweeper),
        reach_of=partial(Reach, sweeper=sweeper, outbox=outbox, tasks=tasks),
        data=ground.data,
        environ=ground.environ,
        accounts=site.accounts,
        till=till,
        mcp=Mcp(site),
        a2a=A2a(site),
        files=files,
        batches=BatchService(site, files),
    )


def _site(sweeper: Sweeper, outbox: Outbox, metrics: Metrics, ground: Ground, till: Till) -> Site:
    return Site(
        sweeper=sweeper,
        outbox=outbox,
        tasks=ground.tasks,
        metrics=metrics,
        till=till,
        accounts=accounts_of(ground),
        data=ground.data,
        database=ground.database,
        environ=ground.environ,
    )
