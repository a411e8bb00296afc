"""The routed models of one snapshot, with what those of the snapshot before have learnt and remember.

Needs numpy: it is imported only where there is a routed model.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_hex

from pointsman.config.checkpoints import extras_of
from pointsman.config.snapshot import Snapshot
from pointsman.config.sources.checkpoints import CheckpointFetch
from pointsman.ml.embedders.remote import Remote
from pointsman.pipeline.checkpoints import Kept as KeptCheckpoint
from pointsman.pipeline.decisions import Decisions, decisions_of
from pointsman.pipeline.embedding import embedding_of
from pointsman.pipeline.explaining import Explaining
from pointsman.pipeline.likelihoods import evidence_of
from pointsman.pipeline.lineups import Awaited, Extras, lineup_of, routed_model, trial_of
from pointsman.pipeline.procedures import procedure_of
from pointsman.pipeline.routed import RoutedModel
from pointsman.pipeline.serve import Pipeline
from pointsman.routing.groups import Groups
from pointsman.routing.settings import RoutedSettings
from pointsman.routing.strategies.learned import Chooser, Lineup
from pointsman.telemetry.metrics import Metrics
from pointsman.telemetry.tasks import Tasks


@dataclass(slots=True, kw_only=True)
class Part:
    """One routed model."""

    model: RoutedModel
    extras: Extras
    trial: KeptCheckpoint[Chooser] | None
    fetching: CheckpointFetch | None
    """Brings its checkpoint, if that lies elsewhere."""
    tasks: list[asyncio.Task[None]]

    @property
    def checkpoint(self) -> KeptCheckpoint[Chooser] | None:
        """The checkpoint that it goes by, if it is one."""
        kept = self.model.kept
        kept = kept.kept if isinstance(kept, Awaited) else kept
        return kept if isinstance(kept, KeptCheckpoint) else None


class Routed:
    """All routed models of a snapshot."""

    def __init__(self, parts: Mapping[str, Part], decisions: Decisions, explaining: Explaining) -> None:
        self.parts = parts
        """By public name."""
        self.decisions = decisions
        self.explaining = explaining
        self._saving: asyncio.Task[None] | None = None

    def start(self, watchers: Tasks, before: Routed | None) -> None:
        """Look after checkpoints from now on, in the place of those ``before``."""
        there = {} if before is None else before.parts
        for name, part in self.parts.items():
            old = there.get(name)
            if old is None or old.tasks is not part.tasks:
                part.tasks += _watch(name, part, watchers)
        if before is not None:
            before.stop(self)
        self._saving = self.decisions.start(watchers, None if before is None else before.decisions)

    def stop(self, after: Routed | None = None) -> None:
        """Look after nothing any more, but what those ``after`` go on with."""
        staying = [] if after is None else [part.tasks for part in after.parts.values()]
        for part in self.parts.values():
            if not any(part.tasks is tasks for tasks in staying):
                for task in part.tasks:
                    task.cancel()
        if self._saving is not None:
            self._saving.cancel()

    def has_all_learning_of(self, before: Routed) -> bool:
        """Whether all who have learnt go on learning."""
        return all(self.decisions.learning.get(name) is one for name, one in before.decisions.learning.items())


def routed_of(
    snapshot: Snapshot,
    groups: Groups,
    pipeline: Pipeline,
    metrics: Metrics,
    data: Path | None,
    environ: Mapping[str, str],
    before: Routed | None = None,
) -> Routed:
    """Make the routed models of a snapshot; it may take seconds, and changes nothing of those ``before``.

    ``data`` is the directory for what is to be remembered, ``environ`` has credentials for where checkpoints lie.

    :raises ValueError: a checkpoint, an embedder or an estimator cannot be used
    """
    there = {} if before is None else before.parts
    parts = {
        name: _part(settings, snapshot, groups, pipeline, metrics, environ, there.get(name))
        for name, settings in snapshot.routing.routed.items()
    }
    for name, part in parts.items():
        pipeline.routed[name] = part.model
    trials = {name: part.trial for name, part in parts.items() if part.trial is not None}
    decisions = decisions_of(
        pipeline.routed, trials, data, token_hex(4), time.time, None if before is None else before.decisions
    )
    return Routed(parts, decisions, Explaining(pipeline.routed, groups, snapshot.routing, time.monotonic))


def _part(
    settings: RoutedSettings,
    snapshot: Snapshot,
    groups: Groups,
    pipeline: Pipeline,
    metrics: Metrics,
    environ: Mapping[str, str],
    before: Part | None,
) -> Part:
    clocks: dict[str, Callable[[], float]] = {"clock": time.monotonic, "chance": random.random}
    meter = metrics.bind_routed(settings.name)
    lineup = lineup_of(settings, groups, snapshot.models)
    if before is not None and _is_same(before, settings, lineup):
        old = before.model
        # Its candidates are these very ones, so that its checkpoint need not be read again.
        model = RoutedModel(settings, old.lineup, old.kept, groups, meter=meter, **clocks)
        part = Part(model=model, extras=before.extras, trial=before.trial, fetching=before.fetching, tasks=before.tasks)
    else:
        extras = extras_of(settings)
        model = routed_model(settings, groups, snapshot.models, extras, meter, now=time.time, **clocks)
        trial = trial_of(settings, model.lineup, extras, time.time)
        fetching = None if settings.origin is None else CheckpointFetch(settings, environ)
        part = Part(model=model, extras=extras, trial=trial, fetching=fetching, tasks=[])
    if before is not None:
        model.go_on(before.model)
    _equip(part, settings, pipeline, before)
    return part


def _is_same(before: Part, settings: RoutedSettings, lineup: Lineup) -> bool:
    old = before.model
    return old.settings == settings and old.lineup.candidates == lineup.candidates


def _equip(part: Part, settings: RoutedSettings, pipeline: Pipeline, before: Part | None) -> None:
    """Give it what asks models on the way."""
    model, embedder = part.model, part.extras.embedder
    if embedder is not None and before is not None and part.extras is before.extras:
        # An encoder of our own is the same for every snapshot; a model is asked through the pipeline that serves.
        model.embedding = None if isinstance(embedder, Remote) else before.model.embedding
    if embedder is not None and model.embedding is None:
        model.embedding = embedding_of(embedder, pipeline, time.monotonic, timeout=settings.embedding_timeout)
    model.evidence = evidence_of(settings, model.lineup, pipeline)
    model.procedure = procedure_of(settings, pipeline, unique=partial(token_hex, 12), wall_clock=time.time)


def _watch(name: str, part: Part, watchers: Tasks) -> Iterator[asyncio.Task[None]]:
    kept = part.model.kept
    if isinstance(kept, Awaited):
        yield watchers.start(kept.kept.watch(), f"reload {name}")
    if part.trial is not None:
        yield watchers.start(part.trial.watch(), f"reload the trial of {name}")
    if part.fetching is not None and part.checkpoint is not None:
        yield watchers.start(part.fetching.watch(part.checkpoint.look), f"fetch the checkpoint of {name}")
