from __future__ import annotations

import numpy as np
import pytest

from pointsman.ml.promotion import KEPT_BACK, LEAST, SHADOWED, Promotion, Sample, Stage, Trial, interval


def promotion(stage: Stage = Stage.CANARY) -> Promotion:
    return Promotion(Trial(version="new", against="old", stage=stage), canary_share=0.1)


def sample(values: list[float]) -> Sample:
    made = Sample()
    for value in values:
        made.take(value)
    return made


def rated(made: Promotion, old: float, new: float, most: int) -> int:
    """Coins that fall with these chances, until the stage changes; gives how many of each side."""
    chance, stage = np.random.default_rng(1), made.trial.stage
    for count in range(most):
        made.rate(float(chance.random() < old), is_trial=False)
        made.rate(float(chance.random() < new), is_trial=True)
        if made.trial.stage is not stage:
            return count
    return most


@pytest.mark.requirement("routing.online.promotion")
def test_a_checkpoint_that_is_better_goes_from_the_shadow_to_everything() -> None:
    made = promotion(Stage.SHADOW)
    shares = [made.share]
    for _ in range(SHADOWED):
        made.decide(is_different=True)
    shares.append(made.share)
    rated(made, 0.5, 0.7, 2_000)
    shares.append(made.share)
    rated(made, 0.5, 0.7, KEPT_BACK + 10)
    shares.append(made.share)
    assert shares == [0.0, 0.1, 0.9, 1.0]
    assert made.is_over


@pytest.mark.requirement("routing.online.rollback")
@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.PROMOTED])
def test_one_that_is_worse_is_taken_back_by_itself(stage: Stage) -> None:
    made = promotion(stage)
    assert LEAST <= rated(made, 0.7, 0.5, 2_000) + 1 < 1_000
    assert (made.trial.stage, made.share) == (Stage.ROLLED_BACK, 0.0)
    assert "mean reward" in made.trial.why


def test_one_that_is_the_same_is_not_taken_back() -> None:
    made = promotion()
    rated(made, 0.6, 0.6, 3_000)
    assert made.trial.stage is not Stage.ROLLED_BACK


def test_nothing_follows_from_a_few_ratings() -> None:
    made = promotion()
    for _ in range(LEAST - 1):
        made.rate(1.0, is_trial=False)
        made.rate(0.0, is_trial=True)
    assert made.trial.stage is Stage.CANARY


def test_more_trouble_takes_it_back_without_any_rating() -> None:
    made = promotion()
    for i in range(400):
        made.trouble(is_troubled=i % 50 == 0, is_trial=False)
        made.trouble(is_troubled=i % 3 == 0, is_trial=True)
    assert made.trial.stage is Stage.ROLLED_BACK
    assert "trouble" in made.trial.why


@pytest.mark.requirement("routing.online.promotion")
def test_nothing_is_compared_in_the_shadow() -> None:
    made = promotion(Stage.SHADOW)
    for _ in range(LEAST * 5):
        made.rate(0.2, is_trial=False)
        made.trouble(is_troubled=True, is_trial=False)
    assert [made.trial.rewards[0].count, made.trial.troubles[0].count] == [0, 0]


@pytest.mark.requirement("routing.online.promotion")
def test_each_stage_is_compared_by_itself() -> None:
    made = promotion()
    assert rated(made, 0.5, 0.8, 2_000) < 2_000
    assert (made.trial.stage, [sample.count for sample in made.trial.rewards]) == (Stage.PROMOTED, [0, 0])
    assert [sample.count for sample in made.trial.troubles] == [0, 0]


@pytest.mark.requirement("routing.online.rollback")
def test_a_level_that_changes_for_both_is_no_difference_between_them() -> None:
    for seed in range(20):
        made, chance = promotion(Stage.SHADOW), np.random.default_rng(seed)
        for i in range(12_000):
            # Everything is worse soon after the canary began.
            level = 0.8 if i < 2_000 else 0.5
            if i >= 1_800:
                made.decide(is_different=False)
            made.rate(float(chance.random() < level), is_trial=made.picks(chance.random()))
        assert made.trial.stage is not Stage.ROLLED_BACK, seed


@pytest.mark.requirement("routing.feedback.changed")
def test_a_rating_that_is_corrected_counts_as_it_is_then() -> None:
    made, direct = promotion(), promotion()
    for value in (0.0, 0.25, 1.0):
        made.rate(value, is_trial=True)
        made.correct(value, 0.5 - value, is_trial=True)
        direct.rate(0.5, is_trial=True)
    assert made.trial.rewards == direct.trial.rewards


def test_what_is_over_changes_no_more() -> None:
    made = promotion(Stage.ROLLED_BACK)
    rated(made, 0.1, 0.9, 500)
    assert (made.trial.stage, made.trial.rewards[1].count) == (Stage.ROLLED_BACK, 0)


def test_it_decides_its_share() -> None:
    made = promotion()
    assert [made.picks(chance) for chance in (0.0, 0.0999, 0.1, 0.9)] == [True, True, False, False]


def test_what_is_no_number_is_passed_over() -> None:
    made = promotion()
    made.rate(float("nan"), is_trial=True)
    assert made.trial.rewards[1].count == 0


def test_looking_after_every_rating_finds_no_difference_where_there_is_none() -> None:
    chance, found = np.random.default_rng(0), 0
    for _ in range(60):
        old, new = Sample(), Sample()
        for a, b in chance.random((400, 2)) < 0.6:
            old.take(float(a))
            new.take(float(b))
            low, high = interval(old, new)
            if old.count >= LEAST and not low <= 0.0 <= high:
                found += 1
                break
    assert found <= 3


def test_an_interval_holds_the_difference_and_narrows() -> None:
    few = interval(sample([0.0, 1.0] * 50), sample([0.0, 1.0, 1.0] * 50))
    many = interval(sample([0.0, 1.0] * 2_000), sample([0.0, 1.0, 1.0] * 2_000))
    assert few[0] < many[0] < 1 / 6 < many[1] < few[1]
    assert interval(Sample(), sample([1.0, 1.0])) == (-np.inf, np.inf)


def test_its_status_tells_where_it_stands() -> None:
    made = promotion()
    rated(made, 0.7, 0.5, 2_000)
    told = made.status()
    assert (told["checkpoint"], told["stage"], told["share"]) == ("new", "rolled back", 0.0)
    assert told["gain"][1] < 0
    assert promotion().status()["gain"] is None
