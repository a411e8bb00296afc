"""Model groups: all deployments that answer to one public name, found by name, alias or pattern."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

import msgspec

from pointsman.errors import InvalidRequest, ModelNotFound
from pointsman.providers.base import Deployment
from pointsman.routing.budgets import ExtraAttempts
from pointsman.routing.concurrency import AdaptiveLimit
from pointsman.routing.cooldown import Health, Rules
from pointsman.routing.failures import FINAL
from pointsman.routing.hedging import Hedges
from pointsman.routing.members import SEVERAL_UNANSWERED, SHORTEST_SILENCE, Member, Terms
from pointsman.routing.registry import ENFORCES_RATES, HEEDS_LATENCY, STRATEGIES
from pointsman.routing.settings import FailureKind, RoutingSettings
from pointsman.wire.knobs import ROUTELLM, NamedKnob, knob_in
from pointsman.wire.operations import Operation

ANY = "*"


class Group:
    """Deployments that are interchangeable for the caller, and how their traffic is shared."""

    __slots__ = (
        "_has_others",
        "_preferred",
        "_retry_policy",
        "budget",
        "deployments",
        "enforces_rates",
        "generation",
        "hedges",
        "hedging",
        "is_routed",
        "members",
        "name",
        "num_retries",
        "prefix",
        "retry_after",
        "retry_share",
        "strategy",
        "suffix",
    )

    def __init__(
        self,
        name: str,
        members: Sequence[Member],
        settings: RoutingSettings,
        before: Group | None = None,
        generation: int = 0,
    ) -> None:
        """``before`` is the group of this name in the settings before these, ``generation`` their number."""
        self.name = name
        self.members = tuple(members)
        is_same = before is not None and before.members == self.members
        self.generation: int = before.generation if before is not None and is_same else generation
        """Another one where its deployments are others."""
        self.deployments = tuple(member.deployment for member in members)
        self.is_routed = name in settings.routed
        """Whether the model is chosen for each prompt; such a group may have no deployment of its own."""
        self.prefix, _, self.suffix = name.partition("*")
        strategy = settings.group_strategies.get(name, settings.strategy)
        self.strategy = STRATEGIES[strategy]
        self.enforces_rates = settings.enforces_rates or strategy in ENFORCES_RATES
        self._retry_policy = settings.group_retry_policies.get(name, settings.retry_policy)
        own = [d.num_retries for d in self.deployments if d.num_retries is not None]
        default = settings.default_retries.get(name, settings.default_retries.get("", settings.num_retries))
        self.num_retries = max(own) if own else default
        self.retry_after = settings.retry_after
        self.retry_share = settings.retry_share
        self.budget = ExtraAttempts(settings.retry_share)
        self.hedging = settings.hedging.get(name, settings.hedging.get(ANY))
        self.hedges = None if self.hedging is None or len(members) < 2 else Hedges(self.hedging)
        if before is not None:
            self._go_on(before)
        first = min((d.order for d in self.deployments), default=1)
        self._has_others = len(members) > 1
        self._preferred = [member for member in members if member.deployment.order == first]

    def _go_on(self, before: Group) -> None:
        """Remember what the group before has seen, as far as that was under the same settings."""
        if before.retry_share == self.retry_share:
            self.budget = before.budget
        if before.hedging == self.hedging and self.hedges is not None and before.hedges is not None:
            self.hedges = before.hedges

    def calm(self, now: float) -> Sequence[Member]:
        """The deployments to choose from in the usual case: those that go first are well, and nothing limits them."""
        for member in self._preferred:
            # Spelled out: each request asks this of each deployment.
            if not (member.is_plain and member.health.is_calm and member.credential.is_calm):
                return ()
            if (
                self._has_others
                and member.unanswered >= SEVERAL_UNANSWERED
                and now - member.silent_since > SHORTEST_SILENCE
                and member.is_silent(now)
            ):
                return ()
        return self._preferred

    def retries_after(self, kind: FailureKind) -> int:
        """Further attempts in this group after a failure of ``kind``."""
        return self._retry_policy.get(kind, 0 if kind in FINAL else self.num_retries)

    def capture(self, model: str) -> str | None:
        """What ``*`` of the pattern stands for in ``model``, or ``None`` where it does not match."""
        return captured(self.prefix, self.suffix, model)


def captured(prefix: str, suffix: str, model: str) -> str | None:
    """What stands between ``prefix`` and ``suffix`` in ``model``; ``None`` where it does not match or nothing does."""
    if len(model) >= len(prefix) + len(suffix) and model.startswith(prefix) and model.endswith(suffix):
        return model[len(prefix) : len(model) - len(suffix) or None]
    return None


class Match(msgspec.Struct, frozen=True):
    """A model name that was understood."""

    group: Group
    captured: str | None
    """What the ``*`` of a wildcard group stands for."""
    knob: NamedKnob | None = None
    """What stands behind the name of a routed model, or of what an alias of it stands for."""


class Groups:
    """Every public name of a snapshot. The most specific answer wins: name, alias, deployment id, longest pattern.

    Out of the groups ``before`` it takes the members whose deployments have stayed the same, with all that they are
    doing and all that is known of them. Until :meth:`take_effect` those go by the settings before.
    """

    def __init__(
        self, deployments: Iterable[Deployment], settings: RoutingSettings, before: Groups | None = None
    ) -> None:
        self.generation: int = 0 if before is None else before.generation + 1
        self.credentials: dict[Hashable, Health] = {}
        self._changes: list[tuple[Member, Terms]] = []
        self._ruled: list[tuple[Health, Rules]] = []
        by_name: dict[str, list[Member]] = {}
        self.by_id: dict[str, Group] = {}
        for member in self._make_members(tuple(deployments), settings, before):
            name = member.deployment.model_name
            by_name.setdefault(name, []).append(member)
            old = None if before is None else before.by_id.get(member.deployment.id)
            self.by_id[member.deployment.id] = only = Group(name, [member], settings, old, self.generation)
            only.is_routed = False
        known = {} if before is None else before.by_name
        groups = {
            name: Group(name, _online(members), settings, known.get(name), self.generation)
            for name, members in by_name.items()
        }
        groups |= {name: Group(name, (), settings) for name in settings.routed if name not in groups}
        self._settings = settings
        self.max_fallbacks = settings.max_fallbacks
        self.members = {name: only.members[0] for name, only in self.by_id.items()}
        """By deployment id."""
        self.by_name: dict[str, Group] = groups
        self._known: dict[str, Match] = {}
        self._patterns = sorted(
            (g for g in groups.values() if "*" in g.name),
            key=lambda g: len(g.prefix) + len(g.suffix),
            reverse=True,
        )

    def __iter__(self) -> Iterator[Group]:
        return iter(self.by_name.values())

    def take_effect(self) -> list[Member]:
        """Let members that were there before go by these settings; gives those for which something has changed."""
        changes, self._changes = self._changes, []
        for member, terms in changes:
            member.adjust(terms)
        for health, rules in self._ruled:
            health.rules = rules
        self._ruled = []
        return [member for member, _ in changes]

    def _make_members(
        self, deployments: Sequence[Deployment], settings: RoutingSettings, before: Groups | None
    ) -> Iterator[Member]:
        rests: dict[Hashable, float] = {}
        for deployment in deployments:
            key = _credential(deployment)
            rests[key] = max(rests.get(key, 0.0), _rest(deployment, settings))
        # Of those that share a credential, the one that wants the longest rest has its way.
        there = {} if before is None else before.credentials
        for key, rest in rests.items():
            self.credentials[key] = self._health(there.get(key), _rules(rest, settings))
        for deployment in deployments:
            old = None if before is None else before.members.get(deployment.id)
            rules, terms = _rules(_rest(deployment, settings), settings), _terms(deployment, settings)
            if old is not None and old.deployment == deployment:
                self._health(old.health, rules)
                if old.terms != terms:
                    self._changes.append((old, terms))
                yield old
            else:
                yield _member(deployment, Health(rules), self.credentials[_credential(deployment)], terms)

    def _health(self, before: Health | None, rules: Rules) -> Health:
        if before is None:
            return Health(rules)
        if before.rules != rules:
            self._ruled.append((before, rules))
        return before

    @property
    def names(self) -> list[str]:
        """Public names, visible aliases included, patterns as they are written."""
        aliases = [name for name, alias in self._settings.aliases.items() if not alias.is_hidden]
        return list(dict.fromkeys([*self.by_name, *aliases]))

    def fallbacks(self, model: str, group: str) -> tuple[str, ...]:
        """Names to go on with when ``group``, which was asked for as ``model``, has failed."""
        return _find(self._settings.fallbacks, model, group) or self._settings.default_fallbacks

    def context_window_fallbacks(self, model: str, group: str) -> tuple[str, ...]:
        """The same for a prompt that was too long."""
        return _find(self._settings.context_window_fallbacks, model, group)

    def content_policy_fallbacks(self, model: str, group: str) -> tuple[str, ...]:
        """The same for contents that were refused."""
        return _find(self._settings.content_policy_fallbacks, model, group)

    def match(self, model: str) -> Match:
        """The group that answers to ``model``.

        :raises ModelNotFound: no name, alias or pattern fits
        """
        known = self._known.get(model)
        if known is not None:
            return known
        if (group := self.by_name.get(model)) is not None and "*" not in model:
            # Only what is configured comes here, so this is as bounded as the configuration.
            return self._known.setdefault(model, Match(group, None))
        alias = self._settings.aliases.get(model)
        if alias is not None and (found := self._without_alias(alias.model)) is not None:
            return self._known.setdefault(model, found)
        if (found := self._without_alias(model)) is not None:
            return found
        name, colon, _ = model.rpartition(":")
        if colon and name in self._settings.routed:
            what = f"The model {model[:200]!r} does not exist: what can stand behind {name!r} is cheap, best or 0 to 1"
            raise ModelNotFound(what, param="model")
        raise ModelNotFound(
            f"The model {model[:200]!r} does not exist or you do not have access to it; "
            "GET /v1/models lists what can be used",
            param="model",
        )

    def leads_to(self, model: str, name: str) -> bool:
        """Whether a request to ``model`` is one to the group called ``name``, or that is its own name."""
        if model == name:
            return True
        try:
            return self.match(model).group.name == name
        except ModelNotFound:
            return False

    def _without_alias(self, model: str) -> Match | None:
        if "*" in model:
            # A pattern is not a model: what it stands for would be missing.
            return None
        group = self.by_name.get(model) or self.by_id.get(model)
        if group is not None and "*" not in group.name:
            return Match(group, None)
        if self._settings.routed and (routed := self._with_knob(model)) is not None:
            return routed
        for pattern in self._patterns:
            captured = pattern.capture(model)
            if captured:
                return Match(pattern, captured)
        return None

    def _with_knob(self, model: str) -> Match | None:
        """A routed model, or an alias of one, with a setting behind its name: ``auto:cheap``, ``router-mf-0.116``."""
        knob = knob_in(model)
        if knob is None:
            return None
        name = knob.name
        group = self.by_name.get(name)
        if group is None and (alias := self._settings.aliases.get(name)) is not None:
            # The alias may hold a knob itself; the caller's goes before that.
            inner = knob_in(alias.model)
            group = self.by_name.get(alias.model) or (None if inner is None else self.by_name.get(inner.name))
        if group is None and name.startswith(ROUTELLM):
            # RouteLLM names a method; whoever has it, or the first.
            strategy = name.removeprefix(ROUTELLM)
            names = [one for one, routed in self._settings.routed.items() if not routed.is_within_group]
            fitting = [one for one in names if self._settings.routed[one].strategy == strategy] or names
            group = self.by_name[fitting[0]] if fitting else None
        return Match(group, None, knob) if group is not None and group.is_routed else None

    def for_operation(self, operation: Operation) -> Match:
        """The group that serves a request which names no model: the first whose ``mode`` fits.

        :raises InvalidRequest: none does
        """
        for group in self.by_name.values():
            if "*" not in group.name and any(d.mode == operation.mode for d in group.deployments):
                return Match(group, None)
        raise InvalidRequest(
            f"The request names no model and no deployment has mode {operation.mode!r}; "
            "name a model, or set model_info.mode of a deployment",
            param="model",
        )


def _find(table: Mapping[str, tuple[str, ...]], model: str, group: str) -> tuple[str, ...]:
    """LiteLLM's order: the name, the name without its provider, anything."""
    if not table:
        return ()
    for name in (model, group, model.partition("/")[2], ANY):
        if name in table:
            return table[name]
    return ()


