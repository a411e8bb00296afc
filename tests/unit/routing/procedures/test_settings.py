from __future__ import annotations

from typing import Any

import pytest

from pointsman.routing.procedures.settings import Ladder, ProcedureSettings, settings_of


def test_a_step_of_a_ladder_covers_an_equal_part_of_how_sure_the_verifier_can_be() -> None:
    ladder = Ladder(tiers=("a", "b", "c"), steps=((2, 1, 0, 0), (1,)))

    assert [ladder.after(0, sure) for sure in (0.0, 0.24, 0.25, 0.49, 0.5, 1.0)] == [2, 2, 1, 1, 0, 0]
    assert ladder.after(1, 0.0) == 1
    assert ladder.after(2, 0.0) == 2


@pytest.mark.parametrize("samples", range(1, 21))
def test_a_threshold_is_met_exactly_whatever_the_number_of_judgements(samples: int) -> None:
    for right in range(samples + 1):
        for hundredths in range(101):
            ladder = Ladder.of_thresholds(("a", "b"), 0.0, hundredths / 100)
            # A range is one hundredth wide.
            is_kept = right * 100 // samples >= min(hundredths, 99)
            assert (ladder.after(0, right / samples) == 0) == is_kept


def test_what_is_below_the_lower_of_two_thresholds_is_kept_too() -> None:
    ladder = Ladder.of_thresholds(("a", "b"), 0.2, 0.8)

    assert [ladder.after(0, sure) for sure in (0.0, 0.19, 0.2, 0.5, 0.79, 0.8, 1.0)] == [0, 0, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("tiers", "steps"),
    [
        ((), ()),
        (("a", "a"), ((0,),)),
        (("a", "b"), ()),
        (("a", "b"), ((),)),
        (("a", "b"), ((2,),)),
        (("a", "b", "c"), ((0,), (0,))),
        (("a", "b"), ((-1,),)),
    ],
)
def test_a_ladder_that_leads_nowhere_is_refused(tiers: tuple[str, ...], steps: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="tier"):
        Ladder(tiers=tiers, steps=steps)


def test_a_document_says_what_it_wants_and_leaves_out_the_rest() -> None:
    said = {"threshold": [0.1, 0.7], "max_ask_cost": 0.05, "ladder": {"tiers": ["a", "b"], "steps": [[1, 0]]}}

    assert settings_of("r1", {}) == ProcedureSettings(strategy="r1")
    read = settings_of("automix", said)
    assert (read.hopeless, read.threshold, read.max_cost_usd) == (0.1, 0.7, 0.05)
    assert read.ladder == Ladder(tiers=("a", "b"), steps=((1, 0),))


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 1.5},
        {"threshold": [0.9, 0.1]},
        {"threshold": [0.9]},
        {"samples": 0},
        {"max_asks": 1000},
        {"samples": "5"},
        {"ladder": {"tiers": ["a", "b"], "steps": [[2]]}},
        {"max_round": 3},
    ],
)
def test_what_a_document_says_wrongly_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"threshold|samples|max_asks|ladder|max_round"):
        settings_of("automix", options)
