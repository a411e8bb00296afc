from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from queued import CHAT

from pointsman.batches.protocol.lines import LineRequest
from pointsman.batches.protocol.providers.base import Progress, cost, passed
from pointsman.errors import InvalidRequest
from pointsman.providers.base import Price
from pointsman.wire import operations as op
from pointsman.wire.usage import Usage


@pytest.mark.parametrize(
    "more",
    [
        {"fallbacks": ["other"]},
        {"drop_params": True},
        {"metadata": {"tags": ["night"]}},
        {"system": "Be brief"},
        {"tools": [{"type": "mcp", "server_url": "litellm_proxy"}]},
    ],
)
def test_a_line_about_which_the_gateway_would_have_to_do_something_is_none_for_a_provider(more: dict[str, Any]) -> None:
    body = json.dumps({"model": "house", "messages": [], **more}).encode()
    with pytest.raises(InvalidRequest, match="how they are to be served"):
        passed(LineRequest("mine", CHAT, op.CHAT, body), "up-1")


def test_it_costs_half() -> None:
    price = Price(input_usd_per_token=Decimal("0.001"), output_usd_per_token=Decimal("0.002"))
    assert cost(price, Usage(input_tokens=2, output_tokens=1, total_tokens=3)) == Decimal("0.002")
    assert cost(Price(), Usage(input_tokens=2)) == 0


def test_what_was_asked_is_in_doubt_for_all_but_the_lease_that_it_was_to_be_asked_under() -> None:
    asked = Progress(ask=7, asked_at=1.0)
    assert [asked.is_in_doubt(fence) for fence in (6, 7, 8)] == [True, False, True]
    assert asked.is_asked
    assert not asked.unasked().is_asked
    assert not asked.unasked().is_in_doubt(8)
    assert Progress(file="f").is_asked
    assert not Progress(file="f", batch="b").is_asked
    assert not Progress(ask=7, asked_at=1.0, batch="b").is_in_doubt(8)