def _online(members: list[Member]) -> list[Member]:
    """Those that requests can be sent to, unless there are none: what Azure runs batches with answers no others."""
    deployments = ((one, one.deployment) for one in members)
    return [one for one, it in deployments if not (it.runs_batches and it.vendor.cloud == "azure")] or members


def _member(deployment: Deployment, health: Health, credential: Health, terms: Terms) -> Member:
    return Member(
        deployment,
        health,
        credential,
        limit=terms.limit,
        adaptive=AdaptiveLimit() if terms.is_adaptive else None,
        has_rates=terms.has_rates,
        has_latency=terms.has_latency,
    )


def _terms(deployment: Deployment, settings: RoutingSettings) -> Terms:
    strategy = settings.group_strategies.get(deployment.model_name, settings.strategy)
    return Terms(
        limit=deployment.max_parallel_requests or settings.max_parallel_requests,
        is_adaptive=settings.is_adaptive,
        has_rates=strategy in ENFORCES_RATES,
        has_latency=strategy in HEEDS_LATENCY,
    )


def _credential(deployment: Deployment) -> Hashable:
    key = None if deployment.credential is None else deployment.credential.reveal()
    return deployment.vendor.name, deployment.base_url, key or deployment.identity or deployment.id


def _rest(deployment: Deployment, settings: RoutingSettings) -> float:
    return settings.cooldown_time if deployment.cooldown_time is None else deployment.cooldown_time


def _rules(rest: float, settings: RoutingSettings) -> Rules:
    return Rules(
        is_on=settings.has_cooldowns and rest > 0,
        rest=rest,
        allowed_fails=settings.allowed_fails,
        allowed_fails_policy=settings.allowed_fails_policy,
    )
