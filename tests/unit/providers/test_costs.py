from __future__ import annotations

from decimal import Decimal

import pytest

from pointsman.providers.base import Price, PriceDetails, Tier
from pointsman.providers.costs import cost_usd
from pointsman.wire.usage import Usage

CHAT = Price(
    input_usd_per_token=Decimal("0.0000025"),
    cached_input_usd_per_token=Decimal("0.00000125"),
    output_usd_per_token=Decimal("0.00001"),
)


def test_tokens_cost_what_each_kind_costs() -> None:
    usage = Usage(input_tokens=1000, cached_input_tokens=400, output_tokens=100, total_tokens=1100)
    assert cost_usd(CHAT, usage) == Decimal("0.0015") + Decimal("0.0005") + Decimal("0.001")


def test_cached_input_without_its_own_price_costs_like_other_input() -> None:
    price = Price(input_usd_per_token=Decimal("0.001"))
    assert cost_usd(price, Usage(input_tokens=10, cached_input_tokens=4)) == Decimal("0.01")


def test_more_cached_than_input_tokens_are_not_charged_twice() -> None:
    assert cost_usd(CHAT, Usage(input_tokens=10, cached_input_tokens=99)) == Decimal("0.0000125")


@pytest.mark.parametrize(
    ("price", "usage"),
    [
        (Price(), Usage(input_tokens=10, output_tokens=10)),
        (Price(input_usd_per_token=Decimal("0.001")), Usage(input_tokens=10, output_tokens=1)),
        (Price(output_usd_per_token=Decimal("0.001")), Usage(input_tokens=10, output_tokens=1)),
        (Price(), Usage(images=1)),
        (CHAT, Usage(seconds=3.0)),
        (CHAT, Usage()),
        (
            Price(usd_per_query=Decimal("0.005"), input_usd_per_token=Decimal("0.001")),
            Usage(search_units=1, input_tokens=2, output_tokens=1),
        ),
    ],
)
def test_an_unknown_price_makes_the_cost_unknown(price: Price, usage: Usage) -> None:
    assert cost_usd(price, usage) is None


def test_free_is_not_unknown() -> None:
    free = Price(input_usd_per_token=Decimal(0), output_usd_per_token=Decimal(0))
    assert cost_usd(free, Usage(input_tokens=10, output_tokens=10)) == 0


def test_embeddings_need_no_output_price() -> None:
    price = Price(input_usd_per_token=Decimal("0.00000002"))
    assert cost_usd(price, Usage(input_tokens=1000, total_tokens=1000)) == Decimal("0.00002")


@pytest.mark.parametrize(
    ("price", "usage", "cost"),
    [
        (Price(usd_per_query=Decimal("0.002")), Usage(search_units=3), "0.006"),
        (Price(usd_per_query=Decimal("0.002")), Usage(search_units=1, input_tokens=500), "0.002"),
        (Price(usd_per_image=Decimal("0.04")), Usage(images=2), "0.08"),
        (Price(usd_per_second=Decimal("0.0001")), Usage(seconds=0.1), "0.00001"),
        (Price(usd_per_character=Decimal("0.000015")), Usage(characters=100), "0.0015"),
    ],
)
def test_what_is_not_tokens_is_charged_by_its_count(price: Price, usage: Usage, cost: str) -> None:
    assert cost_usd(price, usage) == Decimal(cost)


def test_a_query_price_and_token_prices_add_up() -> None:
    price = Price(usd_per_query=Decimal("0.005"), input_usd_per_token=Decimal("0.001"))
    assert cost_usd(price, Usage(search_units=1, input_tokens=2)) == Decimal("0.007")


def test_the_sum_is_rounded_once_to_twelve_places() -> None:
    price = Price(input_usd_per_token=Decimal("0.0000000000004"), output_usd_per_token=Decimal("0.0000000000004"))
    assert cost_usd(price, Usage(input_tokens=1, output_tokens=1)) == Decimal("0.000000000001")


