from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from unit.ml.estimators.check import check_estimator, columns
from unit.ml.worlds import world

from pointsman.ml.base import State
from pointsman.ml.estimators.size import Largest, Smallest, size_of


def order(kind: type[Smallest], models: tuple[str, ...], cost: list[float], sizes: dict[str, str] | None = None) -> str:
    """The models as put in order, the preferred one first, by their first letters."""
    features, table = world(5)
    table = replace(
        columns(table, range(len(models))), models=models, cost_usd=np.tile(np.array(cost, np.float32), (5, 1))
    )
    quality = kind(sizes=sizes or {}).fit(features, table).score(features).quality[0]
    return "".join(models[i][0] for i in np.argsort(-quality))


def test_it_keeps_the_protocol() -> None:
    check_estimator(Smallest)
    check_estimator(Largest)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("7B", 7),
        ("llama-3.1-70b-instruct", 70),
        ("Mixtral-8x7B", 56),
        ("qwen2.5:0.5b", 0.5),
        ("a-7b-of-70b", 70),
        ("gpt-4o", None),
        ("web3b2", None),
        ("", None),
    ],
)
def test_sizes_are_read_from_what_is_said(text: str, size: float | None) -> None:
    assert size_of(text) == size


def test_size_decides() -> None:
    models = ("a-70b", "b-7b", "c-8x7b")
    assert order(Smallest, models, [1, 2, 3]) == "bca"
    assert order(Largest, models, [1, 2, 3]) == "acb"


def test_a_declared_size_goes_before_the_name() -> None:
    assert order(Smallest, ("a-70b", "b-7b"), [1, 1], {"a-70b": "1B"}) == "ab"
    assert order(Smallest, ("a", "b"), [1, 2], {"a": "70B", "b": "7B"}) == "ba"


def test_price_decides_where_a_size_is_not_known() -> None:
    assert order(Smallest, ("a-7b", "b", "c-70b"), [3, 2, 1]) == "cba"
    assert order(Largest, ("a-7b", "b", "c-70b"), [3, 2, 1]) == "abc"


def test_of_equal_sizes_the_cheaper_one_is_smaller_and_of_equal_prices_the_name_decides() -> None:
    assert order(Smallest, ("b-7b", "a-7b", "c-7b"), [2, 2, 1]) == "cab"
    assert order(Largest, ("b-7b", "a-7b", "c-7b"), [2, 2, 1]) == "abc"


def test_a_model_without_a_price_stands_in_the_middle() -> None:
    assert order(Smallest, ("a", "b", "c"), [1, np.nan, 3]) == "abc"
    assert order(Smallest, ("b", "a"), [np.nan, np.nan]) == "ab"


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="fit together"):
        Smallest.from_state(State({"preference": np.zeros(2), "cost": np.zeros(3)}, {"sizes": {}}))
