from __future__ import annotations

import numpy as np
import pytest

from pointsman.ml.cascading import Cascade, Outcomes, follow, gain, judgements, learn, lift, price, table, thresholds
from pointsman.routing.procedures.settings import Ladder, settings_of


def outcomes(skill: float, n: int = 2000, tiers: tuple[float, ...] = (0.5, 0.8), seed: int = 0) -> Outcomes:
    """Tiers that are right so often, each ten times as dear as the one before; judgements cost what an answer does."""
    chance = np.random.default_rng(seed)
    quality = (chance.random((n, len(tiers))) < tiers).astype(np.float64)
    cost = np.tile(10.0 ** np.arange(len(tiers)) / 1000, (n, 1))
    return Outcomes(quality, cost, judgements(quality[:, :-1], skill, 8, chance), cost[:, :-1])


def by_hand() -> Outcomes:
    """Four prompts: the cheap tier is right on two, of which the verifier is sure; the dear one on all."""
    quality = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    cost = np.tile([1.0, 10.0], (4, 1))
    return Outcomes(quality, cost, np.array([[0.9], [0.8], [0.3], [0.1]]), np.full((4, 1), 0.5))


def test_what_is_kept_costs_one_answer_and_its_judgements_and_what_goes_on_both_answers() -> None:
    quality, cost = follow(by_hand(), ((1, 0),))

    assert quality.tolist() == [1, 1, 1, 1]
    assert cost.tolist() == [1.5, 1.5, 11.5, 11.5]


def test_a_step_can_pass_over_a_tier() -> None:
    quality = np.array([[0.0, 0.4, 1.0], [0.2, 0.5, 1.0]])
    cost = np.tile([1.0, 3.0, 9.0], (2, 1))
    made = Outcomes(quality, cost, np.array([[0.1, 0.9], [0.9, 0.9]]), np.full((2, 2), 0.5))

    assert follow(made, ((2, 1), (1,)))[0].tolist() == [1.0, 0.5]
    assert follow(made, ((2, 1), (1,)))[1].tolist() == [1 + 0.5 + 9, 1 + 0.5 + 3 + 0.5]


def test_lift_and_gain_are_measured_against_a_coin_between_the_cheapest_and_the_dearest() -> None:
    made = by_hand()
    quality, cost = follow(made, ((1, 0),))

    # The dear tier gives half a point for 9 dollars, the cascade for 5.5.
    assert price(made) == pytest.approx(0.5 / 9)
    assert lift(made, quality, cost) == pytest.approx(9 / 5.5 - 1)
    assert gain(made, quality, cost) == pytest.approx(0.5 - 5.5 * 0.5 / 9)


def test_where_the_dear_tier_is_no_better_there_is_nothing_to_compare_with() -> None:
    made = outcomes(0.9, tiers=(0.8, 0.8))
    same = Outcomes(made.quality[:, [0, 0]], made.cost_usd, made.sureness, made.verifier_usd)

    assert price(same) == 0
    assert lift(same, *follow(same, ((1, 0),))) == 0


@pytest.mark.requirement("routing.procedures.automix")
def test_with_a_verifier_that_knows_something_the_lift_is_above_nothing_on_prompts_it_was_not_learnt_from() -> None:
    learnt = learn(outcomes(0.7), ("cheap", "dear"))
    quality, cost = follow(outcomes(0.7, seed=1), learnt.steps)

    assert learnt.held_out_lift > 0.2
    assert lift(outcomes(0.7, seed=1), quality, cost) > 0.2
    assert gain(outcomes(0.7, seed=1), quality, cost) == pytest.approx(learnt.held_out_gain, abs=0.03)


def test_a_better_verifier_gains_more() -> None:
    gains = [learn(outcomes(skill), ("cheap", "dear")).held_out_gain for skill in (0.6, 0.75, 0.9)]

    assert gains == sorted(gains)


