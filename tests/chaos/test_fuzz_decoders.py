"""Whatever a client or a provider sends, it is read or refused, and nothing else happens."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from chaos.fuzz_decoders import fuzz, samples, take_answer, take_request
from matrix.asked import CLIENTS, MODELS, PROVIDERS
from matrix.malformed import variants

from pointsman.errors import GatewayError

CASES = 5000


def of_kind(wanted: str) -> list[Any]:
    found = [
        pytest.param(dialect, values[0], id=f"{dialect}-{number}")
        for number, (kind, dialect, values) in enumerate(samples())
        if kind == wanted
    ]
    assert found
    return found


@pytest.mark.requirement("dialects.fuzz")
def test_what_was_broken_at_random_is_read_or_refused() -> None:
    tally = fuzz(seed=7, first=0, n_cases=CASES)
    assert tally.defects == []
    assert tally.read > CASES // 3
    assert tally.refused > CASES // 10


@pytest.mark.requirement("dialects.fuzz")
@pytest.mark.parametrize(("dialect", "sample"), of_kind("requests_in"))
def test_a_request_with_a_member_of_another_type_is_read_or_refused(dialect: str, sample: Any) -> None:
    blamed = set()
    for number, variant in enumerate(variants(sample)):
        provider = PROVIDERS[number % len(PROVIDERS)]
        try:
            take_request(msgspec.json.encode(variant), dialect, provider, MODELS[provider])
        except GatewayError as error:
            blamed.add(error.source)
    assert blamed == {"caller"}


@pytest.mark.requirement("dialects.fuzz")
@pytest.mark.parametrize(("dialect", "sample"), of_kind("answers"))
def test_an_answer_with_a_member_of_another_type_is_read_or_refused(dialect: str, sample: Any) -> None:
    blamed = set()
    for number, variant in enumerate(variants(sample)):
        try:
            take_answer(msgspec.json.encode(variant), dialect, CLIENTS[number % len(CLIENTS)])
        except GatewayError as error:
            blamed.add(error.source)
    assert blamed == {"upstream"}
