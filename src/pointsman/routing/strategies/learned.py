"""Learned strategies: which candidate of a routed model a prompt goes to.

A :class:`Lineup` is what the configuration has to choose from, with what it declares of each; a :class:`Chooser` is
that lineup seen by what was learnt. Candidates that a checkpoint does not know take part as the last resort: nothing
is expected of them, so they are chosen only where nobody else can take the request.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from pointsman.ml.base import Estimator, Features, Scores, Table
from pointsman.ml.calibration import HeldOut, ShareCurve, without_doubt
from pointsman.ml.checkpoint import About
from pointsman.ml.decision import Candidates, Mask, Prospect, Setting, setting_of
from pointsman.ml.embedders.hashed import Hashed
from pointsman.ml.estimators.size import Largest, Smallest, size_of
from pointsman.ml.features import Featurizer
from pointsman.ml.knobs import Frontier, Wish
from pointsman.ml.learned import ONLY_QUALITY, Learned
from pointsman.ml.prior import NAME as PRIOR
from pointsman.ml.prior import Card, prior, untrained
from pointsman.ml.registry import CUSTOM
from pointsman.providers.base import Price
from pointsman.routing.candidates import Facts, fitting
from pointsman.routing.members import SEVERAL_UNANSWERED, Member
from pointsman.routing.strategies.pricing import USUAL_INPUT_TOKENS, USUAL_OUTPUT_TOKENS, factor_of, group_price
from pointsman.wire.needs import Needs

log = logging.getLogger(__name__)

UNKNOWN_COST_USD = 1.0
LEAST_CACHED_TOKENS = 1024
"""Shorter prompts are cached by no provider."""
MAX_SETTINGS = 256
"""Different wishes whose prices are kept."""
SIZES = {estimator.NAME: estimator for estimator in (Smallest, Largest)}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that a prompt can go to."""

    name: str
    """A public name; within a group what the upstream calls the model."""
    members: Sequence[Member]
    names: frozenset[str]
    """By which tables and checkpoints may know it."""
    card: Card
    price: Price
    heeds_rates: bool = False
    lacks: frozenset[str] = frozenset()
    """What one of its deployments is known not to take."""
    window: float = math.inf
    """Tokens that a prompt can have with every deployment."""

    @property
    def saved_usd_per_token(self) -> float:
        """What a token of a prompt costs less when its provider has cached it."""
        full, cached = self.price.input_usd_per_token, self.price.cached_input_usd_per_token
        return 0.0 if full is None or cached is None else max(0.0, float(full - cached))

    @property
    def is_called_so_upstream(self) -> bool:
        """Whether its public name is also what an upstream calls it."""
        return any(name.endswith(f"/{self.name}") for name in self.names)

    @property
    def usual_cost_usd(self) -> float:
        """Of a request of usual length; NaN where no price is known."""
        return _cost_of(self.card)

    @property
    def has_price(self) -> bool:
        """Whether it is known what its tokens cost."""
        return self.card.input_usd_per_million is not None or self.card.output_usd_per_million is not None

    @property
    def seconds(self) -> float:
        """Within which its answers usually begin; 0 where that is not known."""
        known = [member.usual for member in self.members if member.usual]
        return min(known, default=0.0)

    def can_take(self, facts: Facts, dropped: dict[str, str]) -> bool:
        """Whether one of its deployments can take a request at all; ``dropped`` gets a reason by id for the others."""
        needs = facts.needs
        if not facts.are_of_place and (needs is None or _takes_all(needs, self.lacks, self.window)):
            return True
        return bool(fitting(self.members, facts, dropped))

    def can_answer(self, now: float) -> bool:
        """Whether one of its deployments is well and has something left of its rate."""
        first = self.members[0]
        if first.is_calm and first.unanswered < SEVERAL_UNANSWERED:
            return True
        return any(
            m.admits(now) and not m.is_silent(now) and not (self.heeds_rates and m.is_spent(now)) for m in self.members
        )


def _takes_all(needs: Needs, lacks: frozenset[str], window: float) -> bool:
    """Whether deployments that together lack this much take what a request needs, as far as that is known."""
    is_taken = not lacks or not (
        (needs.tools and "tools" in lacks) or (needs.images and "images" in lacks) or (needs.json and "json" in lacks)
    )
    return is_taken and needs.tokens <= window


