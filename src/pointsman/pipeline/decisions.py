"""What was decided lately, and the way back from what came of it to whoever learns.

A decision is remembered for a day, or until so many others have followed it: the answer, its cost, signs of trouble and
ratings find it by the id of the request. Everything goes into the decision log too, if there is one.

Signs of trouble: the answer was refused or cut off, or none came; the same caller sends the same prompt again within a
minute; a tool that the answer called has failed. An answer without any for a minute counts as one without trouble.

Needs numpy: it is imported only where there is a routed model.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pointsman.errors import GatewayError, ResourceNotFound
from pointsman.ml import decisionlog as events
from pointsman.pipeline.attempt import Attempt
from pointsman.pipeline.chosen import Chosen
from pointsman.pipeline.decision_log import DecisionLog
from pointsman.pipeline.errand import Ended
from pointsman.pipeline.keeping import Store
from pointsman.pipeline.learning import Rating, RoutedLearning, Trying
from pointsman.pipeline.noted import Memory, Noted
from pointsman.pipeline.routed import RoutedModel
from pointsman.routing.failures import FINAL, is_upstreams, kind_of
from pointsman.routing.settings import FailureKind, LearningSettings
from pointsman.telemetry.routed import LearningCounts
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.chat import ToolResult

MAX_AGE = 86_400.0
SOON = 60.0
"""Seconds within which the same prompt again means that its answer was not liked."""
SAVE_EVERY = 300.0
MAX_TEXT = 2_000
UNKNOWN = "There is no decision of that request: it was not sent to a routed model, or is too long ago"

log = logging.getLogger(__name__)


class Decisions:
    """Of all routed models of one gateway. Not for several threads."""

    def __init__(
        self,
        learning: Mapping[str, RoutedLearning],
        now: Callable[[], float],
        decision_log: DecisionLog | None = None,
        store: Store | None = None,
        before: Decisions | None = None,
    ) -> None:
        """``now`` gives seconds since 1970; ``store`` is where all of ``learning`` keep what was learnt.

        What those ``before`` have noted is remembered together with ours.
        """
        self._learning = learning
        self._now = now
        self._log = decision_log
        self._store = store
        self.memory: Memory = Memory() if before is None else before.memory
        self._noted, self._asked = self.memory.noted, self.memory.asked
        self._sessions, self._open = self.memory.sessions, self.memory.open

    def __len__(self) -> int:
        return len(self._noted)

    @property
    def learning(self) -> Mapping[str, RoutedLearning]:
        """Of each routed model, by name."""
        return self._learning

    @property
    def store(self) -> Store | None:
        """Where what is learnt is kept."""
        return self._store

    @property
    def log(self) -> DecisionLog | None:
        """Where everything goes, too."""
        return self._log

    # -- from the pipeline ----------------------------------------------------------------------------------------

    def decided(self, request_id: str, chosen: Chosen, *, learns: bool = True) -> None:
        """A request goes somewhere; where nothing ``learns``, it is only noted."""
        now, question = self._now(), chosen.question
        self._age(now)
        learning = self._learning[chosen.routed]
        moment = learning.moment
        learning.see(chosen)
        # Learning is about what the checkpoint by itself has wrong.
        said = learning.said(chosen)
        costs = said.cost_usd[0] * chosen.chooser.candidates.price_factor
        noted = Noted(chosen, learning, said.quality[0], costs, now, moment)
        noted.learns = learns
        self._look_back(noted, question.session, chosen)
        there = self._noted.get(request_id)
        if there is not None and there.tenant != noted.tenant:
            # Callers may name their requests themselves: nobody takes another's name away.
            return
        self.memory.put(request_id, noted, question.session)
        settings = learning.settings
        if self._log is not None and settings.has_log:
            self._log.put(_event(request_id, chosen, now, learning, keeps_prompt=settings.keeps_prompts))

    def settled(self, request_id: str, chosen: Chosen, attempt: Attempt, served: str, problem: str) -> None:
        """A request has ended; ``served`` is the candidate that answered, ``problem`` what its answer says is wrong."""
        noted = self._noted.get(request_id)
        if noted is not None and not noted.is_of(chosen):
            # Another request that is called the same: nothing of this one is known any more.
            return
        call, usage = attempt.call, attempt.usage
        signals = [problem] if problem else [] if served or attempt.error is None else _signs(attempt.error)
        cost = None if attempt.cost is None else float(attempt.cost)
        if noted is not None:
            self._settle(request_id, noted, chosen, served, cost, is_troubled=bool(signals))
        self._put(
            self._learning[chosen.routed].settings,
            events.Settled(
                id=request_id,
                time=self._now(),
                status=call.status,
                served=served,
                cost_usd=cost,
                prompt_tokens=None if usage is None else usage.input_tokens,
                completion_tokens=None if usage is None else usage.output_tokens,
                seconds=round((attempt.answered or attempt.sent) - call.received, 4),
                signals=signals,
            ),
        )

    def answered(self, request_id: str, chosen: Chosen, ended: Ended) -> None:
        """A procedure has ended by itself. It can be rated, but nothing is learnt: several models had a part in it."""
        self.decided(request_id, chosen, learns=False)
        noted = self._noted.get(request_id)
        if noted is None or not noted.is_of(chosen):
            return
        noted.is_settled = bool(ended.served)
        noted.cost_usd = math.nan if ended.cost_usd is None else ended.cost_usd
        problem, usage = ended.problem, ended.usage
        self._put(
            self._learning[chosen.routed].settings,
            events.Settled(
                id=request_id,
                time=self._now(),
                status=ended.status,
                served=ended.served,
                cost_usd=ended.cost_usd,
                prompt_tokens=None if usage is None else usage.input_tokens,
                completion_tokens=None if usage is None else usage.output_tokens,
                seconds=round(ended.seconds, 4),
                signals=[problem] if problem else [] if ended.served or ended.error is None else _signs(ended.error),
            ),
        )

    # -- from callers ---------------------------------------------------------------------------------------------

    def feedback(self, request_id: str, score: float, text: str | None, tenant: str, *, is_master: bool) -> bool:
        """Rate the answer of a request from 0 to 1; gives whether it had been rated before, which is overwritten.

        :raises ResourceNotFound: it is not known, or was another caller's
        """
        noted = self._noted.get(request_id)
        if noted is None or not (is_master or noted.tenant == tenant):
            raise ResourceNotFound(UNKNOWN, param="request_id")
        was_rated = noted.score is not None
        learning = noted.learning
        if learning is None:
            # Whoever could learn from it is no more.
            pass
        elif not noted.learns:
            learning.ratings += not was_rated
        elif noted.rating is not None:
            learning.correct(noted.rating, noted.full_features, score)
        else:
            cost = noted.costs[noted.place] if math.isnan(noted.cost_usd) else noted.cost_usd
            noted.rating = Rating(
                version=noted.version,
                place=noted.place,
                expected=float(noted.expected[noted.place]),
                cost_usd=float(cost),
                moment=noted.moment,
                score=score,
            )
            learning.rate(noted.rating, noted.full_features)
        noted.score = score
        text = None if text is None or not noted.settings.keeps_prompts else text[:MAX_TEXT]
        self._put(noted.settings, events.Rated(id=request_id, time=self._now(), score=score, text=text))
        return was_rated

    # -- keeping and telling --------------------------------------------------------------------------------------

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Save what was learnt now and then, until this is cancelled."""
        while True:
            await sleep(SAVE_EVERY)
            await self.save()

    async def save(self) -> None:
        """Put what was learnt, and what is queued for the log, on the disk."""
        try:
            files = {path: data for one in self._learning.values() for path, data in one.states().items()}
            if self._store is not None:
                await asyncio.to_thread(self._store.write, files)
        except OSError as error:
            log.warning("what was learnt cannot be saved: %s", error)
        if self._log is not None:
            await self._log.flush()

    async def close(self) -> None:
        """Save, and leave the log to whoever comes next."""
        await self.save()
        if self._log is not None:
            await self._log.close()

    def start(self, tasks: Tasks, before: Decisions | None = None) -> asyncio.Task[None]:
        """Save and write as long as ``tasks`` run; gives the task that saves.

        The log is written already if it is that of those ``before``.
        """
        if self._log is not None and (before is None or before.log is not self._log):
            tasks.start(self._log.run(), "write the decision log")
        return tasks.start(self.run(), "save what was learnt")

    def status(self, routed: str) -> dict[str, Any]:
        """What ``GET /router/info`` says of what one routed model has learnt."""
        return self._learning[routed].status()

    def counts(self) -> Iterable[LearningCounts]:
        """What is told on ``/metrics``."""
        return [one.counts() for one in self._learning.values()]

    @property
    def dropped(self) -> int:
        """Events that the log has lost."""
        return 0 if self._log is None else self._log.dropped

    # -- inside ---------------------------------------------------------------------------------------------------

    def _settle(
        self, request_id: str, noted: Noted, chosen: Chosen, served: str, cost: float | None, *, is_troubled: bool
    ) -> None:
        places = chosen.chooser.lineup.places
        if served not in places:
            if is_troubled:
                self._judge(noted, is_troubled=True)
            return
        if places[served] != noted.place:
            # The chosen one has failed, and another one has answered: from here on it is about that one.
            self._judge(noted, is_troubled=True)
            noted.is_judged = False
            noted.place = places[served]
        noted.is_settled = True
        if cost is not None:
            noted.cost_usd = cost
            if noted.learning is not None:
                noted.learning.charge(noted.version, noted.place, float(noted.costs[noted.place]), cost)
        if is_troubled:
            self._judge(noted, is_troubled=True)
        else:
            self._open.append((noted.time + SOON, request_id))

    def _look_back(self, noted: Noted, session: tuple[str, str, str], chosen: Chosen) -> None:
        """What a request tells of those before it."""
        before = self._asked.get(noted.asked)
        if before is not None:
            self._signal(before, noted, "regenerated")
        turns = chosen.question.request.turns
        if turns and any(isinstance(part, ToolResult) and part.is_error for part in turns[-1].parts):
            called = self._sessions.get(session)
            if called is not None:
                self._signal(called, noted, "tool_failed")

    def _signal(self, request_id: str, later: Noted, signal: str) -> None:
        noted = self._noted.get(request_id)
        if noted is None or noted.is_judged or not noted.is_settled or later.time - noted.time > SOON:
            return
        self._judge(noted, is_troubled=True)
        self._put(noted.settings, events.Signalled(id=request_id, time=later.time, signal=signal))

    def _judge(self, noted: Noted, *, is_troubled: bool) -> None:
        if not noted.is_judged:
            noted.is_judged = True
            if noted.learns and noted.learning is not None:
                noted.learning.trouble(noted.version, noted.place, noted.moment, is_troubled=is_troubled)

    def _age(self, now: float) -> None:
        while self._open and self._open[0][0] <= now:
            noted = self._noted.get(self._open.popleft()[1])
            if noted is not None and noted.time + SOON <= now:
                self._judge(noted, is_troubled=False)
        while self._noted and next(iter(self._noted.values())).time < now - MAX_AGE:
            self._noted.popitem(last=False)

    def _put(self, settings: LearningSettings, event: events.AnyEvent) -> None:
        if self._log is not None and settings.has_log:
            self._log.put(event)


