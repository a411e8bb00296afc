from __future__ import annotations

import pytest
from unit.routing.builders import chances, member

from pointsman.routing.registry import ENFORCES_RATES, LEARNED, PREFIX, STRATEGIES, learned_name
from pointsman.routing.settings import RoutingSettings


def test_the_default_strategy_is_one() -> None:
    assert RoutingSettings().strategy in STRATEGIES


def test_those_that_enforce_rates_are_strategies() -> None:
    assert set(STRATEGIES) >= ENFORCES_RATES


@pytest.mark.parametrize("name", sorted(STRATEGIES))
@pytest.mark.parametrize("at", [0.0, 0.5, 0.999_999])
def test_each_strategy_names_one_of_those_it_was_given(name: str, at: float) -> None:
    members = [member(ident) for ident in "abc"]
    for count in (1, 2, 3):
        assert STRATEGIES[name](members[:count], 100.0, chances(at)) in members[:count]


def test_a_learned_strategy_is_told_by_its_name() -> None:
    assert [learned_name(PREFIX + name) for name in LEARNED] == list(LEARNED)
    assert (learned_name("knn"), learned_name("llmrouter-nn"), learned_name("simple-shuffle")) == (None, None, None)
