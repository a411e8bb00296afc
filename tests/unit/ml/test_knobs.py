from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from pointsman.ml.knobs import ANYTHING, HIGHEST_PRICE, PRICES, Frontier, Wish, price_of, wish_of

FRONTIER = Frontier(
    price=(0.0, 1.0, 10.0, 100.0, 1000.0),
    cost_usd=(0.010, 0.008, 0.004, 0.002, 0.001),
    quality=(0.80, 0.81, 0.75, 0.60, 0.41),
    baseline_quality=0.74,
)


@pytest.mark.parametrize(
    ("alias", "wish"),
    [
        ("auto", ANYTHING),
        ("auto:cheap", Wish(quality=0.5)),
        ("auto:best", Wish(quality=1.0)),
        ("auto:0.7", Wish(quality=0.7)),
        ("auto:.7", Wish(quality=0.7)),
        ("auto:1", Wish(quality=1.0)),
        ("auto:1.5", None),
        ("auto:dear", None),
        ("auto:", None),
        ("auto:-1", None),
        ("automatic", None),
        ("gpt-4o", None),
    ],
)
def test_an_alias_says_what_is_wished(alias: str, wish: Wish | None) -> None:
    assert wish_of(alias) == wish


@pytest.mark.parametrize(
    "fields", [{"quality": 1.1}, {"quality": math.nan}, {"min_quality": -0.1}, {"max_cost_usd": -1.0}]
)
def test_a_wish_out_of_range_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        Wish(**fields)


def test_the_other_wish_fills_in_and_the_stricter_limit_holds() -> None:
    route = Wish(quality=0.3, max_cost_usd=0.01, min_quality=0.5)
    assert Wish(quality=0.9).over(route).quality == 0.9
    assert ANYTHING.over(route) == route
    assert Wish(max_cost_usd=0.1, min_quality=0.7).over(route) == Wish(max_cost_usd=0.01, min_quality=0.7)


@pytest.mark.parametrize(("share", "price"), [(0.0, 1000.0), (0.4, 100.0), (0.5, 10.0), (0.9, 1.0), (1.0, 1.0)])
def test_the_knob_is_the_share_of_the_way_from_the_cheapest_to_the_best(share: float, price: float) -> None:
    assert FRONTIER.price_for(share) == price


def test_a_lucky_point_behind_a_bad_one_is_not_trusted() -> None:
    lucky = Frontier(
        price=(0.0, 1.0, 10.0, 100.0),
        cost_usd=(0.01, 0.008, 0.004, 0.002),
        quality=(0.8, 0.78, 0.6, 0.79),
        baseline_quality=0.75,
    )
    assert lucky.price_as_good == 1.0
    assert lucky.price_for(0.8) == 1.0
    assert lucky.price_for(0.0) == 100.0


def test_unasked_the_price_is_the_highest_that_is_as_good_as_the_best_single_model() -> None:
    assert price_of(ANYTHING, FRONTIER) == FRONTIER.price_as_good == 10.0


def test_where_nothing_is_as_good_the_lowest_price_is_taken() -> None:
    hopeless = Frontier(price=(0.0, 1.0), cost_usd=(1.0, 0.5), quality=(0.5, 0.4), baseline_quality=0.9)
    assert hopeless.price_as_good == 0.0


def test_a_wish_for_a_quality_of_the_answer_takes_the_cheapest_that_has_it() -> None:
    assert price_of(Wish(min_quality=0.7), FRONTIER) == HIGHEST_PRICE
    assert price_of(Wish(min_quality=0.7, quality=0.4), FRONTIER) == 100.0


def test_the_price_for_a_cost_is_the_lowest_that_keeps_it() -> None:
    assert FRONTIER.price_under(0.005) == 10.0
    assert FRONTIER.price_under(1.0) == 0.0
    assert FRONTIER.price_under(0.0001) == 1000.0


def test_a_flat_frontier_has_a_knob_with_two_ends() -> None:
    flat = Frontier(price=(0.0, 1.0), cost_usd=(1.0, 0.5), quality=(0.5, 0.5), baseline_quality=0.5)
    assert flat.price_for(0.0) == 1.0
    assert flat.price_for(1.0) == 0.0
    assert flat.share_at(0.0) == 1.0


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_a_price_says_at_which_setting_it_stands(share: float) -> None:
    price = FRONTIER.price_for(share)
    assert FRONTIER.price_for(FRONTIER.share_at(price)) == price
    assert FRONTIER.share_at(price) >= share


@pytest.mark.parametrize(
    "fields",
    [
        {"price": ()},
        {"price": (0.0, 1.0)},
        {"price": (1.0, 0.0, 2.0, 3.0, 4.0)},
        {"price": (0.0, 1.0, 1.0, 3.0, 4.0)},
        {"price": (-1.0, 0.0, 2.0, 3.0, 4.0)},
        {"quality": (0.1, 0.2, math.nan, 0.3, 0.4)},
        {"baseline_quality": math.inf},
    ],
)
def test_a_frontier_that_is_none_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="frontier"):
        msgspec.structs.replace(FRONTIER, **fields)


def test_routers_are_measured_at_122_prices_up_to_the_highest() -> None:
    assert (len(PRICES), PRICES[0], PRICES[1], PRICES[-1]) == (122, 0.0, 1.0, HIGHEST_PRICE)