def candidate_of(
    name: str,
    members: Sequence[Member],
    captured: str | None,
    declared: Iterable[Card],
    price_of: Callable[[Member], Price],
    *,
    heeds_rates: bool = False,
    is_shared: bool = True,
) -> Candidate:
    """A candidate with what its deployments say and, before that, what is ``declared`` of it by any of its names.

    ``is_shared``: whether weights say who of them gets a request, and nothing else.
    """
    deployments = [member.deployment for member in members]
    upstream = {(one.vendor.name, one.upstream_model.replace("*", captured or "*")) for one in deployments}
    bases = {str(base) for one in deployments if (base := one.info.get("base_model"))}
    names = frozenset({name, *bases, *(model for _, model in upstream), *map("/".join, upstream)})
    said = next((card for card in declared if card.name in names), Card(name=name))
    price = group_price(members, price_of, is_shared=is_shared)
    windows = [one.max_input_tokens for one in deployments if one.max_input_tokens is not None]
    into, out = _dollars(price)
    size = said.size_billions or next((size for one in sorted(names) if (size := size_of(one))), None)
    card = replace(
        said,
        name=name,
        size_billions=size,
        input_usd_per_million=into if said.input_usd_per_million is None else said.input_usd_per_million,
        output_usd_per_million=out if said.output_usd_per_million is None else said.output_usd_per_million,
        context_window=said.context_window or min(windows, default=None),
        description=said.description or max(str(one.info.get("description", "")) for one in deployments),
    )
    return Candidate(
        name=name,
        members=members,
        names=names,
        card=card,
        price=price,
        heeds_rates=heeds_rates,
        lacks=frozenset().union(*(one.lacks for one in deployments)),
        window=min(windows, default=math.inf),
    )


def _dollars(price: Price) -> tuple[float | None, float | None]:
    """Of a million tokens, in and out."""
    each = (price.input_usd_per_token, price.output_usd_per_token)
    into, out = (None if one is None else float(one) * 1e6 for one in each)
    return into, out