def decisions_of(
    routed: Mapping[str, RoutedModel],
    trials: Mapping[str, Trying],
    data: Path | None,
    writer: str,
    now: Callable[[], float],
    before: Decisions | None = None,
) -> Decisions:
    """Let routed models learn, and note what they decide, below the directory ``data``.

    ``writer`` tells the files of this process from those of others. Models that go by the same checkpoints as
    ``before``, with the same settings, go on with what they have learnt.
    """
    there = {} if before is None else before.learning
    # One store for the process, which has one number in it.
    store = before.store if before is not None else None if data is None else Store(data / "learning")
    learning = {}
    for name, model in routed.items():
        own, trial = model.settings.learning, trials.get(name)
        old = there.get(name)
        is_same = old is not None and old.goes_by(own, model.kept, trial)
        learning[name] = (
            old if old is not None and is_same else RoutedLearning(name, own, model.kept, trial, store, model.pricing)
        )
    has_log = any(model.settings.learning.has_log for model in routed.values())
    decision_log = None if before is None else before.log
    if decision_log is None and data is not None and has_log:
        decision_log = DecisionLog(data / "decisions", writer)
    decisions = Decisions(learning, now, decision_log, store, before)
    for name, model in routed.items():
        model.learning, model.records = learning[name], decisions
    return decisions


