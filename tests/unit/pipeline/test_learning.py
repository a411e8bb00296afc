from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
from unit.pipeline.routing import Noted, chat, routed_rig
from unit.routing.learnt import Told, learnt

from pointsman.ml.base import Features
from pointsman.ml.promotion import SHADOWED, Stage
from pointsman.pipeline.chosen import Chosen
from pointsman.pipeline.keeping import Store
from pointsman.pipeline.learning import Moment, Rating, RoutedLearning
from pointsman.pipeline.lineups import Fixed
from pointsman.routing.settings import LearningSettings
from pointsman.routing.strategies.learned import Chooser

Make = Callable[..., Any]
OTHERS = {"house": (0.1, 0.02), "second": (0.9, 0.01), "third": (0.3, 0.001)}


class Trial(Fixed):
    """A checkpoint on trial that is there."""

    is_loaded = True


class Awaited(Trial):
    """One that is not."""

    is_loaded = False


@pytest.fixture
def rig(groups: Make) -> Any:
    rig = routed_rig(groups)
    rig.routed.records = Noted()
    return rig


def learning(rig: Any, trial: Any = None, store: Path | None = None, **settings: Any) -> RoutedLearning:
    there = None if store is None else Store(store)
    made = RoutedLearning("auto", LearningSettings(**settings), rig.routed.kept, trial, there)
    rig.routed.learning = made
    return made


def other(rig: Any, kind: type[Trial] = Trial) -> Trial:
    learned, _ = learnt(OTHERS)
    return kind(Chooser(replace(learned, version="f" * 64), rig.routed.lineup))


def features(rig: Any) -> Features:
    found: Features = rig.routed.kept.current.learned.features(["x"])
    return found


def rate(
    made: RoutedLearning,
    version: str,
    features: Features,
    place: int,
    expected: float,
    score: float,
    *,
    moment: Moment | None = None,
) -> Rating:
    """Rate an answer that was decided just now, or at that moment."""
    rating = Rating(
        version=version, place=place, expected=expected, cost_usd=0.0, moment=moment or made.moment, score=score
    )
    made.rate(rating, features)
    return rating


def save(files: dict[Path, bytes]) -> None:
    """Put files where they belong, as they are."""
    for path, data in files.items():
        path.write_bytes(data)


def kept_in(directory: Path) -> int:
    """How many files there are of what was learnt."""
    return len(list(directory.glob("*.online")))


async def ask(rig: Any) -> Chosen:
    await rig.ask(chat())
    found: Chosen = rig.routed.records.chosen[-1]
    return found


# -- online -----------------------------------------------------------------------------------------------------------


async def test_what_is_switched_off_changes_nothing(rig: Any) -> None:
    made = learning(rig)
    chosen = await ask(rig)
    rate(made, chosen.chooser.version, chosen.features, 0, 0.9, 0.0)
    assert (await ask(rig)).scores.quality.tolist() == chosen.scores.quality.tolist()
    assert (made.online(chosen.chooser), chosen.propensity, made.states()) == (None, 1.0, {})


@pytest.mark.requirement("routing.online.exploration")
async def test_exploring_says_its_reason_and_its_propensity(groups: Make) -> None:
    rig = routed_rig(groups)
    rig.routed.records = Noted()
    rig.told.quality = [0.62, 0.6, 0.3]
    learning(rig, is_online=True, exploration_share=1.0, regret_budget=100.0)
    rig.routed._chance = lambda: 0.999
    chosen = await ask(rig)
    assert (chosen.model != chosen.first, chosen.decision.reason) == (True, "exploration")
    assert 0.0 < chosen.propensity < 0.5


async def test_what_the_checkpoint_said_itself_is_known_after_learning(rig: Any) -> None:
    made = learning(rig, is_online=True, exploration_share=0.0)
    for _ in range(30):
        made.online(rig.routed.kept.current)
        rate(made, rig.routed.kept.current.version, features(rig), 0, 0.9, 0.0)
    chosen = await ask(rig)
    assert chosen.scores.quality[0, 0] < 0.7
    assert made.said(chosen).quality[0, 0] == pytest.approx(0.9)
    later = await ask(rig)
    for _ in range(3):
        await ask(rig)
    assert made.said(later).quality[0, 0] == pytest.approx(0.9)


