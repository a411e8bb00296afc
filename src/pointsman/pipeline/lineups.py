"""Routed models out of the configuration: who their candidates are, and what they go by.

Needs numpy: it is imported only where there is a routed model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pointsman.errors import ModelNotFound
from pointsman.ml.base import Embedder, Estimator
from pointsman.ml.checkpoint import BadCheckpoint, Checkpoint
from pointsman.ml.learned import Learned
from pointsman.pipeline.advisers import Kept
from pointsman.pipeline.checkpoints import Kept as KeptCheckpoint
from pointsman.pipeline.routed import RoutedModel
from pointsman.providers.base import KnownModels, Price
from pointsman.routing.groups import Group, Groups
from pointsman.routing.members import Member, model_of
from pointsman.routing.registry import STRATEGIES
from pointsman.routing.settings import RoutedSettings
from pointsman.routing.strategies.learned import Candidate, Chooser, Lineup, candidate_of
from pointsman.telemetry.meters import RoutingMeter
from pointsman.telemetry.routed import CheckpointCounts

log = logging.getLogger(__name__)

CHATS = (None, "chat", "completion", "responses")
"""Modes of deployments that can answer a prompt; ``None``: nothing else is known of it."""
SHARED = STRATEGIES["simple-shuffle"]
"""Under which weights say who of a group gets a request."""
RENAME = "train it with the model names of the configuration, or name its models in candidates"


class Extras:
    """What a checkpoint names and does not bring."""

    def __init__(self, embedder: Embedder | None = None, custom: type[Estimator] | None = None) -> None:
        self.embedder = embedder
        self.custom = custom


NO_EXTRAS = Extras()


@dataclass(frozen=True, slots=True)
class Fixed:
    """What stays as it is."""

    current: Chooser

    def status(self) -> Mapping[str, Any]:
        """Nothing changes."""
        return {}

    def counts(self) -> CheckpointCounts | None:
        """There is no checkpoint."""


class Awaited:
    """A checkpoint that need not be there yet: until it is, prices, sizes and the look of a prompt decide."""

    def __init__(self, kept: KeptCheckpoint[Chooser], until: Chooser) -> None:
        self.kept = kept
        self._until = until

    @property
    def current(self) -> Chooser:
        """What is in force now."""
        return self.kept.current if self.kept.is_loaded else self._until

    def status(self) -> Mapping[str, Any]:
        """What ``GET /router/info`` tells."""
        return self.kept.status() | ({} if self.kept.is_loaded else {"is_awaited": True})

    def counts(self) -> CheckpointCounts:
        """What is told on ``/metrics``."""
        return self.kept.counts()


def lineup_of(settings: RoutedSettings, groups: Groups, known: KnownModels) -> Lineup:
    """The candidates of a routed model.

    :raises ValueError: there is none
    """
    if settings.is_within_group:
        return Lineup(list(_within(groups.match(settings.name).group, settings, known)))
    names = settings.candidates or [group.name for group in groups if "*" not in group.name]
    return Lineup(list(_among(names, settings, groups, known)))


def can_chat(group: Group) -> bool:
    """Whether this group can be a candidate: it answers conversations, as far as is known."""
    return bool(group.members) and all(one.mode in CHATS for one in group.deployments)


def chooser_of(lineup: Lineup, extras: Extras, checkpoint: Checkpoint) -> Chooser:
    """What a checkpoint comes to.

    :raises BadCheckpoint: it needs what is not there, or knows none of the candidates
    """
    embedders = {} if extras.embedder is None else {extras.embedder.id: extras.embedder}
    learned = Learned.from_checkpoint(checkpoint, embedders, extras.custom)
    try:
        return Chooser(learned, lineup)
    except ValueError as error:
        raise BadCheckpoint(str(error), RENAME) from error


def kept_of(settings: RoutedSettings, lineup: Lineup, extras: Extras, now: Callable[[], float]) -> Kept:
    """What a routed model goes by; ``now`` gives seconds since 1970.

    :raises BadCheckpoint: its checkpoint cannot be used
    """
    if settings.checkpoint is None:
        return Fixed(Chooser(lineup.cold(settings.strategy, extras.custom), lineup))
    kept = KeptCheckpoint(
        settings.name,
        Path(settings.checkpoint),
        partial(chooser_of, lineup, extras),
        now=now,
        trusted_keys=settings.trusted_keys,
        interval=settings.reload_interval,
    )
    if settings.has_hot_reload:
        return _awaited(kept, Chooser(lineup.cold(settings.strategy, extras.custom), lineup))
    kept.load()
    return kept


def _awaited(kept: KeptCheckpoint[Chooser], until: Chooser) -> Awaited:
    """One that is not there yet, or that cannot be used, is looked at again and again."""
    if kept.directory.exists():
        try:
            kept.load()
        except BadCheckpoint as error:
            kept.fail(error)
    return Awaited(kept, until)


def trial_of(
    settings: RoutedSettings, lineup: Lineup, extras: Extras, now: Callable[[], float]
) -> KeptCheckpoint[Chooser] | None:
    """The checkpoint on trial, if there is to be one; it is none until its files can be used."""
    if settings.learning.candidate is None:
        return None
    kept = KeptCheckpoint(
        settings.name,
        Path(settings.learning.candidate),
        partial(chooser_of, lineup, extras),
        now=now,
        trusted_keys=settings.trusted_keys,
        interval=settings.reload_interval,
    )
    try:
        kept.load()
    except BadCheckpoint as error:
        log.warning("the checkpoint on trial of %s cannot be used: %s", settings.name, error)
    return kept


def routed_model(
    settings: RoutedSettings,
    groups: Groups,
    known: KnownModels,
    extras: Extras,
    meter: RoutingMeter,
    *,
    clock: Callable[[], float],
    chance: Callable[[], float],
    now: Callable[[], float],
) -> RoutedModel:
    """One routed model, ready to choose.

    :raises ValueError: it has no candidates
    :raises BadCheckpoint: its checkpoint cannot be used
    """
    lineup = lineup_of(settings, groups, known)
    kept = kept_of(settings, lineup, extras, now)
    return RoutedModel(settings, lineup, kept, groups, meter=meter, clock=clock, chance=chance)


def _within(group: Group, settings: RoutedSettings, known: KnownModels) -> Iterator[Candidate]:
    by_model: dict[str, list[Member]] = {}
    for member in group.members:
        by_model.setdefault(model_of(member.deployment, known), []).append(member)
    for model, members in by_model.items():
        yield _candidate(model, group, members, None, settings, known)


def _among(names: Sequence[str], settings: RoutedSettings, groups: Groups, known: KnownModels) -> Iterator[Candidate]:
    for name in dict.fromkeys(names):
        try:
            match = groups.match(name)
        except ModelNotFound:
            # Its entry was left out, which the start has told.
            continue
        group = match.group
        if can_chat(group) and group.name != settings.name:
            yield _candidate(name, group, group.members, match.captured, settings, known)


def _candidate(
    name: str,
    group: Group,
    members: Sequence[Member],
    captured: str | None,
    settings: RoutedSettings,
    known: KnownModels,
) -> Candidate:
    def price_of(member: Member) -> Price:
        deployment = member.deployment
        if captured is None or deployment.price != Price():
            return deployment.price
        facts = known.get(deployment.vendor.name, {}).get(deployment.upstream_model.replace("*", captured))
        return Price() if facts is None else facts.price

    return candidate_of(
        name,
        members,
        captured,
        settings.cards,
        price_of,
        heeds_rates=group.enforces_rates,
        is_shared=group.strategy is SHARED,
    )