def test_with_a_verifier_that_guesses_the_dearest_tier_is_left() -> None:
    learnt = learn(outcomes(0.5), ("cheap", "dear"))

    assert (learnt.method, learnt.tiers, learnt.steps) == ("none", ("dear",), ())
    assert learnt.quality == pytest.approx(0.8, abs=0.03)
    assert learnt.cost_usd == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("right", "cost", "tier"),
    [
        ((0.5, 0.5), (1.0, 10.0), "cheap"),
        ((0.7, 0.5), (1.0, 10.0), "cheap"),
        ((0.5, 0.7), (1.0, 10.0), "dear"),
        ((0.5, 0.5), (10.0, 1.0), "dear"),
    ],
)
@pytest.mark.requirement("routing.procedures.automix")
def test_where_judging_gains_nothing_the_better_tier_is_left_and_of_equal_ones_the_cheaper(
    right: tuple[float, float], cost: tuple[float, float], tier: str
) -> None:
    # Answers are right in turn, and a verifier that is always half sure says nothing of them.
    quality = np.stack([np.arange(1000) % 10 < 10 * share for share in right], 1).astype(np.float64)
    made = Outcomes(quality, np.tile(cost, (1000, 1)), np.full((1000, 1), 0.5), np.full((1000, 1), 0.1))
    learnt = learn(made, ("cheap", "dear"))

    place = ("cheap", "dear").index(tier)
    assert (learnt.method, learnt.tiers, learnt.steps) == ("none", (tier,), ())
    assert (learnt.quality, learnt.cost_usd) == pytest.approx((right[place], cost[place]))


def test_three_tiers_gain_more_than_two_where_the_one_between_is_worth_it() -> None:
    three = outcomes(0.8, tiers=(0.5, 0.75, 0.8))
    two = Outcomes(
        three.quality[:, [0, 2]], three.cost_usd[:, [0, 2]], three.sureness[:, :1], three.verifier_usd[:, :1]
    )

    assert learn(three, ("a", "b", "c")).held_out_gain > learn(two, ("a", "c")).held_out_gain + 0.02


def test_what_is_hopeless_for_all_is_not_worth_a_dear_answer() -> None:
    # Below a quarter the dear tier fails as well.
    n = 400
    sureness = np.tile([0.1, 0.4, 0.9], n)
    quality = np.stack([np.tile([0.0, 0.0, 1.0], n), np.tile([0.0, 1.0, 1.0], n)], 1)
    made = Outcomes(quality, np.tile([1.0, 10.0], (3 * n, 1)), sureness[:, None], np.full((3 * n, 1), 0.5))

    for steps in (table(made, 4), thresholds(made, 4)):
        assert follow(made, steps)[1][:3].tolist() == [1.5, 11.5, 1.5]
    assert learn(made, ("a", "b"), 4).method == "thresholds"


def test_what_was_learnt_is_what_a_configuration_takes() -> None:
    learnt = learn(outcomes(0.8), ("cheap", "dear"))
    ladder = settings_of("automix", {"ladder": learnt.document()}).ladder

    assert ladder is not None
    assert ladder == Ladder(tiers=("cheap", "dear"), steps=learnt.steps)
    for sure in np.arange(9) / 8:
        one = Outcomes(np.array([[0.0, 1.0]]), np.array([[1.0, 2.0]]), np.array([[sure]]), np.zeros((1, 1)))
        assert follow(one, learnt.steps)[0][0] == ladder.after(0, float(sure))


def test_judgements_are_as_often_right_as_the_verifier_is_skilled() -> None:
    chance = np.random.default_rng(0)

    assert judgements(np.ones(5000), 0.7, 8, chance).mean() == pytest.approx(0.7, abs=0.01)
    assert judgements(np.zeros(5000), 0.7, 8, chance).mean() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("change", [{"cost_usd": (4, 1)}, {"sureness": (4, 2)}, {"verifier_usd": (3, 1)}])
def test_outcomes_that_do_not_fit_together_are_refused(change: dict[str, tuple[int, int]]) -> None:
    shapes = {"quality": (4, 2), "cost_usd": (4, 2), "sureness": (4, 1), "verifier_usd": (4, 1)} | change
    with pytest.raises(ValueError, match="tiers"):
        Outcomes(**{name: np.zeros(shape) for name, shape in shapes.items()})


def test_outcomes_that_are_no_numbers_are_refused() -> None:
    made = by_hand()
    with pytest.raises(ValueError, match="finite"):
        Outcomes(made.quality * np.nan, made.cost_usd, made.sureness, made.verifier_usd)


@pytest.mark.parametrize(("n", "tiers"), [(49, ("a", "b")), (100, ("a",)), (100, ("a", "b", "c"))])
def test_too_few_prompts_or_names_teach_nothing(n: int, tiers: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="name for each tier"):
        learn(outcomes(0.8, n), tiers)


def test_the_same_outcomes_teach_the_same() -> None:
    first: Cascade = learn(outcomes(0.8), ("a", "b"))

    assert learn(outcomes(0.8), ("a", "b")) == first