async def test_another_checkpoint_learns_from_the_beginning(rig: Any) -> None:
    made = learning(rig, is_online=True)
    first = made.online(rig.routed.kept.current)
    assert made.online(rig.routed.kept.current) is first
    assert made.online(other(rig).current) is not first
    for digit in "abcd":
        learned, _ = learnt(OTHERS)
        made.online(Chooser(replace(learned, version=digit * 64), rig.routed.lineup))
    assert made.online(rig.routed.kept.current) is first


async def test_a_stand_in_learns_nothing(rig: Any) -> None:
    made = learning(rig, is_online=True)
    learned, _ = learnt(OTHERS)
    assert made.online(Chooser(learned, rig.routed.lineup, is_stand_in=True)) is None


async def test_an_estimator_that_learns_by_itself_is_told(rig: Any) -> None:
    class Listening(Told):
        heard: ClassVar[list[tuple[int, float]]] = []

        def observe(self, _features: Features, model: int, quality: float) -> None:
            self.heard.append((model, quality))

    chooser = rig.routed.kept.current
    scorer = Listening((0.9, 0.6, 0.3), (0.02, 0.01, 0.001))
    for places in (None, (2, -1, 0)):
        listening = Chooser(replace(chooser.learned, scorer=scorer), rig.routed.lineup)
        listening.learned = replace(listening.learned, places=places)
        made = RoutedLearning("auto", LearningSettings(), Fixed(listening))
        for place in range(3):
            rate(made, listening.version, features(rig), place, 0.5, 0.25)
        rate(made, "another version", features(rig), 0, 0.5, 0.25)
    assert scorer.heard == [(0, 0.25), (1, 0.25), (2, 0.25), (2, 0.25), (0, 0.25)]


# -- on trial ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("routing.online.promotion")
async def test_a_checkpoint_on_trial_decides_nothing_at_first_then_its_share(rig: Any) -> None:
    made = learning(rig, other(rig), canary_share=0.1)
    for _ in range(SHADOWED):
        chosen = await ask(rig)
        assert (chosen.model, chosen.shadow, chosen.propensity) == ("house", "second", 1.0)
        made.see(chosen)
    assert made.promotion is not None
    assert made.promotion.trial.stage is Stage.CANARY
    # The rig's chance is 0: now the one on trial is drawn each time.
    chosen = await ask(rig)
    assert [chosen.model, chosen.shadow, chosen.propensity] == ["second", "house", pytest.approx(0.1)]
    rig.routed._chance = lambda: 0.5
    chosen = await ask(rig)
    assert [chosen.model, chosen.shadow, chosen.propensity] == ["house", "second", pytest.approx(0.9)]


async def test_where_both_agree_the_propensities_add_up(rig: Any) -> None:
    learned, _ = learnt({"house": (0.95, 0.02), "second": (0.1, 0.01), "third": (0.3, 0.001)})
    trial = Trial(Chooser(replace(learned, version="f" * 64), rig.routed.lineup))
    made = learning(rig, trial, canary_share=0.1)
    assert made.promotion is not None
    made.promotion.trial.stage = Stage.CANARY
    for chance in (0.0, 0.5):
        rig.routed._chance = lambda chance=chance: chance
        assert (await ask(rig)).propensity == pytest.approx(1.0)


@pytest.mark.requirement("routing.online.rollback")
async def test_one_that_earns_less_decides_nothing_any_more(rig: Any) -> None:
    made = learning(rig, other(rig), canary_share=0.5)
    assert made.promotion is not None
    made.promotion.trial.stage = Stage.CANARY
    mine, its = rig.routed.kept.current.version, "f" * 64
    for i in range(400):
        rate(made, mine, features(rig), 0, 0.9, float(i % 3 > 0))
        rate(made, its, features(rig), 1, 0.9, float(i % 3 > 1))
    assert made.promotion.trial.stage is Stage.ROLLED_BACK
    assert (await ask(rig)).model == "house"


async def test_one_that_is_not_there_or_the_same_is_none(rig: Any) -> None:
    assert learning(rig, other(rig, Awaited)).candidate is None
    same = Trial(rig.routed.kept.current)
    made = learning(rig, same)
    assert (made.candidate, made.promotion, made.picks_candidate(0.0)) == (None, None, False)


async def test_its_trouble_counts(rig: Any) -> None:
    made = learning(rig, other(rig))
    assert made.promotion is not None
    before = made.moment
    made.promotion.trial.stage = Stage.CANARY
    for moment in (before, made.moment):
        made.trouble("f" * 64, 0, moment, is_troubled=True)
        made.trouble(rig.routed.kept.current.version, 0, moment, is_troubled=False)
    assert [sample.count for sample in made.promotion.trial.troubles] == [1, 1]
    assert [sample.mean for sample in made.promotion.trial.troubles] == [0.0, 1.0]