def _event(
    request_id: str, chosen: Chosen, now: float, learning: RoutedLearning, *, keeps_prompt: bool
) -> events.Decided:
    promotion = learning.promotion
    chooser, features, question = chosen.chooser, chosen.features, chosen.question
    places = chooser.lineup.places
    return events.Decided(
        id=request_id,
        time=now,
        model=chosen.routed,
        strategy=chooser.strategy,
        version=chooser.version,
        candidates=list(chooser.lineup.names),
        quality=events.numbers(chosen.scores.quality[0]),
        cost_usd=events.numbers(chosen.scores.cost_usd[0] * chooser.candidates.price_factor),
        chosen=places[chosen.model],
        first=places[chosen.first],
        baseline=places[chosen.decision.baseline],
        propensity=chosen.propensity,
        reason=chosen.reason,
        price=chosen.setting.price,
        usual_price=learning.usual_price,
        embedder=chooser.learned.featurizer.embedder.id,
        embedding=b"" if chooser.is_stand_in else events.halves(features.embedding[0]),
        surface=events.halves(features.surface[0]),
        shadow=chosen.shadow,
        is_trial=promotion is not None and chooser.version == promotion.trial.version,
        user=_hashed(question.user),
        prompt=question.text if keeps_prompt else None,
    )


def _signs(error: GatewayError) -> list[str]:
    """What a failure says of the model; a request that nobody can answer says nothing of it."""
    kind = kind_of(error)
    if kind is FailureKind.CONTENT_POLICY:
        return ["refused"]
    return ["failed"] if is_upstreams(error) and kind not in FINAL else []


def _hashed(user: str) -> str | None:
    return hashlib.blake2b(user.encode("utf-8", "replace"), digest_size=8).hexdigest() if user else None
