from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pointsman.ml.base import Table
from pointsman.ml.table import columns, digest, folds, normalised, rows

TABLE = Table(
    prompts=["Ah", "Be", "Ce", "De"],
    models=("x", "y"),
    quality=np.arange(8, dtype=np.float32).reshape(4, 2) / np.float32(8),
    cost_usd=np.arange(8, dtype=np.float32).reshape(4, 2),
    tasks=["t", "u", "t", "u"],
    weights=np.array([1, 2, 3, 4], np.float32),
)


def test_case_and_white_space_make_no_other_prompt() -> None:
    assert normalised("  What\n is\tTHIS ") == "what is this"
    assert np.array_equal(folds(["What is this", "what IS\nthis"], 97), folds(["WHAT is this"] * 2, 97))


def test_the_fold_of_a_prompt_does_not_depend_on_the_others() -> None:
    prompts = [f"prompt {i}" for i in range(2000)]
    found = folds(prompts, 4)
    assert np.array_equal(found[::-1], folds(prompts[::-1], 4))
    assert np.bincount(found, minlength=4).min() > 430
    assert not np.array_equal(found, folds(prompts, 4, seed=1))
    assert folds([], 4).shape == (0,)


def test_rows_are_taken_of_everything_that_has_a_value_for_each_prompt() -> None:
    for places in ([3, 0], np.array([3, 0])):
        some = rows(TABLE, places)
        assert (some.prompts, some.tasks) == (["De", "Ah"], ["u", "t"])
        assert some.quality.tolist() == TABLE.quality[[3, 0]].tolist()
        assert some.weights is not None
        assert some.weights.tolist() == [4, 1]
        assert (some.users, some.prompt_ids, some.completion_tokens) == ((), (), None)
    assert rows(TABLE, np.array([True, False, False, False])).prompts == ["Ah"]


def test_columns_are_taken_by_name() -> None:
    turned = columns(TABLE, ["y", "x"])
    assert turned.models == ("y", "x")
    assert turned.cost_usd.tolist() == TABLE.cost_usd[:, ::-1].tolist()
    with pytest.raises(ValueError, match="not in tuple"):
        columns(TABLE, ["z"])


def test_the_digest_is_of_the_outcomes_and_not_of_their_order() -> None:
    assert digest(TABLE) == digest(rows(TABLE, [2, 1, 3, 0]))
    assert len(digest(TABLE)) == 64
    others = [
        replace(TABLE, models=("x", "z")),
        replace(TABLE, quality=TABLE.quality / np.float32(2)),
        replace(TABLE, cost_usd=np.full_like(TABLE.cost_usd, np.nan)),
        rows(TABLE, [0, 1, 2]),
    ]
    assert len({digest(table) for table in (TABLE, *others)}) == 5