# -- drift ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("routing.drift.gauges")
async def test_drift_of_ratings_and_costs_is_told(rig: Any) -> None:
    made = learning(rig, is_online=True)
    version = rig.routed.kept.current.version
    made.see(await ask(rig))
    for _ in range(60):
        rate(made, version, features(rig), 0, 0.9, 0.4)
        made.charge(version, 1, 0.01, 0.02)
    counts = made.counts()
    assert counts.calibration == {"house": pytest.approx(-0.5)}
    assert counts.cost == {"second": pytest.approx(2.0)}
    assert (counts.ratings, counts.population) == (60, None)
    told = made.status()
    assert told["drift"]["cost"] == {"second": pytest.approx(2.0)}
    assert told["levels"]["house"] < 0
    assert "trial" not in told


async def test_prompts_of_the_training_are_what_others_are_compared_with(rig: Any) -> None:
    chooser = rig.routed.kept.current
    chooser.learned = replace(chooser.learned, medoids=("one", "two"))
    made = learning(rig)
    made.see(await ask(rig))
    assert made.status()["drift"]["unknown_share"] == 0.0


# -- keeping ----------------------------------------------------------------------------------------------------------


async def test_what_cannot_be_read_is_begun_anew_with_a_warning(
    rig: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = learning(rig, store=tmp_path, is_online=True)
    made.online(rig.routed.kept.current)
    rate(made, rig.routed.kept.current.version, features(rig), 0, 0.9, 0.0)
    ((path, data),) = made.states().items()
    for spoilt in (data[:100], b"", data[:-1] + bytes([data[-1] ^ 1])):
        save({path: spoilt})
        again = learning(rig, store=tmp_path, is_online=True).online(rig.routed.kept.current)
        assert again is not None
        assert again.outcomes == 0
    assert caplog.text.count("is lost") == 3
    save({path: data})
    kept = learning(rig, store=tmp_path, is_online=True).online(rig.routed.kept.current)
    assert kept is not None
    assert kept.outcomes == 1


@pytest.mark.requirement("routing.online.promotion")
async def test_a_trial_goes_on_after_a_restart(rig: Any, tmp_path: Path) -> None:
    made = learning(rig, other(rig), tmp_path)
    assert made.promotion is not None
    made.promotion.trial.stage = Stage.PROMOTED
    save(made.states())
    again = learning(rig, other(rig), tmp_path)
    assert again.promotion is not None
    assert again.promotion.trial == made.promotion.trial
    assert again.promotion.share == pytest.approx(0.95)
    save(dict.fromkeys(made.states(), b"{"))
    begun = learning(rig, other(rig), tmp_path)
    assert begun.promotion is not None
    assert begun.promotion.trial.stage is Stage.SHADOW


@pytest.mark.requirement("routing.online.kept")
async def test_each_process_keeps_its_own_and_all_begin_with_what_the_most_experienced_one_knew(
    rig: Any, tmp_path: Path
) -> None:
    version = rig.routed.kept.current.version
    workers = [learning(rig, store=tmp_path, is_online=True) for _ in range(3)]
    for made in workers:
        made.online(rig.routed.kept.current)
    for count, made in zip((2, 7, 4), workers, strict=True):
        for _ in range(count):
            rate(made, version, features(rig), 0, 0.9, 0.0)
        save(made.states())
    assert kept_in(tmp_path) == 3
    again = learning(rig, store=tmp_path, is_online=True).online(rig.routed.kept.current)
    assert again is not None
    assert again.outcomes == 7


@pytest.mark.requirement("routing.online.rollback")
async def test_what_one_process_has_rolled_back_stays_so_for_all(rig: Any, tmp_path: Path) -> None:
    workers = [learning(rig, other(rig), tmp_path) for _ in range(3)]
    for made, stage in zip(workers, (Stage.PROMOTED, Stage.ROLLED_BACK, Stage.CANARY), strict=True):
        assert made.promotion is not None
        made.promotion.trial.stage = stage
        save(made.states())
    again = learning(rig, other(rig), tmp_path).promotion
    assert again is not None
    assert again.trial.stage is Stage.ROLLED_BACK


@pytest.mark.requirement("routing.online.kept")
async def test_checkpoints_that_come_and_go_take_nothing_from_the_one_in_force(rig: Any, tmp_path: Path) -> None:
    made, current = learning(rig, store=tmp_path, is_online=True), rig.routed.kept.current
    first = made.online(current)
    for i in range(100):
        learned, _ = learnt(OTHERS)
        passing = Chooser(replace(learned, version=f"{i:064x}"), rig.routed.lineup)
        made.online(passing)
        rate(made, passing.version, features(rig), 0, 0.9, 0.0)
        assert len(made._onlines) <= 13
    assert made.online(current) is first
    save(made.states())
    assert len(made._onlines) <= 3
    # The last ones are in the files.
    assert kept_in(tmp_path) > 3


@pytest.mark.requirement("routing.online.exploration")
async def test_exploration_spends_one_budget_for_all_checkpoints_also_after_a_restart(
    groups: Make, tmp_path: Path
) -> None:
    rig = routed_rig(groups)
    settings = {"is_online": True, "exploration_share": 1.0, "regret_budget": 2.0}
    made = learning(rig, store=tmp_path, **settings)
    online = made.online(rig.routed.kept.current)
    assert online is not None
    online.spent.take(1.5)
    assert made.online(other(rig).current).spent is online.spent  # type: ignore[union-attr]
    save(made.states())
    restarted = learning(rig, store=tmp_path, **settings)
    again = restarted.online(rig.routed.kept.current)
    assert again is not None
    assert again.spent.within_hour(0.0) == 1.5
    assert restarted.online(other(rig).current).spent is again.spent  # type: ignore[union-attr]


# -- comparing --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("routing.online.promotion")
async def test_ratings_of_another_stage_or_another_checkpoint_are_not_compared(rig: Any) -> None:
    made = learning(rig, other(rig))
    assert made.promotion is not None
    before, mine, its = made.moment, rig.routed.kept.current.version, "f" * 64
    made.promotion.trial.stage = Stage.CANARY
    for version in (mine, its):
        rate(made, version, features(rig), 0, 0.5, 1.0, moment=before)
    rate(made, "an older one", features(rig), 0, 0.5, 1.0)
    assert [sample.count for sample in made.promotion.trial.rewards] == [0, 0]
    for version in (mine, its):
        rate(made, version, features(rig), 0, 0.5, 1.0)
    assert [sample.count for sample in made.promotion.trial.rewards] == [1, 1]


@pytest.mark.requirement("routing.feedback.changed")
async def test_a_rating_that_is_corrected_counts_everywhere_as_it_is_then(rig: Any) -> None:
    made, mine = learning(rig, other(rig), is_online=True), rig.routed.kept.current.version
    assert made.promotion is not None
    made.promotion.trial.stage = Stage.CANARY
    made.drift(rig.routed.kept.current)
    for _ in range(30):
        rating = rate(made, mine, features(rig), 0, 0.9, 0.0)
        made.correct(rating, features(rig), 0.5)
        made.correct(rating, features(rig), 0.9)
    assert made.promotion.trial.rewards[0].mean == pytest.approx(0.9)
    assert made.counts().calibration == {"house": pytest.approx(0.0, abs=1e-9)}
    assert made.ratings == 30


@pytest.mark.requirement("routing.log.written")
async def test_with_exploring_and_a_trial_the_propensity_is_that_of_both_together(rig: Any) -> None:
    made = learning(rig, other(rig), canary_share=0.05)
    assert made.promotion is not None
    made.promotion.trial.stage = Stage.CANARY
    explored = np.array([0.8, 0.1, 0.1])
    chance = np.random.default_rng(0)
    chosen, trial = await ask(rig), rig.routed._decide(other(rig).current, features(rig), (await ask(rig)).question)
    assert (chosen.shadow, trial.model) == ("house", "second")
    weights: dict[str, float] = dict.fromkeys(rig.routed.lineup.names, 0.0)
    for _ in range(20_000):
        place = int(chance.choice(3, p=explored))
        model = rig.routed.lineup.names[place]
        decision = msgspec.structs.replace(chosen.decision, model=model)
        mine = msgspec.structs.replace(chosen, decision=decision, first="house", propensity=0.0, chances=explored)
        mixed = made.mixed(mine, trial, is_trial=made.picks_candidate(chance.random()))
        weights[mixed.model] += 1 / mixed.propensity
        if mixed.model == "second":
            assert mixed.propensity == pytest.approx(0.05 + 0.95 * 0.1)
    assert [weight / 20_000 for weight in weights.values()] == pytest.approx([1.0] * 3, abs=0.05)
