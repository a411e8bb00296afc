"""What a request cost: usage times price.

Each price counts what it is given for: tokens of each kind, queries, images, seconds, characters. A price that is
unknown while there was something to pay for makes the cost unknown; it never counts as nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import chain
from typing import TypeAlias

from pointsman.providers.base import Price, PriceDetails
from pointsman.wire.usage import Usage

_STEP = Decimal("1e-12")
_ZERO = Decimal(0)
_NO_DETAILS = PriceDetails()
_Part: TypeAlias = tuple[Decimal | None, int]
"""The price of one token, and how many there were."""


def cost_usd(price: Price, usage: Usage) -> Decimal | None:
    """US dollars, rounded once, to 12 places; ``None`` when a price that is needed is unknown.

    What is counted besides tokens (search units, images, seconds, characters) is charged by its own price
    where there is one; the tokens reported beside it are charged too if they have a price. Without such a price the
    tokens alone are charged, if there are any: image and audio models are sold either way.
    """
    if not (usage.search_units or usage.images or usage.seconds or usage.characters):
        tokens = _cost_of_tokens(price, usage)
        return None if tokens is None else tokens.quantize(_STEP, ROUND_HALF_EVEN)
    counted = _cost_of_counts(price, usage)
    tokens = _cost_of_tokens(price, usage)
    if tokens is None and (counted is None or _sells_tokens(price, usage)):
        return None
    return ((counted or _ZERO) + (tokens or _ZERO)).quantize(_STEP, ROUND_HALF_EVEN)


def _sells_tokens(price: Price, usage: Usage) -> bool:
    has_price = price.input_usd_per_token is not None or price.output_usd_per_token is not None
    return has_price and (usage.input_tokens > 0 or usage.output_tokens > 0)


def _cost_of_counts(price: Price, usage: Usage) -> Decimal | None:
    """What queries, images, seconds and characters cost; ``None`` when none has both a count and a price."""
    pairs = (
        (price.usd_per_query, usage.search_units),
        (price.usd_per_image, usage.images),
        (price.usd_per_second, usage.seconds),
        (price.usd_per_character, usage.characters),
    )
    # The text of a float is exact where its binary value is not: 0.1 s is to cost a tenth.
    costs = [each * Decimal(str(count)) for each, count in pairs if each is not None and count > 0]
    return sum(costs, _ZERO) if costs else None


def _cost_of_tokens(price: Price, usage: Usage) -> Decimal | None:
    """What tokens cost; ``None`` when there were none, or the price of a kind that there was is unknown.

    Cached input without a price of its own costs what other input costs.
    """
    if usage.input_tokens <= 0 and usage.output_tokens <= 0:
        return None
    if price.details is not None and _is_special(price.details, usage):
        return _cost_in_detail(price, price.details, usage)
    input_price, output_price = price.input_usd_per_token, price.output_usd_per_token
    if not usage.cached_input_tokens and input_price is not None and output_price is not None:
        return input_price * usage.input_tokens + output_price * usage.output_tokens
    cached = ((price.cached_input_usd_per_token, usage.cached_input_tokens),)
    return _sum(_parts(input_price, usage.input_tokens, cached), _parts(output_price, usage.output_tokens, ()))


def _is_special(details: PriceDetails, usage: Usage) -> bool:
    """Whether one of these prices can matter to this usage."""
    return bool(
        usage.reasoning_tokens
        or usage.cache_write_tokens
        or usage.audio_input_tokens
        or usage.audio_output_tokens
        or usage.image_input_tokens
        or usage.image_output_tokens
        or (details.tiers and usage.input_tokens > details.tiers[-1].above)
    )


def _cost_in_detail(price: Price, details: PriceDetails, usage: Usage) -> Decimal | None:
    for tier in details.tiers:
        if usage.input_tokens > tier.above:
            price, details = tier.price, tier.price.details or _NO_DETAILS
            break
    write_1h = details.cache_write_1h_usd_per_token
    if write_1h is None:
        write_1h = details.cache_write_usd_per_token
    given = (
        (price.cached_input_usd_per_token, usage.cached_input_tokens),
        (write_1h, usage.cache_write_1h_tokens),
        (details.cache_write_usd_per_token, usage.cache_write_tokens - usage.cache_write_1h_tokens),
        (details.audio_input_usd_per_token, usage.audio_input_tokens),
        (details.image_input_usd_per_token, usage.image_input_tokens),
    )
    made = (
        (details.reasoning_usd_per_token, usage.reasoning_tokens),
        (details.audio_output_usd_per_token, usage.audio_output_tokens),
        (details.image_output_usd_per_token, usage.image_output_tokens),
    )
    return _sum(
        _parts(price.input_usd_per_token, usage.input_tokens, given),
        _parts(price.output_usd_per_token, usage.output_tokens, made),
    )


def _parts(usual: Decimal | None, tokens: int, special: Iterable[_Part]) -> Iterator[_Part]:
    """Split ``tokens`` by their price; no token is counted twice, whatever the upstream says of its parts."""
    for price, count in special:
        taken = min(max(count, 0), tokens)
        tokens -= taken
        yield (usual if price is None else price, taken)
    yield (usual, tokens)


def _sum(*sides: Iterable[_Part]) -> Decimal | None:
    total = _ZERO
    for price, count in chain(*sides):
        if count <= 0:
            continue
        if price is None:
            return None
        total += price * count
    return total
