from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from unit.ml.estimators.check import check_estimator, keeps_the_best, learns
from unit.ml.worlds import world

from pointsman.ml.base import Features, State, Table
from pointsman.ml.estimators.gmt import Gmt

USERS = 30


def tastes(count: int = 1200, seed: int = 0) -> tuple[Features, Table]:
    """A plain world in which users with an even number like the last model, and the others do not."""
    features, table = world(count, seed=seed, is_plain=True)
    chance = np.random.default_rng(seed)
    user = np.arange(count) % USERS
    likes = chance.random(count) < np.where(user % 2 == 0, 0.95, 0.05)
    quality = np.where(np.arange(4) == 3, likes[:, None], table.quality).astype(np.float32)
    names = [f"user {i}" for i in user]
    return replace(features, users=names), replace(table, quality=quality, users=names)


def asked(user: str, count: int = 1) -> Features:
    return replace(world(count, seed=9)[0], users=[user] * count)


def test_it_keeps_the_protocol() -> None:
    check_estimator(Gmt)


def test_it_learns_who_is_good_at_what() -> None:
    learns(Gmt, gain=0.1)


def test_it_keeps_the_best_single_model_where_nothing_can_be_learnt() -> None:
    keeps_the_best(Gmt)


def test_users_get_what_they_like() -> None:
    fitted = Gmt().fit(*tastes())
    for user in range(USERS):
        chosen = fitted.score(asked(f"user {user}")).quality[0].argmax()
        assert (chosen == 3) == (user % 2 == 0), user


def test_who_is_not_known_gets_what_everybody_gets() -> None:
    fitted = Gmt().fit(*tastes())
    known, unknown, unnamed = (fitted.score(asked(name)) for name in ("user 0", "stranger", ""))
    assert np.array_equal(unknown.quality, unnamed.quality)
    assert np.array_equal(unknown.quality, fitted.score(replace(asked(""), users=())).quality)
    assert abs(unknown.quality[0, 3] - 0.5) < 0.1 < known.quality[0, 3] - unknown.quality[0, 3]


def test_a_stranger_becomes_known_by_ratings() -> None:
    fitted = Gmt().fit(*tastes())
    before = fitted.score(asked("stranger"))
    for _ in range(3):
        fitted.observe(asked("stranger"), 3, 1.0)
    few = fitted.score(asked("stranger"))
    for _ in range(20):
        fitted.observe(asked("stranger"), 3, 1.0)
    many = fitted.score(asked("stranger"))
    assert before.quality[0, 3] < few.quality[0, 3] < many.quality[0, 3]
    assert few.quality[0].argmax() == 3
    assert many.variance[0, 3] < few.variance[0, 3]


def test_ratings_without_a_user_change_nothing() -> None:
    fitted = Gmt().fit(*tastes(300))
    before = fitted.state().arrays
    fitted.observe(asked(""), 3, 1.0)
    fitted.observe(replace(asked(""), users=()), 3, 1.0)
    assert all(np.array_equal(before[name], array) for name, array in fitted.state().arrays.items())


def test_what_is_known_of_users_is_kept_without_their_names() -> None:
    fitted = Gmt().fit(*tastes(300))
    fitted.observe(asked("stranger"), 3, 1.0)
    again = Gmt.from_state(fitted.state())
    for name in ("user 1", "stranger"):
        assert np.array_equal(fitted.score(asked(name)).quality, again.score(asked(name)).quality)
    assert "stranger" not in str(fitted.state())


def test_of_too_many_users_the_one_heard_of_least_recently_goes() -> None:
    fitted = Gmt(max_users=2).fit(*tastes(300))
    for name in ("a", "b", "a", "c"):
        fitted.observe(asked(name), 3, 1.0)
    nobody = fitted.score(asked("")).quality
    is_known = [not np.array_equal(fitted.score(asked(name)).quality, nobody) for name in "abc"]
    assert is_known == [True, False, True]


def test_users_that_do_not_fit_are_refused() -> None:
    state = Gmt().fit(*tastes(300)).state()
    with pytest.raises(ValueError, match="fit together"):
        Gmt.from_state(State({**state.arrays, "pulls": np.zeros((USERS, 9))}, state.settings))


def test_where_users_do_not_differ_nobody_is_treated_differently() -> None:
    features, table = world(1200, is_plain=True)
    names = [f"user {i % USERS}" for i in range(1200)]
    fitted = Gmt().fit(replace(features, users=names), replace(table, users=names))
    everybody = fitted.score(asked("", 20)).quality
    assert np.abs(fitted.score(asked("user 3", 20)).quality - everybody).max() < 0.1


def test_a_rating_that_is_corrected_counts_as_it_is_then() -> None:
    corrected, direct = (Gmt().fit(*tastes(300)) for _ in range(2))
    for name in ("stranger", ""):
        corrected.observe(asked(name), 3, 0.0)
        corrected.correct(asked(name), 3, 1.0)
        direct.observe(asked(name), 3, 1.0)
    corrected.correct(asked("nobody"), 3, 1.0)
    for name in ("stranger", "nobody"):
        np.testing.assert_allclose(corrected.score(asked(name)).quality, direct.score(asked(name)).quality, atol=1e-6)