class Lineup:
    """The candidates of one routed model, in the order of the configuration."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        """:raises ValueError: there is none"""
        if not candidates:
            raise ValueError("it has no candidates")
        self.candidates = tuple(candidates)
        self.names = tuple(one.name for one in candidates)
        self.places = {name: place for place, name in enumerate(self.names)}
        self.by_deployment = {m.deployment.id: one.name for one in candidates for m in one.members}
        """Names of candidates by the ids of their deployments."""
        self._lacks = frozenset().union(*(one.lacks for one in candidates))
        self._window = min(one.window for one in candidates)

    def __len__(self) -> int:
        return len(self.candidates)

    def known_as(self, names: Collection[str]) -> dict[int, str]:
        """By place, which of the ``names`` of a table or a checkpoint is a candidate's.

        A public name goes before an upstream's: it is no other candidate's, unless that has the same upstream.
        """
        known: dict[int, str] = {}
        for place, one in enumerate(self.candidates):
            if one.name in names:
                known[place] = one.name
                continue
            shared = sorted(name for name in one.names if name in names and self._is_shared(name))
            if shared:
                known[place] = shared[0]
        return known

    def _is_shared(self, name: str) -> bool:
        """Whether more than the candidate with this public name, if there is one, can be known by it."""
        place = self.places.get(name)
        return place is None or self.candidates[place].is_called_so_upstream

    def cold(self, strategy: str, custom: type[Estimator] | None = None) -> Learned:
        """What to go by without a checkpoint: declared sizes for those that go by size, else the prior.

        ``custom`` is an estimator of the operator's own, which says by itself what it expects.

        :raises ValueError: what that says cannot be decided by
        """
        cards = [one.card for one in self.candidates]
        if custom is not None:
            return untrained(custom, cards)
        return sized(strategy, cards) if strategy in SIZES else prior(cards)

    def open_for(self, facts: Facts, now: float, dropped: dict[str, str]) -> tuple[Mask, Mask]:
        """Which can take a request at all, and which of these can answer now; ``dropped`` gets a reason for others."""
        fits, well = np.ones(len(self), np.bool_), np.ones(len(self), np.bool_)
        needs = facts.needs
        all_fit = not facts.are_of_place and (needs is None or _takes_all(needs, self._lacks, self._window))
        for place, candidate in enumerate(self.candidates):
            lacking: dict[str, str] = {}
            if not all_fit and not candidate.can_take(facts, lacking):
                fits[place] = well[place] = False
                dropped[candidate.name] = ", ".join(sorted(set(lacking.values())))
            elif not candidate.can_answer(now):
                well[place] = False
                dropped[candidate.name] = "resting"
        return fits, well


def sized(strategy: str, cards: Sequence[Card]) -> Learned:
    """The smallest first, or the largest, by declared sizes and prices."""
    nothing = np.full((1, len(cards)), np.nan, np.float32)
    costs = [_cost_of(card) for card in cards]
    table = Table(
        prompts=[""],
        models=tuple(card.name for card in cards),
        quality=nothing,
        cost_usd=np.array([costs], np.float32),
    )
    sizes = {card.name: f"{card.size_billions:g}b" for card in cards if card.size_billions}
    blind = Featurizer(Hashed(np.empty(0, np.uint32), np.empty((0, 0), np.int8), np.empty(0, np.float32)))
    scorer = SIZES[strategy](sizes=sizes).fit(blind.features([""]), table)
    scores = scorer.score(blind.features([""]))
    return Learned(
        strategy=strategy,
        version="declared",
        candidates=Candidates(table.models, scores.quality[0], scores.cost_usd[0]),
        frontier=ONLY_QUALITY,
        policy=Setting(doubt=0.0),
        about=None,
        featurizer=blind,
        scorer=scorer,
        held_out=HeldOut(scores, scores.quality, scores.cost_usd),
    )


def _cost_of(card: Card) -> float:
    into, out = card.input_usd_per_million, card.output_usd_per_million
    if into is None and out is None:
        return math.nan
    return ((into or 0.0) * USUAL_INPUT_TOKENS + (out or 0.0) * USUAL_OUTPUT_TOKENS) / 1e6


class Chooser:
    """What was learnt, for one lineup. Arrays are (m,) in the order of the lineup."""

    def __init__(self, learned: Learned, lineup: Lineup, *, is_stand_in: bool = False) -> None:
        """:raises ValueError: it knows none of the candidates"""
        known = lineup.known_as(learned.candidates.names)
        self.lineup = lineup
        self.unused = tuple(sorted(set(learned.candidates.names) - set(known.values())))
        """Models of the checkpoint that the configuration does not have."""
        self.unknown = tuple(one.name for place, one in enumerate(lineup.candidates) if place not in known)
        """Candidates of which nothing is expected."""
        names = [known.get(place, f"?{place}") for place in range(len(lineup))]
        factors = _factors(learned.about, lineup, known)
        self.as_trained = tuple(name for name, factor in zip(lineup.names, factors, strict=True) if factor is None)
        """Candidates whose costs are those of the training: what they come to at today's prices cannot be told."""
        self.costs_unknown = _without_cost(learned, lineup, known)
        """Candidates of which nothing says what they cost; what is reckoned with is none that anybody should see."""
        self.learned = learned.narrowed(names, [1.0 if one is None else one for one in factors], lineup.names)
        self.version = learned.version
        self.strategy = learned.strategy
        self.frontier: Frontier = self.learned.frontier
        self.candidates = self._candidates(known)
        self.is_stand_in = is_stand_in
        self.local = None if learned.local is None else Chooser(learned.local, lineup, is_stand_in=True)
        """Who stands in for it when vectors do not arrive."""
        self._last = [lineup.places[name] for name in sorted(self.unknown, key=self._by_price)]
        self.failures = 0
        """How often an estimator of the operator's own has given nothing that can be decided by."""
        self._settings: dict[Wish, Setting] = {}
        self._shares = ShareCurve.of(self.learned.held_out, self.learned.known, self.learned.policy)

    @property
    def label(self) -> str:
        """``knn@0123456789ab``, or ``prior``."""
        return self.strategy if self.learned.about is None else f"{self.strategy}@{self.version[:12]}"

    def setting(self, wish: Wish) -> Setting:
        """What a wish comes to here."""
        found = self._settings.get(wish)
        if found is None:
            if len(self._settings) >= MAX_SETTINGS:
                self._settings.clear()
            found = self._settings[wish] = setting_of(wish, self.frontier, self.learned.policy)
        return found

    def with_share(self, setting: Setting, share: float, strong: Sequence[str]) -> Setting:
        """The same at the price at which ``share`` of the prompts go to the ``strong`` ones, or to the best one."""
        return without_doubt(msgspec.structs.replace(setting, price=self.price_of_share(share, strong)))

    def price_of_share(self, share: float, strong: Sequence[str]) -> float:
        """What a dollar has to buy for ``share`` of the prompts to go to the ``strong`` ones, or to the best one."""
        return self._shares.price(share, [name for name in strong if name in self.lineup.places] or [self.best])

    @property
    def baseline(self) -> int:
        """The place of the best single one."""
        return self.candidates.baseline(0.0, self.candidates.all)

    @property
    def best(self) -> str:
        """The name of the best single one."""
        return self.lineup.names[self.baseline]

    def score(self, features: Features) -> Scores:
        """What to expect of each; NaN of those that are not known, and of all where an operator's own estimator fails.

        Then the best single one is chosen.
        """
        if self.strategy != CUSTOM:
            return self.learned.score(features)
        known = [name not in self.unknown for name in self.lineup.names]
        problem = "its scores are not numbers for each prompt and model"
        try:
            scores = self.learned.score(features)
            if _is_sound(scores, len(features), known):
                return scores
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever somebody's own estimator does ends here
            problem = repr(error)
        self.failures += 1
        if self.failures & (self.failures - 1) == 0:
            # At 1, 2, 4, 8 …: a warning for each request would be too many.
            log.warning("the estimator of one's own has failed %d times, last: %s", self.failures, problem)
        nothing = np.full((len(features), len(known)), np.nan, np.float32)
        return Scores(nothing, nothing, nothing)

    def prospect(self, scores: Scores, setting: Setting) -> Prospect:
        """The scores of one prompt, at today's prices, and how long each takes where that matters."""
        seconds = [one.seconds for one in self.lineup.candidates] if setting.impatience else None
        return Prospect.of(scores, 0, self.candidates, seconds)

    def order(self, order: Sequence[str], fits: Mask) -> tuple[str, ...]:
        """All that can take the request: ``order`` first, then those that rest, and those not known last."""
        if not self.unknown and len(order) == len(self.lineup):
            return tuple(order)
        ranked = [name for name in order if name not in self.unknown] or list(order)
        known = [place for place in range(len(self.lineup)) if self.lineup.names[place] not in self.unknown]
        rest = [self.lineup.names[place] for place in (*known, *self._last) if fits[place]]
        return tuple(dict.fromkeys([*ranked, *rest]))

    def within(self, order: tuple[str, ...], prospect: Prospect, max_cost_usd: float) -> tuple[str, ...]:
        """The first of the ``order``, and those after it that cost little enough; all where none does."""
        cost = np.where(np.isnan(prospect.cost_usd), self.candidates.cost_usd, prospect.cost_usd)
        kept = [name for name in order if cost[self.lineup.places[name]] <= max_cost_usd]
        return tuple(dict.fromkeys([order[0], *kept])) if kept else order

    def _candidates(self, known: Mapping[int, str]) -> Candidates:
        narrowed, lineup = self.learned.candidates, self.lineup
        factor = narrowed.price_factor
        cost = narrowed.trained_cost_usd.copy()
        quality = narrowed.quality.copy()
        for place, candidate in enumerate(lineup.candidates):
            if place not in known:
                usual = candidate.usual_cost_usd
                cost[place] = UNKNOWN_COST_USD if math.isnan(usual) else usual
                quality[place] = 0.0
        return Candidates(lineup.names, quality, cost, factor)

    def _by_price(self, name: str) -> tuple[float, str]:
        cost = self.lineup.candidates[self.lineup.places[name]].usual_cost_usd
        return (math.inf if math.isnan(cost) else cost, name)


