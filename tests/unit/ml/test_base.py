from __future__ import annotations

from dataclasses import replace

import numpy as np

from pointsman.ml.base import Features, Table

TABLE = Table(
    prompts=["a", "b"], models=("x",), quality=np.ones((2, 1), np.float32), cost_usd=np.ones((2, 1), np.float32)
)


def test_a_table_is_as_long_as_it_has_prompts() -> None:
    assert len(TABLE) == 2
    assert len(replace(TABLE, prompts=[])) == 0


def test_features_are_as_many_as_there_are_prompts_even_where_an_embedding_has_no_dimension() -> None:
    assert len(Features(np.zeros((3, 0), np.float32), np.zeros((3, 16), np.float32))) == 3
    assert len(Features(np.zeros((0, 8), np.float32), np.zeros((0, 16), np.float32))) == 0
