"""What one routed model learns from outcomes while it serves, and the checkpoint that is on trial beside its own.

Each checkpoint learns by itself, since what is learnt is what it had wrong: an :class:`Online` for each version that
is in use, kept in a file of the data directory over restarts. Each process learns for itself too; after a restart all
begin with what that one knew which had learnt most.

Needs numpy: it is imported only where there is a routed model.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np

from pointsman.ml import statefile
from pointsman.ml.base import Features, Scores
from pointsman.ml.decision import Ranking, Reason
from pointsman.ml.drift import Drift
from pointsman.ml.online import Doubles, Exploring, Online, Spent, drawn
from pointsman.ml.promotion import Promotion, Stage, Trial
from pointsman.pipeline.chosen import Chosen
from pointsman.pipeline.keeping import Store
from pointsman.routing.settings import LearningSettings
from pointsman.routing.strategies.learned import Chooser
from pointsman.telemetry.routed import LearningCounts

PRIOR_DEVIATION = 0.12
TRAINED_DEVIATION = 0.1
"""How wrong the level of a model may be: guessed from prices, and measured on other prompts."""
VERSIONS = 3
"""That are remembered: the one in force, the one on trial, and the one before."""
MOST_VERSIONS = 12
"""Until others are saved."""
SHOWN = 12

log = logging.getLogger(__name__)


class Moment(NamedTuple):
    """Where a trial stands when a request is decided; what comes of it counts only as long as it stands there."""

    version: str
    stage: Stage


@dataclass(slots=True, kw_only=True)
class Rating:
    """A rating of an answer, and what is needed to change it."""

    version: str
    """Of the checkpoint that can learn from it."""
    place: int
    """Who answered."""
    expected: float
    """Quality, before anything was learnt while serving."""
    cost_usd: float
    moment: Moment | None
    """When it was decided."""
    score: float
    reward: float = math.nan
    number: int = 0
    """Among those of the model."""


class Kept(Protocol):
    """A checkpoint, as it is now."""

    @property
    def current(self) -> Chooser: ...


class Trying(Kept, Protocol):
    """One that need not be there yet."""

    @property
    def is_loaded(self) -> bool: ...


class RoutedLearning:
    """Of one routed model. Not for several threads."""

    def __init__(
        self,
        name: str,
        settings: LearningSettings,
        kept: Kept,
        trial: Trying | None = None,
        store: Store | None = None,
        price: Callable[[], float] | None = None,
    ) -> None:
        """``store`` is where things are to be remembered; ``None``: nothing is.

        ``price`` gives what a dollar has to buy for requests that say nothing themselves; ``None``: costs do not count.
        """
        self.name = name
        self.settings = settings
        self.ratings = 0
        self._kept = kept
        self._trial = trial
        self._store = store
        self._exploring = Exploring(share=settings.exploration_share, regret_budget=settings.regret_budget)
        self._price = price
        self._spent = Spent()
        self._onlines: OrderedDict[str, Online] = OrderedDict()
        """By version; the last one used is the last."""
        self._drift: tuple[str, Drift] | None = None
        self._promotion: Promotion | None = None
        self._said: list[tuple[Features, Scores]] = []
        """What the checkpoints themselves have said of the last prompt."""

    def goes_by(self, settings: LearningSettings, kept: Kept, trial: Trying | None) -> bool:
        """Whether this is what learns about these very checkpoints, in this way."""
        return self.settings == settings and self._kept is kept and self._trial is trial

    # -- deciding -------------------------------------------------------------------------------------------------

    @property
    def candidate(self) -> Chooser | None:
        """The checkpoint on trial."""
        trial = self._trial
        if trial is None or not trial.is_loaded or trial.current.version == self._kept.current.version:
            return None
        return trial.current

    @property
    def promotion(self) -> Promotion | None:
        """How far the checkpoint on trial has come."""
        candidate = self.candidate
        if candidate is None:
            return None
        version, against = candidate.version, self._kept.current.version
        trial = None if self._promotion is None else self._promotion.trial
        if self._promotion is None or trial is None or (trial.version, trial.against) != (version, against):
            found = self._kept_trial(version, against) or Trial(version=version, against=against)
            self._promotion = Promotion(found, canary_share=self.settings.canary_share)
        return self._promotion

    def before(self, chooser: Chooser, features: Features, scores: Scores) -> Scores:
        """What to expect, with what was learnt."""
        online = self.online(chooser)
        if online is None:
            return scores
        self._said = [*self._said[-1:], (features, scores)]
        return online.adjust(features, scores)

    def after(
        self, chooser: Chooser, ranking: Ranking, chance: float, now: float
    ) -> tuple[int, Doubles | None, Reason | None]:
        """The place to try, the probabilities (m,) by which it was drawn, and why, if that is not the ranking."""
        online = None if chooser is self.candidate else self.online(chooser)
        if online is None:
            return ranking.order[0], None, None
        chances = online.chances(ranking, now)
        place = drawn(chances, chance)
        return place, chances, None if place == ranking.order[0] else "exploration"

    def picks_candidate(self, chance: float) -> bool:
        """Whether the checkpoint on trial decides this request."""
        promotion = self.promotion
        return promotion is not None and promotion.picks(chance)

    def mixed(self, chosen: Chosen, trial: Chosen, *, is_trial: bool) -> Chosen:
        """The one that is followed, with the other one in its shadow, and the propensity of the two together."""
        share = 0.0 if self.promotion is None else self.promotion.share
        mine, other = (trial, chosen) if is_trial else (chosen, trial)
        mixed = share * _chance(trial, mine.model) + (1.0 - share) * _chance(chosen, mine.model)
        return msgspec.structs.replace(mine, shadow=other.first, propensity=mixed)

    # -- learning -------------------------------------------------------------------------------------------------

    def online(self, chooser: Chooser) -> Online | None:
        """What was learnt about a checkpoint; ``None`` where nothing is to be."""
        if not self.settings.is_online or chooser.is_stand_in:
            return None
        found = self._onlines.get(chooser.version)
        if found is None or found.names != chooser.lineup.names:
            found = self._onlines[chooser.version] = self._kept_online(chooser) or self._new_online(chooser)
            self._forget(MOST_VERSIONS)
        self._onlines.move_to_end(chooser.version)
        return found

    def _forget(self, most: int) -> None:
        """Let go of those that were used longest ago, but not of those that decide."""
        candidate = self.candidate
        needed = {self._kept.current.version, None if candidate is None else candidate.version}
        others = [version for version in self._onlines if version not in needed]
        for version in others[: max(0, len(self._onlines) - most)]:
            del self._onlines[version]

    def drift(self, chooser: Chooser) -> Drift:
        """What is watched of the checkpoint in force."""
        if self._drift is None or self._drift[0] != chooser.version:
            self._drift = (chooser.version, Drift(len(chooser.lineup), _references(chooser)))
        return self._drift[1]

    def said(self, chosen: Chosen) -> Scores:
        """What the checkpoint by itself has said of a prompt."""
        if self.online(chosen.chooser) is None:
            return chosen.scores
        found = next((scores for features, scores in self._said if features is chosen.features), None)
        return chosen.chooser.score(chosen.features) if found is None else found

    def see(self, chosen: Chosen) -> None:
        """A request was decided."""
        chooser = chosen.chooser
        if chooser is self._kept.current:
            self.drift(chooser).see(chosen.features)
        if self.promotion is not None and chosen.shadow is not None:
            self.promotion.decide(is_different=chosen.shadow != chosen.first)

    def charge(self, version: str, place: int, predicted_usd: float, cost_usd: float) -> None:
        """A request has cost so much."""
        if version in self._onlines:
            self._onlines[version].charge(place, predicted_usd, cost_usd)
        if self._drift is not None and self._drift[0] == version:
            self._drift[1].charge(place, predicted_usd, cost_usd)

    @property
    def moment(self) -> Moment | None:
        """Where the trial stands now."""
        promotion = self.promotion
        return None if promotion is None else Moment(promotion.trial.version, promotion.trial.stage)

    def reward(self, score: float, cost_usd: float) -> float:
        """A rating less what was paid, at one price whatever a request wishes for itself."""
        return score if self._price is None else score - self._price() * cost_usd

    @property
    def usual_price(self) -> float | None:
        """What a dollar has to buy for requests that say nothing themselves."""
        return None if self._price is None else self._price()

    def trouble(self, version: str, place: int, moment: Moment | None, *, is_troubled: bool) -> None:
        """An answer was troublesome, or was not; ``moment`` is that of its decision."""
        if version in self._onlines:
            self._onlines[version].trouble(place, is_troubled=is_troubled)
        if (promotion := self._compared(version, moment)) is not None:
            promotion.trouble(is_troubled=is_troubled, is_trial=version == promotion.trial.version)

    def rate(self, rated: Rating, features: Features) -> None:
        """An answer was rated; ``features`` are those of its prompt."""
        version, place = rated.version, rated.place
        self.ratings += 1
        rated.reward = self.reward(rated.score, rated.cost_usd)
        if version in self._onlines:
            self._onlines[version].learn(features, place, rated.expected, rated.score)
        if self._drift is not None and self._drift[0] == version:
            rated.number = self._drift[1].rate(place, rated.expected, rated.score)
        if (promotion := self._compared(version, rated.moment)) is not None:
            promotion.rate(rated.reward, is_trial=version == promotion.trial.version)
        _tell(self._kept.current, "observe", rated, features, rated.score)

    def correct(self, rated: Rating, features: Features, score: float) -> None:
        """The answer was rated anew: as if it had been rated so at first."""
        version, place, change = rated.version, rated.place, score - rated.score
        if version in self._onlines:
            self._onlines[version].correct(features, place, change)
        if self._drift is not None and self._drift[0] == version and rated.number:
            self._drift[1].correct(place, rated.number, change)
        if (promotion := self._compared(version, rated.moment)) is not None:
            promotion.correct(rated.reward, change, is_trial=version == promotion.trial.version)
        rated.score, rated.reward = score, rated.reward + change
        _tell(self._kept.current, "correct", rated, features, change)

    def _compared(self, version: str, moment: Moment | None) -> Promotion | None:
        """The trial, if an answer of this version that was decided then has a part in it."""
        promotion = self.promotion
        if promotion is None or moment != self.moment:
            return None
        return promotion if version in (promotion.trial.version, promotion.trial.against) else None

    # -- telling and keeping --------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What ``GET /router/info`` says of it."""
        chooser, names = self._kept.current, self._kept.current.lineup.names
        online, drifts = self.online(chooser), self.drift(chooser).drifts()
        told: dict[str, Any] = {
            "is_online": self.settings.is_online,
            "ratings": self.ratings,
            "drift": {
                "population": _known(drifts.population),
                "unknown_share": _known(drifts.unknown_share),
                "calibration": _by_name(names, drifts.calibration),
                "cost": _by_name(names, drifts.cost),
            },
        }
        if online is not None:
            told |= {"levels": _by_name(names, online.levels), "outcomes": online.outcomes, "alarms": online.alarms}
        if self.promotion is not None:
            told["trial"] = self.promotion.status()
        return told

    def counts(self) -> LearningCounts:
        """What is told on ``/metrics``."""
        chooser, names = self._kept.current, self._kept.current.lineup.names
        online, drifts = self.online(chooser), self.drift(chooser).drifts()
        return LearningCounts(
            requested_model=self.name,
            ratings=self.ratings,
            alarms=0 if online is None else online.alarms,
            trial_share=None if self.promotion is None else self.promotion.share,
            population=_known(drifts.population),
            unknown_share=_known(drifts.unknown_share),
            calibration=_by_name(names, drifts.calibration),
            cost=_by_name(names, drifts.cost),
        )

    def states(self) -> dict[Path, bytes]:
        """Files, and what is to stand in them; what is in them and not in use may be forgotten.

        :raises OSError: the directory cannot be used
        """
        files: dict[Path, bytes] = {}
        if self._store is not None:
            for version, online in self._onlines.items():
                if online.outcomes or online.spent.minutes.any():
                    files[self._store.path(self.name, version, "online")] = statefile.pack(online.state())
            if self._promotion is not None:
                trial = self._promotion.trial
                path = self._store.path(self.name, trial.version + trial.against, "trial")
                files[path] = msgspec.json.encode(trial)
        self._forget(VERSIONS)
        return files

    def _read(self, version: str, kind: str) -> list[bytes]:
        if self._store is None:
            return []
        try:
            return list(self._store.read(self.name, version, kind))
        except OSError as error:
            log.warning("what %s had learnt is lost: %s", self.name, error)
            return []

    def _kept_online(self, chooser: Chooser) -> Online | None:
        """That of the process that had learnt most."""
        best: Online | None = None
        for data in self._read(chooser.version, "online"):
            try:
                found = Online.from_state(statefile.unpack(data), exploring=self._exploring, spent=self._spent)
            except ValueError as error:
                log.warning("what %s had learnt is lost: %s", self.name, error)
                continue
            is_same = found.names == chooser.lineup.names and found.embedding == _dimension(chooser)
            if is_same and (best is None or found.outcomes > best.outcomes):
                best = found
        return best

    def _kept_trial(self, version: str, against: str) -> Trial | None:
        """That of the process in which it has come furthest; where one has rolled it back it stays so."""
        found = []
        for data in self._read(version + against, "trial"):
            try:
                found.append(msgspec.json.decode(data, type=Trial))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
        stages = list(Stage)
        return max(
            found,
            default=None,
            key=lambda trial: (stages.index(trial.stage), sum(one.count for one in trial.rewards), trial.shadowed),
        )

    def _new_online(self, chooser: Chooser) -> Online:
        return Online(
            chooser.lineup.names,
            deviation=PRIOR_DEVIATION if chooser.learned.about is None else TRAINED_DEVIATION,
            exploring=self._exploring,
            embedding=_dimension(chooser),
            spent=self._spent,
        )


def _dimension(chooser: Chooser) -> int:
    return chooser.learned.featurizer.embedder.dimension


def _references(chooser: Chooser) -> Any:
    """Embeddings of prompts that stand for the training; ``None`` where a checkpoint brings none."""
    learned = chooser.learned
    if not learned.medoids or not learned.featurizer.embedder.is_quick:
        return None
    return learned.featurizer.embedder.embed(learned.medoids)


def _chance(chosen: Chosen, model: str) -> float:
    """With which a checkpoint was to choose this model."""
    if chosen.chances is None:
        return float(chosen.model == model)
    return float(chosen.chances[chosen.chooser.lineup.places[model]])


def _tell(chooser: Chooser, how: str, rated: Rating, features: Features, value: float) -> None:
    """Tell an estimator that learns by itself, as ``gmt`` does from each user."""
    told = getattr(chooser.learned.scorer, how, None)
    if told is None or chooser.version != rated.version:
        return
    column = rated.place if chooser.learned.places is None else chooser.learned.places[rated.place]
    if column >= 0:
        told(features, column, value)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _by_name(names: tuple[str, ...], values: Any) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, np.asarray(values), strict=True) if np.isfinite(value)}
