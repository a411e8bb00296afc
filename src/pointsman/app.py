"""The composition root: a snapshot becomes a running gateway.

The only module that names concrete classes from everywhere.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec

from pointsman import __version__
from pointsman.access.caller import Gatekeeper
from pointsman.config.snapshot import Snapshot
from pointsman.edge.context import Serving
from pointsman.edge.gateway import Gateway
from pointsman.edge.settings import EdgeSettings
from pointsman.edge.table import Routes
from pointsman.pipeline.admission import Admission
from pointsman.pipeline.answers import Answers
from pointsman.pipeline.cache import AnswerCache, ExactCache
from pointsman.pipeline.catalog import Catalog
from pointsman.pipeline.health import HealthCheck
from pointsman.pipeline.idempotency import IdempotencyLedger
from pointsman.pipeline.serve import Pipeline
from pointsman.pipeline.targets import Target, credentials
from pointsman.providers.base import Deployment
from pointsman.providers.vendors import demo, mock, sigv4
from pointsman.routing.groups import Groups
from pointsman.telemetry.logs import Logs, Redactor
from pointsman.telemetry.metrics import LoadCounts, Metrics, PoolCounts
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.base import Upstream
from pointsman.upstream.credentials.authorizers import Authorizers
from pointsman.upstream.credentials.calls import Calls
from pointsman.upstream.credentials.signed import Signed
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.litellm import BASE_URL, Litellm, Worker
from pointsman.upstream.loopback import Loopback, Reply
from pointsman.upstream.outbox import Outbox
from pointsman.upstream.pool import Pool
from pointsman.upstream.settings import Proxies

if TYPE_CHECKING:
    from pointsman.pipeline.decisions import Decisions
    from pointsman.pipeline.explaining import Explaining

MAX_TASKS = 2000
"""Calls that can run without their client: to be repeated, or read to their end."""
MAX_WATCHERS = 1000
"""Tasks that run as long as the gateway."""
CLOSE_PATIENCE = 2.0
"""Seconds that background tasks are given to end."""
EDGE_TICK = 0.5
"""Deadlines of client connections are long; looking at ten thousand of them more often is not worth it."""


@asynccontextmanager
async def running(snapshot: Snapshot, data: Path | None = None) -> AsyncIterator[Gateway]:
    """A gateway that serves ``snapshot`` until the context ends.

    ``data`` is the directory for what is to be remembered; ``None``: nothing is.
    """
    loop = asyncio.get_running_loop()
    upstream_sweeper, edge_sweeper = Sweeper(loop), Sweeper(loop, EDGE_TICK)
    outbox = Outbox(loop)
    pool = Pool(snapshot.upstream, upstream_sweeper, outbox)
    logs = Logs(sys.stderr, is_terminal=sys.stderr.isatty(), redactor=Redactor(_secrets(snapshot)))
    groups = Groups(snapshot.deployments, snapshot.routing)
    kept = None if snapshot.serving.cache is None else AnswerCache(snapshot.serving.cache.max_bytes)
    metrics = Metrics(
        __version__,
        pool=partial(_pool_counts, pool),
        log_drops=lambda: logs.dropped,
        is_resting=lambda model_id: model_id in groups.members and groups.members[model_id].is_resting,
        load=lambda: _load_counts(admission, upstream_sweeper, serving.pipeline, kept),
        learning=lambda: () if serving.decisions is None else serving.decisions.counts(),
        decision_drops=lambda: 0 if serving.decisions is None else serving.decisions.dropped,
        checkpoints=lambda: [c for one in serving.pipeline.routed.values() if (c := one.kept.counts()) is not None],
    )
    admission = Admission(upstream_sweeper, metrics, snapshot.serving.max_in_flight)
    tasks = Tasks(logging.getLogger("pointsman.tasks"), MAX_TASKS)
    # Whoever gives credentials to machines is never behind a proxy.
    direct = Pool(msgspec.structs.replace(snapshot.upstream, proxies=Proxies()), upstream_sweeper, outbox)
    authorizers = Authorizers(Calls(pool, direct), tasks, time.time, sigv4.sign)
    worker = Worker(upstream_sweeper, snapshot.upstream.verify_tls and (snapshot.upstream.ca_file or True))
    long_tail = partial(_long_tail, worker, snapshot.serving.drops_params)
    upstream_of = partial(_upstream, pool, authorizers, Loopback(_demo), long_tail)
    serving = _serving(snapshot, groups, upstream_of, metrics, upstream_sweeper, admission, tasks, kept)
    watchers = Tasks(logging.getLogger("pointsman.tasks"), MAX_WATCHERS)
    if snapshot.routing.routed:
        explaining, decisions = _add_routed(snapshot, groups, serving.pipeline, metrics, watchers, data)
        serving = replace(serving, explaining=explaining, decisions=decisions)
    gateway = Gateway(serving, Routes(), EdgeSettings(), edge_sweeper, outbox)
    gateway.is_busy = lambda: len(tasks) > 0
    logs.start()
    upstream_sweeper.start()
    edge_sweeper.start()
    try:
        yield gateway
    finally:
        edge_sweeper.stop()
        # Calls fail with their upstreams, and tell their clients; only then those are cancelled that wait for something
        # else.
        await pool.close()
        await direct.close()
        await worker.close(CLOSE_PATIENCE)
        await watchers.close(CLOSE_PATIENCE)
        await tasks.settle(CLOSE_PATIENCE)
        await tasks.close(CLOSE_PATIENCE)
        if serving.decisions is not None:
            await serving.decisions.close()
        upstream_sweeper.stop()
        logs.close()


def _serving(
    snapshot: Snapshot,
    groups: Groups,
    upstream_of: Callable[[Deployment], Upstream],
    metrics: Metrics,
    sweeper: Sweeper,
    admission: Admission,
    tasks: Tasks,
    kept: AnswerCache | None,
) -> Serving:
    caching = snapshot.serving.cache
    targets = {
        deployment.id: Target(
            deployment,
            upstream_of(deployment),
            snapshot.upstream.timeouts,
            metrics,
            snapshot.models,
            snapshot.serving,
        )
        for deployment in snapshot.deployments
    }
    pipeline = Pipeline(
        groups,
        targets,
        Answers(time.monotonic, time.time, partial(token_hex, 12), sweeper),
        admission,
        tasks,
        routing=snapshot.routing,
        serving=snapshot.serving,
        clock=time.monotonic,
        chance=random.random,
        cache=None if caching is None or kept is None else ExactCache(caching, kept, time.monotonic),
    )
    return Serving(
        snapshot_number=snapshot.number,
        gatekeeper=Gatekeeper(snapshot.access),
        is_metrics_public=snapshot.access.is_metrics_public,
        pipeline=pipeline,
        catalog=Catalog(groups, snapshot.deployments, snapshot.models),
        health=HealthCheck(groups, targets, pipeline.routed),
        metrics=metrics,
        ledger=IdempotencyLedger(tasks, admission, time.monotonic),
    )


def _add_routed(
    snapshot: Snapshot, groups: Groups, pipeline: Pipeline, metrics: Metrics, watchers: Tasks, data: Path | None
) -> tuple[Explaining, Decisions]:
    """Make the routed models; what they need is imported only where there are any.

    :raises BadCheckpoint: a checkpoint cannot be used any more
    """
    from pointsman.config.checkpoints import extras_of  # noqa: PLC0415
    from pointsman.pipeline.decisions import decisions_of  # noqa: PLC0415
    from pointsman.pipeline.embedding import embedding_of  # noqa: PLC0415
    from pointsman.pipeline.explaining import Explaining  # noqa: PLC0415
    from pointsman.pipeline.likelihoods import evidence_of  # noqa: PLC0415
    from pointsman.pipeline.lineups import Awaited, routed_model, trial_of  # noqa: PLC0415
    from pointsman.pipeline.procedures import procedure_of  # noqa: PLC0415

    clocks: dict[str, Callable[[], float]] = {"clock": time.monotonic, "chance": random.random, "now": time.time}
    trials = {}
    for name, settings in snapshot.routing.routed.items():
        extras, meter = extras_of(settings), metrics.bind_routed(name)
        routed = routed_model(settings, groups, snapshot.models, extras, meter, **clocks)
        if extras.embedder is not None:
            timeout = settings.embedding_timeout
            routed.embedding = embedding_of(extras.embedder, pipeline, time.monotonic, timeout=timeout)
        routed.evidence = evidence_of(settings, routed.lineup, pipeline)
        routed.procedure = procedure_of(settings, pipeline, unique=partial(token_hex, 12), wall_clock=time.time)
        if isinstance(routed.kept, Awaited):
            watchers.start(routed.kept.kept.watch(), f"reload {name}")
        pipeline.routed[name] = routed
        if (trial := trial_of(settings, routed.lineup, extras, time.time)) is not None:
            trials[name] = trial
            watchers.start(trial.watch(), f"reload the trial of {name}")
    decisions = decisions_of(pipeline.routed, trials, data, token_hex(4), time.time)
    decisions.start(watchers)
    return Explaining(pipeline.routed, groups, snapshot.routing, time.monotonic), decisions


def _upstream(
    pool: Pool,
    authorizers: Authorizers,
    builtin: Loopback,
    long_tail: Callable[[Deployment], Upstream],
    deployment: Deployment,
) -> Upstream:
    if deployment.mock_response is not None:
        return Loopback(partial(_mock, deployment.mock_response))
    if deployment.base_url.startswith("demo:"):
        return builtin
    if deployment.base_url.startswith(BASE_URL):
        return long_tail(deployment)
    host = pool.host(deployment.base_url)
    return host if deployment.identity is None else Signed(host, authorizers.of(deployment.identity))


def _long_tail(worker: Worker, drops_params: bool, deployment: Deployment) -> Upstream:
    given = {"api_key": deployment.credential, "extra_headers": dict(deployment.headers)}
    return Litellm(
        worker,
        deployment.vendor.name,
        deployment.arguments | {name: value for name, value in given.items() if value},
        allowed=deployment.allowed_params,
        drops=deployment.drops_params or drops_params,
    )


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


def _load_counts(admission: Admission, sweeper: Sweeper, pipeline: Pipeline, kept: AnswerCache | None) -> LoadCounts:
    return LoadCounts(
        refused=admission.refused_total,
        queued=pipeline.queued,
        lag_s=sweeper.lag,
        cache_hits=0 if kept is None else kept.hits,
        cache_misses=0 if kept is None else kept.misses,
        cache_bytes=0 if kept is None else kept.bytes,
    )


def _secrets(snapshot: Snapshot) -> list[str]:
    """What must not stand in any log line."""
    known = [text for deployment in snapshot.deployments for text in credentials(deployment)]
    if snapshot.access.master_key is not None:
        known.append(snapshot.access.master_key.reveal())
    return known
