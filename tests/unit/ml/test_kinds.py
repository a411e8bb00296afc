from __future__ import annotations

import numpy as np
from unit.ml.worlds import world

from pointsman.ml.kinds import MAX_KINDS, familiarity, fit_kinds, guess

FOLDS = np.arange(240) % 5


def test_the_task_of_a_new_prompt_is_guessed() -> None:
    features, table = world()
    asked, told = world(seed=1)
    model, _ = fit_kinds(features.embedding, table.tasks, FOLDS)
    shares = guess(model, asked.embedding)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
    by_share = np.argsort(-shares.mean(0), kind="stable")
    names = sorted(set(table.tasks), key=lambda task: (-list(table.tasks).count(task), task))
    assert set(by_share) == {0, 1, 2}
    assert np.mean([names[i] == task for i, task in zip(shares.argmax(1), told.tasks, strict=True)]) > 0.9


def test_prompts_do_not_know_their_own_task() -> None:
    chance = np.random.default_rng(0)
    noise = chance.standard_normal((240, 200)).astype(np.float32)
    tasks = chance.choice(["a", "b"], 240).tolist()
    model, guesses = fit_kinds(noise, tasks, FOLDS)
    is_a = np.array(tasks) == max("ab", key=lambda task: (tasks.count(task), task == "a"))
    own = (guess(model, noise).argmax(1) == 0) == is_a
    held_out = (guesses.argmax(1) == 0) == is_a
    assert own.mean() > 0.9
    assert held_out.mean() < 0.65


def test_seldom_and_unnamed_tasks_are_none() -> None:
    features, _ = world()
    model, guesses = fit_kinds(features.embedding, ["often"] * 100 + ["seldom"] * 9 + [""] * 131, FOLDS)
    assert guesses.shape == (240, 1)
    assert guess(model, features.embedding).shape == (240, 1)


def test_without_tasks_there_is_nothing_to_guess() -> None:
    features, _ = world()
    model, guesses = fit_kinds(features.embedding, (), FOLDS)
    assert guesses.shape == guess(model, features.embedding).shape == (240, 0)


def test_only_the_most_frequent_tasks_are_told_apart() -> None:
    inputs = np.eye(1500, dtype=np.float32)
    tasks = [str(i % 100) for i in range(1500)]
    _, guesses = fit_kinds(inputs[:, :20], tasks, np.arange(1500) % 5)
    assert guesses.shape[1] == MAX_KINDS


def test_prompts_unlike_all_kinds_look_less_familiar() -> None:
    features, table = world()
    model, _ = fit_kinds(features.embedding, table.tasks, FOLDS)
    strange = np.roll(features.embedding, 5, axis=1)
    assert familiarity(model, features.embedding).mean() > familiarity(model, strange).mean() + 0.2
    none, _ = fit_kinds(features.embedding, (), FOLDS)
    assert (familiarity(none, strange) == 0.5).all()
