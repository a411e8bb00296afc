from __future__ import annotations

from unit.ml.estimators.check import check_estimator, keeps_the_best, learns

from pointsman.ml.estimators.mlp import Mlp


def small() -> Mlp:
    return Mlp(repeats=1, epochs=15, rate=0.01)


def test_it_keeps_the_protocol() -> None:
    check_estimator(lambda: Mlp(hidden=8, repeats=1, epochs=2))


def test_it_learns_who_is_good_at_what() -> None:
    learns(small, gain=0.1)


def test_it_keeps_the_best_single_model_where_nothing_can_be_learnt() -> None:
    keeps_the_best(small)
