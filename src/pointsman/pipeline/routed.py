"""Routed models: public names behind which the model is chosen for each prompt.

For each request: hard filters (what a candidate cannot take, who rests), features of the prompt, what is expected of
each candidate, the decision, and then the usual attempts, with the other candidates as fallbacks in the order of the
decision. What came of it goes back to the session, to targets and to whoever learns.

This module needs numpy: it is imported only where there is a routed model.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np

from pointsman.errors import InvalidRequest
from pointsman.ml.base import Features, Floats, Scores
from pointsman.ml.calibration import without_doubt
from pointsman.ml.decision import Mask, Reason, Session, Setting, conclude, rank, stay
from pointsman.ml.explanation import Explanation, explain
from pointsman.ml.knobs import Wish
from pointsman.ml.targets import Target, dollars, share_of_calls
from pointsman.pipeline.advisers import Embedding, Evidence, Kept, Learning, Records
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.chosen import Chosen, lines_of
from pointsman.pipeline.errand import Ended
from pointsman.pipeline.question import Question
from pointsman.routing.candidates import ELSEWHERE, TOO_LONG, Facts
from pointsman.routing.groups import Groups, Match
from pointsman.routing.plan import Wish as PlanWish
from pointsman.routing.regions import not_there
from pointsman.routing.sessions import Sessions, ToolCalls
from pointsman.routing.settings import RoutedSettings
from pointsman.routing.strategies.learned import LEAST_CACHED_TOKENS, Chooser, Lineup
from pointsman.telemetry.meters import RoutingMeter
from pointsman.wire.callids import MAX_IDS, call_ids
from pointsman.wire.finish import problem_of
from pointsman.wire.knobs import Knobs, knob_in
from pointsman.wire.wishes import Fallback

log = logging.getLogger(__name__)

SAYS_NOTHING = Knobs()
TIGHT: frozenset[Reason] = frozenset({"gain", "baseline"})
"""Reasons that leave room for trying another candidate."""
GoOn: TypeAlias = Callable[[str | None, bytes | None], Awaitable[None]]
"""Go on with the usual attempts, at this candidate (``None``: as is decided) and with this body in the caller's dialect
(``None``: its own)."""


class Procedure(Protocol):
    """A strategy that asks models on the way."""

    @property
    def knobs(self) -> frozenset[str]:
        """What of a request's wishes it heeds."""

    @property
    def names(self) -> tuple[str, ...]:
        """Whom it may ask who need not be candidates."""

    def first(self, question: Question, routed: RoutedModel, chosen: Chosen) -> list[dict[str, str]]:
        """Whom it asks first for what; nobody where the request is answered in one shot."""

    async def serve(self, question: Question, routed: RoutedModel, go_on: GoOn) -> None:
        """Answer ``question`` downstream, or end in ``go_on``.

        :raises GatewayError: as long as nothing was sent, the caller renders it
        """


