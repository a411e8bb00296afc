"""The composition root: a snapshot becomes a running gateway.

The only module that names concrete classes from everywhere.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from pointsman import __version__
from pointsman.access.caller import Gatekeeper
from pointsman.config.snapshot import Snapshot
from pointsman.edge.context import Serving
from pointsman.edge.gateway import Gateway
from pointsman.edge.settings import EdgeSettings
from pointsman.edge.table import Routes
from pointsman.pipeline.catalog import Catalog
from pointsman.pipeline.health import HealthCheck
from pointsman.pipeline.serve import Pipeline
from pointsman.pipeline.targets import Target, credentials
from pointsman.providers.base import Deployment
from pointsman.providers.codecs import CODECS
from pointsman.providers.registry import load_facts
from pointsman.providers.vendors import demo, mock
from pointsman.routing.groups import Groups
from pointsman.telemetry.logs import Logs, Redactor
from pointsman.telemetry.metrics import Metrics, PoolCounts
from pointsman.upstream.base import Upstream
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.loopback import Loopback, Reply
from pointsman.upstream.outbox import Outbox
from pointsman.upstream.pool import Pool

EDGE_TICK = 0.5
"""Deadlines of client connections are long; looking at ten thousand of them more often is not worth it."""


@asynccontextmanager
async def running(snapshot: Snapshot) -> AsyncIterator[Gateway]:
    """A gateway that serves ``snapshot`` until the context ends."""
    loop = asyncio.get_running_loop()
    upstream_sweeper, edge_sweeper = Sweeper(loop), Sweeper(loop, EDGE_TICK)
    outbox = Outbox(loop)
    pool = Pool(snapshot.upstream, upstream_sweeper, outbox)
    logs = Logs(sys.stderr, is_terminal=sys.stderr.isatty(), redactor=Redactor(_secrets(snapshot)))
    metrics = Metrics(__version__, pool=partial(_pool_counts, pool), log_drops=lambda: logs.dropped)
    gateway = Gateway(_serving(snapshot, pool, metrics), Routes(), EdgeSettings(), edge_sweeper, outbox)
    logs.start()
    upstream_sweeper.start()
    edge_sweeper.start()
    try:
        yield gateway
    finally:
        edge_sweeper.stop()
        upstream_sweeper.stop()
        await pool.close()
        logs.close()


def _serving(snapshot: Snapshot, pool: Pool, metrics: Metrics) -> Serving:
    facts = load_facts()
    groups = Groups(snapshot.deployments, snapshot.routing)
    builtin = Loopback(_demo)
    targets = {
        deployment.id: Target(
            deployment,
            CODECS[deployment.vendor.dialect],
            _upstream(deployment, pool, builtin),
            snapshot.upstream.timeouts,
            metrics,
            facts,
            snapshot.serving,
        )
        for deployment in snapshot.deployments
    }
    return Serving(
        snapshot_number=snapshot.number,
        gatekeeper=Gatekeeper(snapshot.access),
        is_metrics_public=snapshot.access.is_metrics_public,
        pipeline=Pipeline(
            groups,
            targets,
            default_model=snapshot.routing.default_model,
            max_body_bytes=snapshot.serving.max_body_bytes,
            clock=time.monotonic,
            wall_clock=time.time,
            chance=random.random,
        ),
        catalog=Catalog(groups, snapshot.deployments, facts),
        health=HealthCheck(groups, targets),
        metrics=metrics,
    )


def _upstream(deployment: Deployment, pool: Pool, builtin: Loopback) -> Upstream:
    if deployment.mock_response is not None:
        return Loopback(partial(_mock, deployment.mock_response))
    return builtin if deployment.base_url.startswith("demo:") else pool.host(deployment.base_url)


def _demo(method: bytes, target: bytes, body: bytes) -> Reply:
    answer = demo.respond(method, target, body, now=time.time())
    return Reply(status=answer.status, headers=answer.headers, pieces=answer.pieces)


def _mock(text: str, _method: bytes, target: bytes, body: bytes) -> Reply:
    answer = mock.respond(text, target, body, now=time.time())
    return Reply(status=answer.status, headers=[(b"content-type", answer.content_type)], pieces=[(0.0, answer.body)])


def _pool_counts(pool: Pool) -> PoolCounts:
    hosts = list(pool.hosts())
    return PoolCounts(
        open=sum(host.open_connections for host in hosts),
        idle=sum(host.idle_connections for host in hosts),
        waiting=sum(host.waiting for host in hosts),
    )


def _secrets(snapshot: Snapshot) -> list[str]:
    """What must not stand in any log line."""
    known = [text for deployment in snapshot.deployments for text in credentials(deployment)]
    if snapshot.access.master_key is not None:
        known.append(snapshot.access.master_key.reveal())
    return known
