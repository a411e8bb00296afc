from __future__ import annotations

import numpy as np

from pointsman.ml.base import Floats
from pointsman.ml.caution import BEHIND, LEAST_LEAD, UNFAMILIAR_LEAD, cautious, needed


def held(*lead: float, familiarity: float = 1.0) -> Floats:
    """By how much models lead over the first one in the end."""
    quality = 0.5 + np.array([[0, *lead]], np.float32)
    found = cautious(quality, 0, needed(np.array([familiarity], np.float32)))
    assert found[0, 0] == quality[0, 0]
    leads: Floats = found[0, 1:] - found[0, 0]
    return leads


def test_a_lead_counts_from_a_certain_size_on() -> None:
    assert held(LEAST_LEAD + 0.01)[0] > 0
    assert held(LEAST_LEAD - 0.01)[0] < 0
    np.testing.assert_allclose(held(0.3), 0.3 - LEAST_LEAD, atol=1e-6)


def test_it_has_to_be_larger_where_the_prompt_is_not_familiar() -> None:
    for familiarity in (0.0, 0.5, 1.0):
        enough = LEAST_LEAD + UNFAMILIAR_LEAD * (1 - familiarity)
        assert held(enough + 1e-3, familiarity=familiarity)[0] > 0 > held(enough - 1e-3, familiarity=familiarity)[0]


def test_what_does_not_lead_is_left_nearly_as_it_is() -> None:
    np.testing.assert_allclose(held(-0.3, -0.1, -0.001), [-0.3, -0.1, -0.001], atol=2e-3)


def test_the_order_of_models_is_kept() -> None:
    leads = np.linspace(-0.2, 0.2, 101)
    assert (np.diff(held(*leads)) > 0).all()
    assert (held(*leads[leads <= 0]) < 0).all()


def test_a_prompt_without_models_that_lead_keeps_its_best() -> None:
    assert cautious(np.full((1, 3), 0.5, np.float32), 1, np.ones((1, 1), np.float32)).argmax() == 1
    assert cautious(np.empty((0, 3), np.float32), 1, np.empty((0, 1), np.float32)).shape == (0, 3)


def test_it_has_to_be_larger_where_those_who_were_asked_disagree() -> None:
    leads = np.array([[0.0, 0.01, 0.2]], np.float32)
    enough = needed(np.ones(1, np.float32), leads)
    assert enough.shape == (1, 3)
    assert (np.diff(enough[0]) > 0).all()
    quality = np.array([[0.5, 0.56, 0.58]], np.float32)
    assert cautious(quality, 0, enough).argmax() == 1


def test_each_lead_is_held_by_what_is_needed_of_it() -> None:
    chance = np.random.default_rng(0)
    quality, enough = (chance.random((200, 5)).astype(np.float32) for _ in range(2))
    enough = 0.01 + 0.3 * enough
    for found, row, least in zip(cautious(quality, 2, enough), quality.tolist(), enough.tolist(), strict=True):
        for place, (value, limit) in enumerate(zip(row, least, strict=True)):
            lead = value - row[2]
            small = BEHIND * (min(max(lead, 0), limit) / limit - 1) if place != 2 else 0
            held = lead - limit if lead > limit else min(lead, 0) + small
            np.testing.assert_allclose(found[place], row[2] + held, atol=1e-6)
