"""From a snapshot to what serves it, and from one to the next while requests go on.

In three steps. :meth:`Assembly.prepare` builds, in a thread, whatever the new snapshot needs that the one in force does
not have, and changes nothing. :meth:`Assembly.swap` puts it in force within one turn of the event loop. What only the
old snapshot has then **retires**: requests that began with it go on with it, and when the last one has ended, nobody
refers to it any more.

Carried over are deployments that have stayed the same, with what they are doing and what is known of them; the ways to
upstreams; and what routed models have learnt. What lives as long as the process is in :class:`Lasting`.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pointsman.access.caller import Gatekeeper, master_of
from pointsman.assembly.a2a import A2a
from pointsman.assembly.batches import BatchService
from pointsman.assembly.files import FileService
from pointsman.assembly.mcp import Mcp
from pointsman.assembly.reach import Reach, origins_of, secrets_of
from pointsman.config.snapshot import Snapshot
from pointsman.edge.accounts import Accounts
from pointsman.edge.context import Reloading, Serving
from pointsman.edge.exchange import VERSION_LINE
from pointsman.errors import Overloaded
from pointsman.pipeline.admission import Admission
from pointsman.pipeline.answers import Answers
from pointsman.pipeline.cache import AnswerCache, ExactCache
from pointsman.pipeline.catalog import Catalog
from pointsman.pipeline.gate import Gates
from pointsman.pipeline.health import HealthCheck
from pointsman.pipeline.idempotency import IdempotencyLedger
from pointsman.pipeline.serve import Pipeline
from pointsman.pipeline.targets import Target
from pointsman.pipeline.till import Till
from pointsman.routing.groups import Groups
from pointsman.store.opening import values
from pointsman.telemetry.beside import beside
from pointsman.telemetry.counts import LoadCounts, PoolCounts
from pointsman.telemetry.logs import Redactor
from pointsman.telemetry.metrics import Metrics
from pointsman.telemetry.routed import CheckpointCounts, LearningCounts
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.routes import Origin
from pointsman.upstream.settings import UpstreamSettings

if TYPE_CHECKING:
    from pointsman.access.settings import TokenSettings
    from pointsman.assembly.routed import Routed
    from pointsman.pipeline.known_tokens import Tokens
    from pointsman.pipeline.shared_answers import SharedAnswers

SHOWN = 12
"""Digits of a hash that tell snapshots apart."""
CLOSE_PATIENCE = 2.0
"""Seconds that what retires is given to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """What lives as long as the process."""

    sweeper: Sweeper
    metrics: Metrics
    admission: Admission
    tasks: Tasks
    """Calls that go on without their client."""
    watchers: Tasks
    gates: Gates
    ledger: IdempotencyLedger
    redactor: Redactor
    answers: Answers
    reach_of: Callable[[UpstreamSettings], Reach]
    data: Path | None
    """The directory for what is to be remembered; ``None``: nothing is."""
    environ: Mapping[str, str]
    accounts: Accounts
    """Virtual keys, which are the same under every snapshot."""
    till: Till
    """What is counted, and written down."""
    mcp: Mcp
    """The MCP gateway, as soon as somebody asks for it."""
    a2a: A2a
    """The A2A gateway, the same."""
    files: FileService
    """The files of clients, the same."""
    batches: BatchService
    """Their batches, the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """One snapshot with all that serves it."""

    snapshot: Snapshot
    reach: Reach
    groups: Groups
    targets: Mapping[str, Target]
    """By deployment id."""
    kept: AnswerCache | SharedAnswers | None
    serving: Serving
    routed: Routed | None
    secrets: frozenset[str]
    """What must not stand in any log line."""
    origins: frozenset[Origin]
    """The hosts that its deployments name."""


@dataclass(frozen=True, slots=True)
class _Retiring:
    """What a snapshot that is no longer in force leaves to be tidied up."""

    secrets: frozenset[str]
    reach: Reach


class Assembly:
    """Holds what is in force. Its methods belong to the event loop, but for :meth:`build`."""

    def __init__(self, lasting: Lasting, first: Snapshot, reloading: Reloading | None = None) -> None:
        """:raises ValueError: a checkpoint, an embedder or an estimator cannot be used"""
        self._lasting = lasting
        self._reloading = reloading
        self._loop = asyncio.get_running_loop()
        self._retiring: dict[int, _Retiring] = {}
        self._preparing: frozenset[str] = frozenset()
        self._telling = threading.Lock()
        self._is_begun = False
        self.current = self.build(first, None)
        self._is_begun = True
        lasting.mcp.on_secrets = lasting.a2a.on_secrets = self._know_secrets
        lasting.a2a.pipeline = lambda: self.current.serving.pipeline
        lasting.mcp.agents = lasting.a2a
        self._begin(None)

    # -- the three steps ------------------------------------------------------------------------------------------

    async def prepare(self, snapshot: Snapshot) -> Assembled:
        """Build what serves a snapshot, beside what serves now.

        :raises ValueError: a checkpoint, an embedder or an estimator cannot be used
        :raises OSError: a file that is needed cannot be read
        """
        try:
            return await beside(self.build, snapshot, self.current)
        except BaseException:
            self._give_up(origins_of(snapshot.deployments), self.current.reach)
            raise

    async def swap(self, after: Assembled, put: Callable[[Serving], None]) -> None:
        """Put in force what :meth:`prepare` has built of the one that is so; ``put`` is called with what serves."""
        before = self.current
        if before.routed is not None:
            # Whoever follows finds it on the disk.
            if after.routed is None:
                await before.routed.decisions.close()
            elif not after.routed.has_all_learning_of(before.routed):
                await before.routed.decisions.save()
        for member in after.groups.take_effect():
            self._lasting.gates.left(member)
        self.current = after
        put(after.serving)
        self._begin(before)

    def build(self, snapshot: Snapshot, before: Assembled | None) -> Assembled:
        """What serves a snapshot, out of what is ``before`` it, where nothing is changed. For any thread.

        :raises ValueError: as :meth:`prepare`
        :raises OSError: the same
        """
        lasting = self._lasting
        if before is not None:
            snapshot = _with_same_deployments(snapshot, before.snapshot)
        secrets = secrets_of(snapshot)
        self._preparing = secrets
        self._tell_secrets()
        is_reachable = before is not None and before.reach.serves(snapshot.upstream)
        reach = before.reach if before is not None and is_reachable else lasting.reach_of(snapshot.upstream)
        groups = Groups(snapshot.deployments, snapshot.routing, None if before is None else before.groups)
        targets = self._targets(snapshot, reach, before)
        kept = _cache(snapshot, before, lasting.watchers)
        pipeline = self._pipeline(snapshot, groups, targets, kept)
        routed = None
        if snapshot.routing.routed:
            # What it needs is imported only where there is a routed model.
            from pointsman.assembly.routed import routed_of  # noqa: PLC0415

            old = None if before is None else before.routed
            routed = routed_of(snapshot, groups, pipeline, lasting.metrics, lasting.data, lasting.environ, old)
        serving = self._serving(snapshot, groups, targets, pipeline)
        if snapshot.access.tokens is not None:
            serving = replace(serving, tokens=self._tokens(snapshot.access.tokens, reach, before))
        if routed is not None:
            serving = replace(serving, explaining=routed.explaining, decisions=routed.decisions)
        return Assembled(
            snapshot=snapshot,
            reach=reach,
            groups=groups,
            targets=targets,
            kept=kept,
            serving=serving,
            routed=routed,
            secrets=secrets,
            origins=origins_of(snapshot.deployments),
        )

    async def discard(self, after: Assembled) -> None:
        """Tidy up what was prepared, has called upstreams, and is not to be put in force."""
        if after.reach is not self.current.reach:
            await after.reach.close(CLOSE_PATIENCE)
        else:
            self._give_up(after.origins, after.reach)
        self._keep_series()

    async def close(self) -> None:
        """End the ways to upstreams; calls fail with them, and tell their clients."""
        await self._lasting.batches.close()
        await self._lasting.mcp.close()
        await self._lasting.a2a.close()
        for reach in {id(one): one for one in self._reaches()}.values():
            await reach.close(CLOSE_PATIENCE)

    # -- what others ask ------------------------------------------------------------------------------------------

    @property
    def retiring(self) -> int:
        """Snapshots before the one in force that requests go on with."""
        return len(self._retiring)

    def is_resting(self, model_id: str) -> bool:
        """Whether a deployment is in cooldown."""
        member = self.current.groups.members.get(model_id)
        return member is not None and member.is_resting

    @property
    def pool_counts(self) -> PoolCounts:
        """Connections to upstreams."""
        counts = [reach.counts() for reach in {id(one): one for one in self._reaches()}.values()]
        return PoolCounts(
            open=sum(one.open for one in counts),
            idle=sum(one.idle for one in counts),
            waiting=sum(one.waiting for one in counts),
        )

    @property
    def load_counts(self) -> LoadCounts:
        """What is held back and kept."""
        lasting, kept = self._lasting, self.current.kept
        return LoadCounts(
            refused=lasting.admission.refused_total,
            queued=lasting.gates.waiting,
            lag_s=lasting.sweeper.lag,
            cache_hits=0 if kept is None else kept.hits,
            cache_misses=0 if kept is None else kept.misses,
            cache_bytes=0 if kept is None else kept.bytes,
        )

    @property
    def learning_counts(self) -> Iterable[LearningCounts]:
        """What routed models have learnt."""
        routed = self.current.routed
        return () if routed is None else routed.decisions.counts()

    @property
    def dropped_decisions(self) -> int:
        """Events that the decision log has lost."""
        routed = self.current.routed
        return 0 if routed is None else routed.decisions.dropped

    @property
    def checkpoint_counts(self) -> Iterable[CheckpointCounts]:
        """The checkpoints of routed models."""
        models = self.current.serving.pipeline.routed.values()
        return [counts for model in models if (counts := model.kept.counts()) is not None]

    async def save(self) -> None:
        """Put on the disk what was learnt and decided, and leave it to whoever comes next."""
        if self.current.routed is not None:
            await self.current.routed.decisions.close()

    # -- building -------------------------------------------------------------------------------------------------

    def _targets(self, snapshot: Snapshot, reach: Reach, before: Assembled | None) -> dict[str, Target]:
        drops = snapshot.serving.drops_params
        there = before.targets if before is not None and _has_same_ground(snapshot, reach, before) else {}
        targets = {}
        for deployment in snapshot.deployments:
            target = there.get(deployment.id)
            if target is None or target.deployment is not deployment:
                target = Target(
                    deployment,
                    reach.upstream_of(deployment, drops_params=drops),
                    snapshot.upstream.timeouts,
                    self._lasting.metrics,
                    snapshot.models,
                    snapshot.serving,
                )
            targets[deployment.id] = target
        return targets

    def _pipeline(
        self,
        snapshot: Snapshot,
        groups: Groups,
        targets: Mapping[str, Target],
        kept: AnswerCache | SharedAnswers | None,
    ) -> Pipeline:
        lasting, caching = self._lasting, snapshot.serving.cache
        # What machines share goes by the time that they share.
        clock = time.monotonic if isinstance(kept, AnswerCache) else time.time
        pipeline = Pipeline(
            groups,
            targets,
            lasting.answers,
            lasting.admission,
            lasting.tasks,
            routing=snapshot.routing,
            serving=snapshot.serving,
            clock=time.monotonic,
            chance=random.random,
            cache=None if caching is None or kept is None else ExactCache(caching, kept, clock),
            gates=lasting.gates,
            till=lasting.till,
        )
        if _has_mcp(snapshot):
            pipeline.use_servers = lasting.mcp.use_servers
        if _has_a2a(snapshot):
            pipeline.use_agents = lasting.a2a.use_agents
        return pipeline

    def _serving(
        self, snapshot: Snapshot, groups: Groups, targets: Mapping[str, Target], pipeline: Pipeline
    ) -> Serving:
        line = b"x-pointsman-config: %d-%b\r\n" % (snapshot.number, snapshot.hash[:SHOWN].encode())
        return Serving(
            snapshot_number=snapshot.number,
            gatekeeper=Gatekeeper(snapshot.access),
            is_metrics_public=snapshot.access.is_metrics_public,
            pipeline=pipeline,
            catalog=Catalog(groups, snapshot.deployments, snapshot.models),
            health=HealthCheck(groups, targets, pipeline.routed),
            metrics=self._lasting.metrics,
            ledger=self._lasting.ledger,
            version_line=VERSION_LINE + line if snapshot.serving.has_config_header else VERSION_LINE,
            reloading=self._reloading,
            accounts=self._lasting.accounts,
            mcp=self._lasting.mcp if _has_mcp(snapshot) else None,
            a2a=self._lasting.a2a if _has_a2a(snapshot) else None,
            files=self._lasting.files,
            batches=self._lasting.batches,
        )

    def _tokens(self, settings: TokenSettings, reach: Reach, before: Assembled | None) -> Tokens:
        """Those of before as long as they are read in the same way: they have the keys already."""
        from pointsman.pipeline.key_sets import KeySets  # noqa: PLC0415  as joserfc, which few need
        from pointsman.pipeline.known_tokens import Tokens  # noqa: PLC0415

        old = None if before is None or before.reach is not reach else before.serving.tokens
        if old is not None and old.settings == settings:
            return old
        key_sets = KeySets(
            settings.key_urls, reach.calls.read, self._lasting.tasks, seconds=settings.key_seconds, clock=time.monotonic
        )
        return Tokens(settings, key_sets, now=time.time)

    # -- putting in force, and retiring ---------------------------------------------------------------------------

    def _begin(self, before: Assembled | None) -> None:
        """What is in force has just become so."""
        after, lasting = self.current, self._lasting
        lasting.admission.max_in_flight = after.snapshot.serving.max_in_flight
        lasting.gates.patience = after.snapshot.serving.queue_timeout
        lasting.till.keeps_content = after.snapshot.stores.keeps_content
        lasting.mcp.configure(after.snapshot)
        lasting.a2a.configure(after.snapshot)
        lasting.files.configure(after.snapshot)
        lasting.batches.configure(after.snapshot, after.serving.pipeline, master_of(after.snapshot.access))
        lasting.till.leads_to = after.serving.pipeline.leads_to
        if after.routed is not None:
            after.routed.start(lasting.watchers, None if before is None else before.routed)
        elif before is not None and before.routed is not None:
            before.routed.stop()
        number = after.snapshot.number
        weakref.finalize(after.serving.pipeline, self._tell_ended, number).atexit = False
        if before is None:
            return
        self._retiring[before.snapshot.number] = _Retiring(before.secrets, before.reach)
        self._keep_series()
        if before.reach is after.reach:
            self._give_up(before.origins, after.reach)
        else:
            before.reach.retire()

    def _keep_series(self) -> None:
        groups = self.current.groups
        self._lasting.metrics.keep_only({group.name for group in groups}, groups.members, time.monotonic())

    def _give_up(self, origins: frozenset[Origin], reach: Reach) -> None:
        """Keep no connection to those of these hosts that nothing in force names."""
        reach.give_up(origins - self.current.origins)

    def _tell_ended(self, number: int) -> None:
        # Whichever thread has let go of it last.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end, number)

    def _end(self, number: int) -> None:
        """The last request of that snapshot has ended."""
        ended = self._retiring.pop(number, None)
        if ended is None:
            return
        # Where the process ends, all ways to upstreams are closed anyway, and secrets may stay known.
        with suppress(Overloaded):
            if not any(ended.reach is one for one in self._reaches()):
                self._lasting.watchers.start(ended.reach.close(CLOSE_PATIENCE), "close what is no longer used")
            self._know_secrets()

    def _know_secrets(self) -> None:
        with suppress(Overloaded):
            self._lasting.watchers.start(asyncio.to_thread(self._tell_secrets), "tell what is secret now")

    def _tell_secrets(self) -> None:
        """Of what is in force, of what is to be, and of what requests still go on with. For any thread."""
        with self._telling:
            known = [self._preparing, *(one.secrets for one in tuple(self._retiring.values()))]
            known += [self._lasting.mcp.secrets(), self._lasting.a2a.secrets()]
            if self._is_begun:
                known.append(self.current.secrets)
            self._lasting.redactor.know(frozenset().union(*known))

    def _reaches(self) -> list[Reach]:
        return [self.current.reach, *(one.reach for one in self._retiring.values())]


def _with_same_deployments(snapshot: Snapshot, before: Snapshot) -> Snapshot:
    """The same with the very objects of the snapshot before where deployments are equal to those."""
    there = {deployment.id: deployment for deployment in before.deployments}
    same = tuple(
        old if (old := there.get(deployment.id)) is not None and old == deployment else deployment
        for deployment in snapshot.deployments
    )
    return msgspec.structs.replace(snapshot, deployments=same)


def _has_mcp(snapshot: Snapshot) -> bool:
    """Whether the MCP gateway is switched on."""
    return snapshot.mcp is None or snapshot.mcp.is_enabled


def _has_a2a(snapshot: Snapshot) -> bool:
    """Whether the A2A gateway is."""
    return snapshot.a2a is None or snapshot.a2a.is_enabled


def _has_same_ground(snapshot: Snapshot, reach: Reach, before: Assembled) -> bool:
    """Whether all that targets go by, besides their deployments, is as before."""
    old = before.snapshot
    return (
        reach is before.reach
        and old.upstream.timeouts == snapshot.upstream.timeouts
        and old.serving == snapshot.serving
        and old.models == snapshot.models
    )


def _cache(snapshot: Snapshot, before: Assembled | None, tasks: Tasks) -> AnswerCache | SharedAnswers | None:
    """That of before where it is to be in the same place."""
    caching, redis = snapshot.serving.cache, snapshot.stores.answers
    if caching is None:
        return None
    old = None if before is None else before.snapshot.serving.cache
    if before is not None and old is not None and before.snapshot.stores.answers == redis:
        has_same_place = old.max_bytes == caching.max_bytes if redis is None else old.namespace == caching.namespace
        if has_same_place:
            return before.kept
    if redis is None:
        return AnswerCache(caching.max_bytes)
    from pointsman.pipeline.shared_answers import SharedAnswers  # noqa: PLC0415  where answers are shared

    return SharedAnswers(values(redis, tasks), caching.namespace)
