from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.store.base import Conflict, nano_usd, usd


@given(st.integers(-(2**63), 2**63 - 1))
def test_nano_dollars_are_exact(nano: int) -> None:
    assert nano_usd(usd(nano)) == nano


@pytest.mark.parametrize(
    ("dollars", "nano"), [("0.0000000375", 38), ("0.0000000365", 36), ("1.5", 1_500_000_000), ("0", 0)]
)
def test_dollars_are_rounded_once_to_a_nano_dollar(dollars: str, nano: int) -> None:
    assert nano_usd(Decimal(dollars)) == nano


def test_a_conflict_says_where() -> None:
    assert str(Conflict("keys", "k1", "version")) == "keys k1: version"