RICH = Price(
    input_usd_per_token=Decimal(1),
    cached_input_usd_per_token=Decimal("0.1"),
    output_usd_per_token=Decimal(4),
    details=PriceDetails(
        cache_write_usd_per_token=Decimal("1.25"),
        cache_write_1h_usd_per_token=Decimal(2),
        reasoning_usd_per_token=Decimal(5),
        audio_input_usd_per_token=Decimal(6),
        audio_output_usd_per_token=Decimal(7),
        image_input_usd_per_token=Decimal(8),
        image_output_usd_per_token=Decimal(9),
    ),
)


@pytest.mark.requirement("prices.kinds")
@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(input_tokens=10, output_tokens=10), "50"),
        (Usage(input_tokens=10, cache_write_tokens=4), "11"),
        (Usage(input_tokens=10, cache_write_tokens=4, cache_write_1h_tokens=1), "11.75"),
        (Usage(input_tokens=10, cached_input_tokens=5, cache_write_tokens=4), "6.5"),
        (Usage(output_tokens=10, reasoning_tokens=3), "43"),
        (Usage(input_tokens=10, audio_input_tokens=2), "20"),
        (Usage(output_tokens=10, audio_output_tokens=2), "46"),
        (Usage(input_tokens=10, image_input_tokens=2), "24"),
        (Usage(output_tokens=10, image_output_tokens=2), "50"),
        (Usage(input_tokens=10, cached_input_tokens=8, audio_input_tokens=8, image_input_tokens=8), "12.8"),
        (Usage(output_tokens=4, reasoning_tokens=99, audio_output_tokens=99), "20"),
    ],
)
def test_each_kind_of_token_has_its_price_and_none_is_charged_twice(usage: Usage, cost: str) -> None:
    assert cost_usd(RICH, usage) == Decimal(cost)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=5, output_tokens=5, cache_write_tokens=2, cache_write_1h_tokens=1),
        Usage(input_tokens=5, output_tokens=5, audio_input_tokens=2, image_input_tokens=2),
        Usage(input_tokens=5, output_tokens=5, reasoning_tokens=1, audio_output_tokens=1, image_output_tokens=1),
    ],
)
@pytest.mark.parametrize("details", [None, PriceDetails()])
def test_tokens_without_a_price_of_their_own_cost_what_others_do(usage: Usage, details: PriceDetails | None) -> None:
    price = Price(input_usd_per_token=Decimal(1), output_usd_per_token=Decimal(4), details=details)
    assert cost_usd(price, usage) == 25


def test_an_hours_cache_without_a_price_of_its_own_costs_what_a_short_one_does() -> None:
    price = Price(input_usd_per_token=Decimal(1), details=PriceDetails(cache_write_usd_per_token=Decimal(2)))
    assert cost_usd(price, Usage(input_tokens=3, cache_write_tokens=2, cache_write_1h_tokens=2)) == 5


def test_a_special_price_does_not_stand_in_for_an_unknown_usual_one() -> None:
    price = Price(details=PriceDetails(audio_input_usd_per_token=Decimal(1)))
    assert cost_usd(price, Usage(input_tokens=2, audio_input_tokens=1)) is None
    assert cost_usd(price, Usage(input_tokens=2, audio_input_tokens=2)) == 2


@pytest.mark.requirement("prices.long")
@pytest.mark.parametrize(("tokens", "each"), [(100, 1), (101, 2), (200, 2), (201, 3)])
def test_a_long_prompt_costs_more_from_its_first_token(tokens: int, each: int) -> None:
    tiers = tuple(
        Tier(above=above, price=Price(input_usd_per_token=Decimal(usd), output_usd_per_token=Decimal(usd * 10)))
        for above, usd in ((200, 3), (100, 2))
    )
    price = Price(input_usd_per_token=Decimal(1), output_usd_per_token=Decimal(10), details=PriceDetails(tiers=tiers))
    assert cost_usd(price, Usage(input_tokens=tokens, output_tokens=1)) == each * (tokens + 10)
