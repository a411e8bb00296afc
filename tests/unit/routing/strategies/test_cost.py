from __future__ import annotations

from decimal import Decimal

from unit.routing.builders import chances, member

from pointsman.providers.base import Price
from pointsman.routing.strategies.cost import cost


def price(given: str | None, answered: str | None) -> Price:
    return Price(
        input_usd_per_token=None if given is None else Decimal(given),
        output_usd_per_token=None if answered is None else Decimal(answered),
    )


def test_the_cheapest_for_a_token_in_and_one_out_is_named() -> None:
    members = [
        member("a", price=price("0.001", "0.009")),
        member("b", price=price("0.004", "0.004")),
        member("c", price=price("0.005", "0.005")),
    ]
    assert {cost(members, 0.0, chances(at)).deployment.id for at in (0.0, 0.5, 0.99)} == {"b"}


def test_an_unknown_price_is_not_a_low_one() -> None:
    members = [member("a"), member("b", price=price("1", "1"))]
    assert cost(members, 0.0, chances(0.0)).deployment.id == "b"


def test_a_price_of_nought_is_the_lowest() -> None:
    members = [member("a", price=price("0.001", None)), member("b", price=price("0", "0"))]
    assert cost(members, 0.0, chances(0.0)).deployment.id == "b"


def test_equals_share_the_traffic_also_where_no_price_is_known() -> None:
    members = [member("a"), member("b")]
    assert [cost(members, 0.0, chances(at)).deployment.id for at in (0.0, 0.99)] == ["a", "b"]
