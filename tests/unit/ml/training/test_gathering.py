from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from pointsman.ml.base import Table
from pointsman.ml.training import gathering
from pointsman.ml.training.gathering import BadData, Gathering, Outcome, Reading

ONE = Outcome(prompt="What is 2 + 2?", model="small", score=1.0)


def read(*outcomes: Outcome, prices: dict[str, tuple[float, float]] | None = None) -> Reading:
    found = Gathering((prices or {}).get)
    for place, outcome in enumerate(outcomes):
        found.add(f"line {place + 1}", outcome)
    return found.reading(("long",), ("a.jsonl",))


def changed(**members: Any) -> Outcome:
    return msgspec.structs.replace(ONE, **members)


def table(*outcomes: Outcome, prices: dict[str, tuple[float, float]] | None = None) -> Table:
    return read(*outcomes, prices=prices).table


@pytest.mark.requirement("routing.learned.formats")
def test_outcomes_become_a_table_with_gaps() -> None:
    found = table(ONE, changed(model="large", score=0.5, cost_usd=0.01), changed(prompt="Hi", model="large", score=0.0))
    assert found.models == ("large", "small")
    assert list(found.prompts) == ["What is 2 + 2?", "Hi"]
    np.testing.assert_allclose(found.quality, [[0.5, 1.0], [0.0, np.nan]])
    np.testing.assert_allclose(found.cost_usd, [[0.01, np.nan], [np.nan, np.nan]])


def test_models_are_in_the_order_of_their_names_whatever_that_of_the_file() -> None:
    outcomes = [changed(model=name, score=float(name == "b")) for name in "cab"]
    for order in ([0, 1, 2], [2, 1, 0]):
        found = table(*(outcomes[i] for i in order))
        assert found.models == ("a", "b", "c")
        assert found.quality.tolist() == [[0.0, 1.0, 0.0]]


def test_several_outcomes_of_one_pair_are_averaged() -> None:
    assert table(ONE, changed(score=0.0), changed(score=None)).quality.tolist() == [[0.5]]


def test_prompts_of_different_users_and_ids_are_different() -> None:
    found = table(ONE, changed(user="ada"), changed(prompt_id="7"))
    assert len(found) == 3
    assert list(found.users) == ["", "ada", ""]
    assert found.prompt_ids[2] == "7"
    assert len(set(found.prompt_ids)) == 3


def test_a_prompt_without_an_id_gets_the_same_one_every_time() -> None:
    assert table(ONE).prompt_ids == table(changed(model="x")).prompt_ids


def test_what_nobody_says_is_not_there() -> None:
    found = table(ONE)
    assert (found.tasks, found.users, found.completion_tokens, found.weights) == ((), (), None, None)


@pytest.mark.parametrize(
    ("members", "cost"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 50}, (100 * 2 + 50 * 6) / 1e6),
        ({"total_tokens": 104}, (4 * 2 + 100 * 6) / 1e6),
        ({"prompt_tokens": 100, "total_tokens": 150}, (100 * 2 + 50 * 6) / 1e6),
        ({"prompt_tokens": 100}, (100 * 2 + 200 * 6) / 1e6),
        ({}, (4 * 2 + 200 * 6) / 1e6),
        ({"cost_usd": 0.5, "prompt_tokens": 100}, 0.5),
        ({"cost_usd": float("nan"), "total_tokens": 2}, 2 * 2 / 1e6),
    ],
)
def test_prices_and_lengths_give_a_cost_where_none_is_given(members: dict[str, float], cost: float) -> None:
    found = table(changed(**members), prices={"small": (2.0, 6.0)})
    assert found.cost_usd[0, 0] == pytest.approx(cost)


def test_lengths_of_answers_are_kept() -> None:
    found = table(changed(completion_tokens=50), changed(prompt="Hi", total_tokens=31))
    assert found.completion_tokens is not None
    assert found.completion_tokens.tolist() == [[50.0], [30.0]]
    assert found.prompt_tokens is not None
    assert found.prompt_tokens.tolist() == [[4.0], [1.0]]
    assert table(changed(prompt_tokens=9)).prompt_tokens is None


def test_what_was_taken_for_granted_is_noted() -> None:
    notes = read(ONE, changed(model="large"), prices={"small": (1.0, 1.0)}).notes
    assert "the costs of 1 outcomes are estimates" in notes[0]
    assert "nothing is known of the costs of large" in notes[1]
    assert read(changed(cost_usd=0.1)).notes == ()


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"score": 1.5}, "a score is from 0 to 1, not 1.5"),
        ({"score": -0.1}, "a score is not -0.1"),
        ({"score": float("inf")}, "a score is not inf"),
        ({"cost_usd": -1.0}, "a cost is not -1"),
        ({"prompt_tokens": -1}, "a prompt_tokens is not -1"),
        ({"prompt": " \n"}, "the prompt is empty"),
        ({"model": ""}, "the model has no name"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(members: dict[str, Any], what: str) -> None:
    with pytest.raises(BadData, match=f"^line 1: {what}"):
        read(changed(**members))


def test_nothing_is_no_table() -> None:
    with pytest.raises(BadData, match=r"a\.jsonl: holds no outcome"):
        read()


@pytest.mark.parametrize(
    ("name", "limit"), [("MAX_PROMPTS", 1), ("MAX_MODELS", 1), ("MAX_CELLS", 3), ("MAX_CHARACTERS", 20)]
)
def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, limit: int) -> None:
    monkeypatch.setattr(gathering, name, limit)
    with pytest.raises(BadData, match="more than"):
        read(ONE, changed(model="large"), changed(prompt="Something else?"))


@pytest.mark.requirement("routing.learned.test-rows")
def test_rows_of_the_split_test_are_kept_apart() -> None:
    found = read(changed(split="train"), changed(prompt="Hi", split="test"), changed(prompt="Ho", split=""))
    assert found.splits == ("train", "test", "")
    assert list(found.trainable.prompts) == ["What is 2 + 2?", "Ho"]
    assert list(found.tested.prompts) == ["Hi"]


def test_a_prompt_cannot_be_in_two_splits() -> None:
    with pytest.raises(BadData, match="in two splits, 'train' and 'test'"):
        read(changed(split="train"), changed(split="test", model="large"))