class RoutedModel:
    """One public name, and how the model behind it is chosen."""

    def __init__(
        self,
        settings: RoutedSettings,
        lineup: Lineup,
        kept: Kept,
        groups: Groups,
        *,
        meter: RoutingMeter,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.lineup = lineup
        self.kept = kept
        self.sessions = Sessions()
        self.tools = ToolCalls()
        self.meter = meter
        self.procedure: Procedure | None = None
        self.learning: Learning | None = None
        self.records: Records | None = None
        self.embedding: Embedding | None = None
        self.evidence: Evidence | None = None
        self._groups = groups
        self._clock = clock
        self._chance = chance
        self.usual = Wish(quality=settings.quality, max_cost_usd=settings.max_cost, min_quality=settings.min_quality)
        """Of requests that do not say themselves."""
        self.target = self._new_target()

    def go_on(self, before: RoutedModel) -> None:
        """Remember the sessions of the model of this name in the settings before these, and how its targets stand."""
        self.sessions, self.tools = before.sessions, before.tools
        if self.settings == before.settings and self.kept is before.kept:
            self.target = before.target

    # -- deciding -------------------------------------------------------------------------------------------------

    async def choose(self, question: Question, candidate: str | None = None) -> Chosen:
        """Decide where ``question`` goes, note it, and put the reply headers that tell of it into the call.

        A procedure may have decided that already, for one ``candidate``.

        :raises InvalidRequest: no candidate can ever take it
        """
        began = self._clock()
        chooser, features = await self._seen(self.kept.current, question)
        chosen = self._decide(chooser, features, question, may_try=candidate is None)
        if candidate is not None and candidate in chosen.order:
            chosen = self.instead(chosen, candidate)
        other = None if self.learning is None or candidate is not None else self.learning.candidate
        if self.learning is not None and other is not None and not chooser.is_stand_in:
            # The checkpoint on trial has its own features: it may have been trained with other texts.
            trial = self._decide(*await self._seen(other, question), question, may_try=True)
            is_trial = self.learning.picks_candidate(self._chance())
            chosen = self.learning.mixed(chosen, trial, is_trial=is_trial)
        self._note(chosen)
        self.meter.observe(chosen.model, chosen.reason, self._clock() - began, chosen.decision.cost_usd)
        return chosen

    def instead(self, chosen: Chosen, model: str) -> Chosen:
        """The same for another model, one that a procedure has named."""
        place = self.lineup.places.get(model)
        if place is None or model == chosen.model:
            return chosen
        prospect = chosen.chooser.prospect(chosen.scores, chosen.setting)
        means = chosen.chooser.candidates
        quality, cost = float(prospect.quality[place]), float(prospect.cost_usd[place])
        decision = msgspec.structs.replace(
            chosen.decision,
            model=model,
            quality=float(means.quality[place]) if np.isnan(quality) else quality,
            cost_usd=float(means.cost_usd[place]) if np.isnan(cost) else cost,
        )
        order = tuple(dict.fromkeys([model, *chosen.order]))
        return msgspec.structs.replace(
            chosen, decision=decision, order=order, propensity=1.0, chances=None, procedure=self.settings.strategy
        )

    async def look(self, question: Question) -> Chosen:
        """Decide where ``question`` would go, without trying anything or noting it anywhere.

        :raises InvalidRequest: no candidate can ever take it
        """
        return self._decide(*await self._seen(self.kept.current, question), question)

    async def explain(self, question: Question) -> tuple[Explanation, dict[str, str], Chooser]:
        """Decide without doing anything; with the reasons of candidates that cannot take it, and who has decided.

        :raises InvalidRequest: no candidate can ever take it
        """
        chooser, features = await self._seen(self.kept.current, question)
        scores = self._scores(chooser, features)
        dropped: dict[str, str] = {}
        _, is_open = self._open(question, dropped)
        setting, session = self._setting(chooser, question), self._session(question)
        prospect = chooser.prospect(scores, setting)
        told = explain(chooser.candidates, prospect, setting, chooser.frontier, is_open=is_open, session=session)
        return told, dropped, chooser

    def _decide(self, chooser: Chooser, features: Features, question: Question, *, may_try: bool = False) -> Chosen:
        fits, is_open = self._open(question, {})
        scores = self._scores(chooser, features)
        candidates, setting = chooser.candidates, self._setting(chooser, question)
        ranking = rank(candidates, chooser.prospect(scores, setting), setting, is_open)
        session = self._session(question)
        place, reason = stay(candidates, ranking, setting, session)
        first, chances = place, None
        is_free = may_try and session is None and reason in TIGHT
        if self.learning is not None and is_free and not chooser.is_stand_in:
            place, chances, other = self.learning.after(chooser, ranking, self._chance(), question.now)
            reason = other or reason
        decision = conclude(candidates, ranking, place, reason)
        order, most = chooser.order(decision.order, fits), setting.max_cost_usd
        return Chosen(
            routed=self.settings.name,
            decision=decision,
            order=order if most is None else chooser.within(order, ranking.prospect, most),
            chooser=chooser,
            features=features,
            scores=scores,
            first=candidates.names[first],
            propensity=1.0 if chances is None else float(chances[place]),
            setting=setting,
            question=question,
            chances=chances,
        )

    async def _seen(self, chooser: Chooser, question: Question) -> tuple[Chooser, Features]:
        """Numbers of the prompt, and who goes by them: the stand-in, where vectors do not arrive."""
        embedder, text, vector = chooser.learned.featurizer.embedder, question.text, None
        if not embedder.is_quick:
            vector = await self._vector(question)
            if vector is None and chooser.local is not None:
                chooser = chooser.local
            elif vector is None:
                vector = np.zeros((1, embedder.dimension), np.float32)
        features = chooser.learned.features([text], [question.user], vector)
        if self.evidence is not None:
            spend = question.call.spend
            # Whoever says where a prompt is answered does not want it sent elsewhere to be looked at.
            is_kept = question.is_quiet or bool(question.facts.regions)
            found = self.evidence.kept(text) if is_kept else await self.evidence.evidence(text, spend)
            if found is not None:
                features = replace(features, evidence=found)
            elif question.is_quiet:
                question.unknown.append("evidence")
        return chooser, features

    async def _vector(self, question: Question) -> Floats | None:
        if self.embedding is None:
            return None
        if not question.is_quiet and not (question.facts.regions and self.embedding.is_outside):
            return await self.embedding.of(question.text)
        vector = self.embedding.kept(question.text)
        if vector is None and question.is_quiet:
            question.unknown.append("embedding")
        return vector

    def _scores(self, chooser: Chooser, features: Features) -> Scores:
        scores = chooser.score(features)
        # What is learnt while serving is about other numbers than those that the stand-in sees.
        if self.learning is None or chooser.is_stand_in:
            return scores
        return self.learning.before(chooser, features, scores)

    def _open(self, question: Question, dropped: dict[str, str]) -> tuple[Mask, Mask]:
        fits, well = self.lineup.open_for(question.facts, question.now, dropped)
        if well.any():
            return fits, well
        if fits.any():
            # The last one is never given up: whoever rests is asked all the same.
            return fits, fits
        reasons = sorted({reason for reason in dropped.values() if reason})
        if any(ELSEWHERE in reason for reason in reasons):
            regions = (m.deployment.region for one in self.lineup.candidates for m in one.members)
            raise not_there(self.settings.name, question.facts.regions, regions)
        raise InvalidRequest(
            f"No candidate of the model {self.settings.name!r} can take this request ({', '.join(reasons)})",
            code="context_length_exceeded" if TOO_LONG in reasons else None,
            param="model",
        )

    def quality(self, question: Question) -> float | None:
        """How good the answer to ``question`` is to be, 0..1; ``None``: nothing is said of that."""
        named = question.match.knob
        asked = (question.knobs.quality, None if named is None else named.quality, self.usual.quality)
        return next((one for one in asked if one is not None), None)

    def _setting(self, chooser: Chooser, question: Question) -> Setting:
        knobs, named = question.knobs, question.match.knob
        is_free, wish = True, self.usual
        if knobs != SAYS_NOTHING or named is not None:
            asked = Wish(quality=knobs.quality, max_cost_usd=knobs.max_cost, min_quality=knobs.min_quality)
            if named is not None and named.quality is not None:
                asked = asked.over(Wish(quality=named.quality))
            is_free, wish = asked.quality is None and asked.min_quality is None, asked.over(self.usual)
        setting = chooser.setting(wish)
        if self.settings.impatience:
            setting = msgspec.structs.replace(setting, impatience=self.settings.impatience)
        if not is_free:
            return setting
        if named is not None and named.strong_share is not None:
            return chooser.with_share(setting, named.strong_share, self.settings.strong_models)
        if self.target is None:
            return setting
        setting = msgspec.structs.replace(setting, price=self.target.price)
        return setting if self.settings.target_share is None else without_doubt(setting)

    def _session(self, question: Question) -> Session | None:
        calls, tenant = question.prompt.calls, question.call.tenant
        caller = self.tools.find(tenant, calls, question.now) if calls else None
        if caller in self.lineup.places:
            # Other conversations may have begun alike: whose calls these are is sure.
            return Session(model=caller, is_tool_loop=True)
        if not question.is_continued:
            return None
        last = self.sessions.find(question.session, question.now)
        if last is None or last.model not in self.lineup.places:
            return None
        saved = self.lineup.candidates[self.lineup.places[last.model]].saved_usd_per_token
        is_cached = last.tokens >= LEAST_CACHED_TOKENS
        return Session(
            model=last.model,
            is_tool_loop=bool(calls),
            saved_usd=saved * last.tokens if is_cached else 0.0,
        )

    # -- what follows ---------------------------------------------------------------------------------------------

    def follow(self, chosen: Chosen) -> tuple[Match, str, Facts, PlanWish]:
        """How the attempts go: the first group, what the reply calls it, facts, and what goes on where it fails."""
        question, names, wish = chosen.question, chosen.order, chosen.question.want.wish
        # What others cost is not known, so where that has a limit they do not follow.
        is_limited = chosen.setting.max_cost_usd is not None
        further = () if is_limited else self._groups.fallbacks(question.model, self.settings.name)
        if self.settings.is_within_group:
            if is_limited and wish.fallbacks is None:
                wish = msgspec.structs.replace(wish, fallbacks=())
            members = ((place, m) for place, name in enumerate(names) for m in self._members(name))
            order = {member.deployment.id: place for place, member in members}
            facts = msgspec.structs.replace(question.facts, order=order)
            return question.match, self._public(question), facts, wish
        if wish.fallbacks is None:
            fallbacks = tuple(map(Fallback, dict.fromkeys([*names[1:], *further])))
            wish = msgspec.structs.replace(wish, fallbacks=fallbacks)
        return self._groups.match(names[0]), names[0], question.facts, wish

    def _members(self, name: str) -> Sequence[Any]:
        return self.lineup.candidates[self.lineup.places[name]].members

    def _public(self, question: Question) -> str:
        """What was asked for, without a knob behind it."""
        named = None if question.match.knob is None else knob_in(question.model)
        return question.model if named is None else named.name

    def _note(self, chosen: Chosen) -> None:
        question = chosen.question
        call = question.call
        call.routed = Outstanding(self, chosen)
        call.routed_lines = lines_of(chosen)
        self.sessions.keep(question.session, chosen.model, question.prompt.needs.tokens, question.now)
        if self.target is not None and self.settings.target_share is not None:
            self.target.observe(float(chosen.model in self._strong(chosen.chooser)))
        if self.records is not None:
            self.records.decided(question.request_id, chosen)

    def settle(self, chosen: Chosen, attempt: Attempt, problem: str = "", calls: Iterable[str] = ()) -> None:
        """The request has ended in ``attempt``, with calls of tools by their ids."""
        question = chosen.question
        is_answered = attempt.error is None and attempt.call.status == 200
        served = self.served_by(attempt) if is_answered else ""
        if served and served != chosen.model:
            self.sessions.keep(question.session, served, question.prompt.needs.tokens, question.now)
        if served and calls:
            self.tools.keep(question.call.tenant, calls, served, question.now)
        if self.target is not None and self.settings.target_cost is not None and attempt.cost is not None:
            self.target.observe(float(attempt.cost))
        if self.records is not None:
            self.records.settled(question.request_id, chosen, attempt, served, problem)

    def answered(self, chosen: Chosen, ended: Ended, seconds: float) -> None:
        """A procedure has ended by itself; ``seconds`` were taken to look at the candidates."""
        question, served = chosen.question, ended.served
        chosen = msgspec.structs.replace(self.instead(chosen, served), procedure=self.settings.strategy)
        if served:
            self.meter.observe(served, chosen.reason, seconds, 0.0)
            self.tools.keep(question.call.tenant, ended.calls, served, question.now)
            self.sessions.keep(question.session, served, question.prompt.needs.tokens, question.now)
        if self.target is not None and self.settings.target_share is not None and served:
            self.target.observe(float(served in self._strong(chosen.chooser)))
        if self.target is not None and self.settings.target_cost is not None and ended.cost_usd is not None:
            self.target.observe(ended.cost_usd)
        if self.records is not None:
            self.records.answered(question.request_id, chosen, ended)

    def served_by(self, attempt: Attempt) -> str:
        """The name of the candidate that an attempt has asked; what was no candidate is named as its group."""
        if self.settings.is_within_group:
            return self.lineup.by_deployment.get(attempt.member.deployment.id, attempt.upstream_model)
        return attempt.choice.public_model

    def _strong(self, chooser: Chooser) -> Sequence[str]:
        return self.settings.strong_models or (chooser.lineup.names[chooser.baseline],)

    def _new_target(self) -> Target | None:
        settings, chooser = self.settings, self.kept.current
        if settings.target_cost is not None:
            return dollars(settings.target_cost, chooser.frontier)
        if settings.target_share is None:
            return None
        price = chooser.price_of_share(settings.target_share, settings.strong_models)
        return share_of_calls(settings.target_share, price=price)

    @property
    def price(self) -> float:
        """What a dollar has to buy now, for requests that say nothing themselves."""
        return self.pricing()

    @property
    def pricing(self) -> Callable[[], float]:
        """Tells :attr:`price` to those that outlive this model: it does not refer to it."""
        return partial(_price, self.kept, self.usual, self.target)


class Outstanding:
    """A decision whose outcome is not known yet; the call holds it."""

    __slots__ = ("calls", "chosen", "problem", "routed")

    def __init__(self, routed: RoutedModel, chosen: Chosen) -> None:
        self.routed = routed
        self.chosen = chosen
        self.problem = ""
        """Why the answer is none that its reader can have wanted, if it says so itself."""
        self.calls: list[str] = []
        """Ids of the tool calls in it."""

    def lines(self, attempt: Attempt) -> bytes:
        """Reply header lines that tell of it; those of a procedure name the model that has answered."""
        lines = self.chosen.question.call.routed_lines
        if self.routed.procedure is None or (served := self.routed.served_by(attempt)) == self.chosen.model:
            return lines
        return lines_of(self.routed.instead(self.chosen, served), served)

    def saw(self, data: bytes) -> None:
        """``data`` of the answer goes downstream."""
        self.problem = problem_of(data) or self.problem
        if len(self.calls) < MAX_IDS:
            self.calls += call_ids(data)

    def settle(self, attempt: Attempt) -> None:
        """The call has ended in ``attempt``."""
        self.routed.settle(self.chosen, attempt, self.problem, self.calls)


def _price(kept: Kept, usual: Wish, target: Target | None) -> float:
    return kept.current.setting(usual).price if target is None else target.price
