from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from unit.routing.builders import member

from pointsman.ml.checkpoint import Model
from pointsman.providers.base import Price
from pointsman.routing.members import Member
from pointsman.routing.strategies.pricing import factor_of, group_price

CHEAP = Price(input_usd_per_token=Decimal(1), output_usd_per_token=Decimal(2))
DEAR = Price(
    input_usd_per_token=Decimal(5), output_usd_per_token=Decimal(10), cached_input_usd_per_token=Decimal("0.5")
)
WAS = Model(name="a", cost_usd=0.02)
PRICED = Model(name="a", cost_usd=0.02, input_usd_per_million=1.0, output_usd_per_million=3.0)


def _price(one: Member) -> Price:
    return one.deployment.price


def _of(*members: Member, is_shared: bool = True) -> Price:
    """The price, which no order of the members changes."""
    (found,) = {group_price(order, _price, is_shared=is_shared) for order in permutations(members)}
    return found


@pytest.mark.parametrize("share", ["weight", "rpm", "tpm"])
def test_a_group_costs_what_its_deployments_do_by_their_shares(share: str) -> None:
    three: dict[str, Any] = {share: 3}
    one: dict[str, Any] = {share: 1}
    cheap, dear = member("a", price=CHEAP, **three), member("b", price=DEAR, **one)
    assert _of(cheap, dear) == Price(
        input_usd_per_token=Decimal(2),
        output_usd_per_token=Decimal(4),
        cached_input_usd_per_token=Decimal("0.875"),
    )


def test_where_something_else_chooses_it_costs_what_its_dearest_does() -> None:
    assert _of(member("a", price=CHEAP), member("b", price=DEAR), is_shared=False) == DEAR


def test_only_those_count_that_go_first() -> None:
    assert _of(member("a", price=CHEAP), member("b", price=DEAR, order=2)) == CHEAP


@pytest.mark.parametrize("fields", [{}, {"order": 2}, {"weight": 9}])
def test_who_has_no_price_says_nothing_of_it(fields: dict[str, Any]) -> None:
    assert _of(member("a", price=CHEAP), member("b", **fields)) == CHEAP


def test_a_price_is_known_of_those_that_go_later_where_the_first_have_none() -> None:
    assert _of(member("a"), member("b", price=DEAR, order=2)) == DEAR


def test_without_any_price_nothing_is_known() -> None:
    assert _of(member("a"), member("b")) == Price()


def test_tokens_tell_what_prices_come_to() -> None:
    tokens = {"tokens": {"a": [1000, 500.0, 0.02]}}
    assert factor_of(WAS, tokens, 2.0, 4.0) == pytest.approx(0.004 / 0.02)
    assert factor_of(PRICED, tokens, 2.0, 4.0) == pytest.approx(0.004 / 0.02)


def test_without_tokens_the_prices_of_then_tell_it() -> None:
    assert factor_of(PRICED, {}, 4.0, 4.0) == 2.0


def test_what_is_free_now_costs_nothing() -> None:
    assert factor_of(WAS, {}, 0.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("was", "tokens", "prices"),
    [
        (WAS, {"a": [1000, 500, 0.02]}, (None, 4.0)),
        (WAS, {"b": [1000, 500, 0.02]}, (2.0, 4.0)),
        (WAS, {"a": [1000, 500, 0.0]}, (2.0, 4.0)),
        (WAS, {"a": [1000, 500, 1e-300]}, (2.0, 4.0)),
        (WAS, {"a": [1000, -5, 1]}, (2.0, 4.0)),
        (WAS, {"a": [1000, "5", 1]}, (2.0, 4.0)),
        (WAS, {"a": [1000]}, (2.0, 4.0)),
        (WAS, [], (2.0, 4.0)),
        (Model(name="a", input_usd_per_million=0.0, output_usd_per_million=0.0), {}, (2.0, 4.0)),
    ],
)
def test_what_cannot_be_told_is_nothing(was: Model, tokens: Any, prices: tuple[Any, Any]) -> None:
    assert factor_of(was, {"tokens": tokens}, *prices) is None
