from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pointsman.ml.base import Scores
from pointsman.ml.custom import check_scores, problems_of


class Whole:
    NAME = "whole"

    def fit(self, features: Any, table: Any) -> Whole:
        return self

    def score(self, features: Any) -> Any: ...

    def state(self) -> Any: ...

    @classmethod
    def from_state(cls, state: Any) -> Whole:
        return cls()


class Poor:
    NAME = ""

    def __init__(self, value: int) -> None:
        self.value = value

    def fit(self, features: Any) -> Any: ...

    def from_state(self) -> Any: ...

    state = 3


def test_a_whole_estimator_has_no_problems() -> None:
    assert problems_of(Whole) == []


def test_all_problems_are_told_at_once() -> None:
    assert problems_of(Poor) == [
        "NAME has to be a text",
        "it has to be made without values",
        "fit has to take 2 values",
        "there is no method score",
        "there is no method state",
        "from_state has to be a class method",
    ]


@pytest.mark.parametrize("candidate", [Whole(), None, "module:Class", lambda: None])
def test_what_is_no_class_is_no_estimator(candidate: object) -> None:
    assert "is not a class" in problems_of(candidate)[0]


def scores(**changed: Any) -> Scores:
    parts = {name: np.full((2, 3), 0.5, np.float32) for name in ("quality", "variance", "cost_usd")}
    return Scores(**(parts | changed))


def test_scores_that_can_be_decided_by_pass() -> None:
    check_scores(scores(), 2, 3)
    check_scores(Scores(*[np.zeros((0, 3), np.float32)] * 3), 0, 3)


@pytest.mark.parametrize(
    "changed",
    [
        {"quality": np.zeros((3, 2), np.float32)},
        {"quality": np.full((2, 3), 1.1, np.float32)},
        {"quality": np.full((2, 3), np.nan, np.float32)},
        {"quality": [[0.5] * 3] * 2},
        {"quality": np.zeros((2, 3), np.int64)},
        {"variance": np.full((2, 3), -0.1, np.float32)},
        {"variance": np.full((2, 3), np.inf, np.float32)},
        {"cost_usd": np.full((2, 3), -1e-9, np.float32)},
        {"cost_usd": None},
    ],
)
def test_scores_that_cannot_be_decided_by_are_refused(changed: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(changed))):
        check_scores(scores(**changed), 2, 3)