def _is_sound(scores: Scores, count: int, known: Sequence[bool]) -> bool:
    """Whether there is a number for each prompt and each model that is known."""
    values = (scores.quality, scores.variance, scores.cost_usd)
    return all(one.shape == (count, len(known)) and bool(np.isfinite(one[:, known]).all()) for one in values)


def _without_cost(learned: Learned, lineup: Lineup, known: Mapping[int, str]) -> frozenset[str]:
    about, unpriced = learned.about, set()
    trained = {} if about is None else {model.name: model.cost_usd for model in about.models}
    # An estimator of the operator's own says itself what it knows.
    is_guessed = about is None and learned.strategy in (PRIOR, *SIZES)
    for place, candidate in enumerate(lineup.candidates):
        if about is not None and place in known:
            is_unpriced = trained.get(known[place]) is None
        else:
            is_declared = candidate.card.cost_usd is not None or not math.isnan(candidate.usual_cost_usd)
            is_unpriced = not is_declared and (is_guessed or place not in known)
        if is_unpriced:
            unpriced.add(candidate.name)
    return frozenset(unpriced)


def _factors(about: About | None, lineup: Lineup, known: Mapping[int, str]) -> list[float | None]:
    """How much more each costs today than when the checkpoint was made; ``None``: that cannot be told."""
    if about is None:
        return [1.0] * len(lineup)
    then = {model.name: model for model in about.models}
    cards = [candidate.card for candidate in lineup.candidates]
    return [
        factor_of(then[known[place]], about.features, card.input_usd_per_million, card.output_usd_per_million)
        if place in known
        else 1.0
        for place, card in enumerate(cards)
    ]
