from __future__ import annotations

from typing import Any

import pytest

from pointsman.providers.dialects.anthropic.usage import read_tier, read_usage, write_tier, write_usage
from pointsman.wire.usage import Usage

WIRE = {
    "input_tokens": 10,
    "cache_read_input_tokens": 200,
    "cache_creation_input_tokens": 30,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
    "output_tokens": 7,
    "output_tokens_details": {"thinking_tokens": 3},
}
USAGE = Usage(
    input_tokens=240,
    output_tokens=7,
    total_tokens=247,
    cached_input_tokens=200,
    cache_write_tokens=30,
    cache_write_1h_tokens=10,
    reasoning_tokens=3,
)


def test_the_input_counts_what_the_cache_gave_and_took() -> None:
    assert read_usage(WIRE) == USAGE
    assert write_usage(USAGE) == WIRE


@pytest.mark.parametrize("raw", [None, 7, [], {"input_tokens": "many"}])
def test_what_is_no_usage_leaves_what_was_known(raw: Any) -> None:
    assert read_usage(raw) is None
    assert read_usage(raw, USAGE) is USAGE


def test_a_later_report_adds_what_it_says_and_takes_nothing_back() -> None:
    later = read_usage({"output_tokens": 90, "input_tokens": 0, "cache_read_input_tokens": None}, USAGE)
    assert later is not None
    assert (later.input_tokens, later.output_tokens, later.total_tokens) == (240, 90, 330)
    assert (later.cached_input_tokens, later.cache_write_tokens, later.reasoning_tokens) == (200, 30, 3)


def test_a_later_report_may_count_more_input() -> None:
    later = read_usage({"input_tokens": 61, "output_tokens": 2}, read_usage({"input_tokens": 43, "output_tokens": 1}))
    assert later == Usage(input_tokens=61, output_tokens=2, total_tokens=63)


def test_nothing_is_less_than_nothing() -> None:
    assert read_usage({"input_tokens": -5}) == Usage()
    assert write_usage(Usage(input_tokens=5, cached_input_tokens=9))["input_tokens"] == 0
    assert set(write_usage(None).values()) == {0}


def test_tiers_have_other_names() -> None:
    assert [read_tier({"service_tier": "standard"}), read_tier({"service_tier": "priority"})] == ["default", "priority"]
    assert [write_tier("default"), write_tier("priority")] == ["standard", "priority"]


@pytest.mark.parametrize("tier", ["batch", "flex", 7, None, []])
def test_other_tiers_are_not_named(tier: Any) -> None:
    assert read_tier({"service_tier": tier}) is None
    assert write_tier(tier) is None
