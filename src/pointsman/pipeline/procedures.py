"""Routed models whose strategy is a procedure: who is in the pool, and how a request is handed to it.

Needs numpy: it is imported only where there is a routed model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from pointsman.ml.decision import Reason
from pointsman.pipeline.chosen import Chosen
from pointsman.pipeline.errand import Asking, Errand, Limits, Stationery
from pointsman.pipeline.question import Question
from pointsman.pipeline.routed import GoOn, RoutedModel
from pointsman.routing.procedures import KNOBS, PROCEDURES
from pointsman.routing.procedures.base import Asks, Pooled, Procedure
from pointsman.routing.procedures.settings import Options, ProcedureSettings, settings_of
from pointsman.routing.settings import RoutedSettings
from pointsman.routing.strategies.learned import Candidate

TOOL_LOOP: Final[Reason] = "tool loop"


class Carrier:
    """Carries out the procedure of one routed model."""

    def __init__(
        self, asking: Asking, procedure: Procedure, settings: ProcedureSettings, stationery: Stationery
    ) -> None:
        self._asking = asking
        self._procedure = procedure
        self._settings = settings
        self._stationery = stationery

    @property
    def knobs(self) -> frozenset[str]:
        """What of a request's wishes it heeds."""
        return KNOBS[self._settings.strategy]

    @property
    def names(self) -> tuple[str, ...]:
        """Whom it may ask who need not be candidates."""
        return tuple(name for name in (self._settings.controller, self._settings.verifier) if name is not None)

    def first(self, question: Question, routed: RoutedModel, chosen: Chosen) -> list[dict[str, str]]:
        """Whom it asks first for what; nobody where the request is answered in one shot."""
        if chosen.decision.reason == TOOL_LOOP:
            return []
        settings = self._settings_for(question, routed)
        steps = self._procedure(question.request, pool_of(chosen, settings.descriptions), settings)
        try:
            step = next(steps)
        except StopIteration:
            return []
        finally:
            steps.close()
        return [{"model": one.candidate, "purpose": one.purpose} for one in step.asks] if isinstance(step, Asks) else []

    async def serve(self, question: Question, routed: RoutedModel, go_on: GoOn) -> None:
        """Answer ``question`` by asking models on the way, or let it go on to the one that shall answer it.

        :raises GatewayError: as long as nothing was sent to the client
        """
        settings, began = self._settings_for(question, routed), self._asking.clock()
        chosen = await routed.look(question)
        if chosen.decision.reason == TOOL_LOOP:
            # Whoever called the tools goes on with what they have said.
            await go_on(None, None)
            return
        pool = pool_of(chosen, settings.descriptions)
        decided = self._asking.clock() - began
        limits = Limits(settings.max_asks, settings.max_cost_usd, chosen.setting.max_cost_usd)
        errand = Errand(
            self._asking, question.call, question.want, question.request, limits, self._stationery, question.trace
        )

        async def route(texts: Sequence[str]) -> list[str]:
            return [(await routed.look(question.about(text))).model for text in texts]

        async def one_shot(candidate: str) -> None:
            await go_on(candidate, None)

        steps = self._procedure(question.request, pool, settings)
        try:
            await errand.run(steps, route, one_shot, [one.name for one in pool])
        finally:
            # One shot is noted by whoever goes on.
            if errand.ended is not None:
                routed.answered(chosen, errand.ended, decided)

    def _settings_for(self, question: Question, routed: RoutedModel) -> ProcedureSettings:
        quality = routed.quality(question)
        return self._settings if quality is None else msgspec.structs.replace(self._settings, quality=quality)


def procedure_of(
    settings: RoutedSettings, asking: Asking, *, unique: Callable[[], str], wall_clock: Callable[[], float]
) -> Carrier | None:
    """What answers the requests to a routed model by asking; ``None``: its strategy asks nobody.

    :raises ValueError: its options are not valid
    """
    procedure = PROCEDURES.get(settings.strategy)
    if procedure is None:
        return None
    options = {name: value for name, value in settings.options.items() if name in Options.__struct_fields__}
    return Carrier(
        asking, procedure, settings_of(settings.strategy, options), Stationery(settings.strategy, unique, wall_clock)
    )


def pool_of(chosen: Chosen, descriptions: dict[str, str]) -> list[Pooled]:
    """The candidates that can take the request, the best first: whose answer is expected to be best.

    Those that rest take no part, nor do those that cost more than the request may; unless there is no other.
    """
    lineup, question = chosen.chooser.lineup, chosen.question
    prospect = chosen.chooser.prospect(chosen.scores, chosen.setting)
    known: list[tuple[float, float, str]] = []
    for name in chosen.order:
        place = lineup.places[name]
        quality, cost = float(prospect.quality[place]), float(prospect.cost_usd[place])
        known.append((math.inf if math.isnan(quality) else -quality, math.inf if math.isnan(cost) else cost, name))
    most = math.inf if chosen.setting.max_cost_usd is None else chosen.setting.max_cost_usd
    well = [one for one in known if lineup.candidates[lineup.places[one[2]]].can_answer(question.now)] or known
    well = [one for one in well if one[1] <= most] or well
    return [_pooled(lineup.candidates[lineup.places[name]], cost, descriptions) for _, cost, name in sorted(well)]


def _pooled(candidate: Candidate, cost: float, descriptions: dict[str, str]) -> Pooled:
    if math.isinf(cost):
        cost = candidate.usual_cost_usd
    return Pooled(
        name=candidate.name,
        description=descriptions.get(candidate.name) or candidate.card.description,
        cost_usd=None if math.isnan(cost) else cost,
    )
