"""What a request cost: usage times price.

Each price counts what it is given for: tokens, queries, images, seconds, characters. A price that is unknown
while there was something to pay for makes the cost unknown; it never counts as nothing.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from pointsman.providers.base import Price
from pointsman.wire.usage import Usage

_STEP = Decimal("1e-12")
_ZERO = Decimal(0)


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
    input_price, output_price = price.input_usd_per_token, price.output_usd_per_token
    if not usage.cached_input_tokens and input_price is not None and output_price is not None:
        return input_price * usage.input_tokens + output_price * usage.output_tokens
    cached = min(max(usage.cached_input_tokens, 0), usage.input_tokens)
    cached_price = price.cached_input_usd_per_token
    if cached_price is None:
        cached_price = price.input_usd_per_token
    pairs = (
        (price.input_usd_per_token, usage.input_tokens - cached),
        (cached_price, cached),
        (price.output_usd_per_token, usage.output_tokens),
    )
    total = _ZERO
    for each, count in pairs:
        if count <= 0:
            continue
        if each is None:
            return None
        total += each * count
    return total
