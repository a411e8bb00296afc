from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from pointsman.ml.base import Table
from pointsman.ml.checkpoint import unpack
from pointsman.ml.embedders.hashed import Hashed
from pointsman.ml.learned import Learned
from pointsman.ml.prior import Card
from pointsman.ml.table import folds
from pointsman.ml.training.fit import FOLDS, MISTAKEN_PROMPTS, NothingToLearn, Trained, level, mistaken, train

WORDS = ("rail", "signal", "sleeper", "points", "track")


def table(count: int = 160, **changes: Any) -> Table:
    chance = np.random.default_rng(5)
    is_proof = chance.random(count) < 0.5
    prompts = [
        f"{'prove the lemma of' if proof else 'write a poem on'} {' '.join(chance.choice(WORDS, 3))} {i}"
        for i, proof in enumerate(is_proof)
    ]
    chances = np.where(is_proof[:, None], [0.3, 0.8, 0.6], [0.85, 0.75, 0.1])
    whole = Table(
        prompts=prompts,
        models=("poet", "large", "prover"),
        quality=(chance.random((count, 3)) < chances).astype(np.float32),
        cost_usd=(np.array([0.001, 0.01, 0.002]) * chance.lognormal(0, 0.2, (count, 1))).astype(np.float32),
        tasks=["proof" if proof else "poem" for proof in is_proof],
    )
    return replace(whole, **changes)


HASHED = Hashed.trained(table().prompts, dimension=16)


@cache
def trained(strategy: str = "ridge") -> Trained:
    return train(table(), strategy, embedder=HASHED, resamples=5)


def test_what_was_trained_routes_and_its_checkpoint_does_the_same() -> None:
    made = trained()
    about = made.about(created="2020-01-02T03:04:05Z", sources=("somewhere",), licence="MIT", data_licence="CC0")
    again = Learned.from_checkpoint(unpack(*made.packed(about)))
    asked = ["prove the lemma of track 7", "write a poem on points 8"]
    for learned in (made.learned, again):
        quality = learned.score(learned.features(asked)).quality
        assert quality[0, 1] > quality[0, 0]
        assert quality[1, 0] > quality[0, 0]
    assert (about.baseline, about.licence, about.data.licence) == ("large", "MIT", "CC0")
    assert (about.data.prompts, about.data.labels) == (160, 480)
    assert again.frontier == made.learned.frontier
    assert again.policy == made.learned.policy
    assert {"quality", "aiq", "aiq_log"} <= set(about.metrics)


def test_its_report_is_about_prompts_that_were_held_out() -> None:
    made = trained()
    assert made.report is not None
    names = [router.name for router in made.report.routers]
    assert names[:3] == ["ridge", "best single model", "zero router"]
    assert {"oracle", "task means (told the task)", "kNN-5 as in LLMRouter"} <= set(names)
    assert made.report.models[made.report.best] == "large"
    assert len(made.held_out) == 160
    assert not made.loses


def test_an_embedder_never_knows_a_prompt_that_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[set[str]] = []
    usual = Hashed.trained

    def noted(texts: Sequence[str], **settings: Any) -> Hashed:
        known.append(set(texts))
        return usual(texts, dimension=16, **settings)

    monkeypatch.setattr(Hashed, "trained", noted)
    whole = table()
    train(whole, "elo", resamples=0)
    parts = folds(whole.prompts, FOLDS, seed=0)
    held = [
        {prompt for prompt, part in zip(whole.prompts, parts, strict=True) if part == fold} for fold in range(FOLDS)
    ]
    assert known == [set(whole.prompts), *(set(whole.prompts) - each for each in held)]


def test_what_is_expected_to_be_spent_is_right_on_average() -> None:
    made, whole = trained(), table()
    np.testing.assert_allclose(made.held_out.scores.cost_usd.mean(0), whole.cost_usd.mean(0), rtol=0.05)


def test_costs_are_mended_as_far_as_prompts_can_tell() -> None:
    count = round(MISTAKEN_PROMPTS)
    predicted = np.array([[1.0, 1.0, 1.0, 1.0]] * count, np.float32)
    spent = np.array([[1.21, 1.0, np.nan, 100.0]] * count, np.float32)
    np.testing.assert_allclose(mistaken(predicted, spent), [1.1, 1.0, 1.0, 2**0.5], rtol=1e-5)
    np.testing.assert_allclose(mistaken(predicted[:1], spent[:1]), [1.0, 1.0, 1.0, 1.0], rtol=2e-3)


def test_predictions_that_are_too_sure_or_too_high_for_all_models_are_brought_back_as_far_as_prompts_can_tell() -> None:
    chance = np.random.default_rng(0)
    quality = np.clip(0.5 + chance.normal(0, 0.1, (4000, 1)) + chance.normal(0, 0.05, (4000, 3)), 0, 1)
    common = quality.mean(1, keepdims=True)
    sure = quality + (common - common.mean()) + 0.1  # twice as far from the mean, and too high
    slope, shift = level(sure.astype(np.float32), quality.astype(np.float32))
    share = 4000 / (4000 + MISTAKEN_PROMPTS)
    assert slope == pytest.approx(0.5**share, abs=0.03)
    assert shift == pytest.approx(-0.1 * share, abs=1e-3)
    few = level(sure[:5].astype(np.float32), quality[:5].astype(np.float32))
    np.testing.assert_allclose(few, [1.0, 0.0], atol=0.02)


def test_what_is_not_known_says_nothing_about_the_level() -> None:
    predicted = np.array([[0.2, 0.9], [0.6, 0.9]] * 500, np.float32)
    known = np.array([[0.3, np.nan], [0.5, np.nan]] * 500, np.float32)
    slope, shift = level(predicted, known)
    assert slope == pytest.approx(0.5 ** (1000 / (1000 + MISTAKEN_PROMPTS)))
    assert shift == pytest.approx(0.0, abs=1e-6)
    assert level(predicted, np.full_like(known, np.nan)) == (1.0, 0.0)


def test_the_order_of_the_table_decides_nothing() -> None:
    one = trained().learned
    whole = table()
    turned = replace(
        whole,
        prompts=list(whole.prompts)[::-1],
        quality=whole.quality[::-1],
        cost_usd=whole.cost_usd[::-1],
        tasks=list(whole.tasks)[::-1],
    )
    other = train(turned, "ridge", embedder=HASHED, resamples=0).learned
    features = one.features(whole.prompts[:5])
    np.testing.assert_allclose(one.score(features).quality, other.score(features).quality, atol=1e-3)
    np.testing.assert_allclose(one.frontier.quality, other.frontier.quality, atol=0.02)


def test_progress_is_told_from_the_beginning_to_the_end() -> None:
    told: list[tuple[str, float]] = []
    train(table(40), "elo", embedder=HASHED, resamples=0, progress=lambda what, share: told.append((what, share)))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert told[1][0] == "fold 1 of 4"


@pytest.mark.parametrize("strategy", ["auto", "knn", "smallest", "largest", "elo", "causallm"])
def test_few_labels_are_enough_to_decide_by(strategy: str) -> None:
    for count in (1, 30):
        made = train(table(count), strategy, resamples=0, embedder=HASHED)
        scores = made.learned.score(made.learned.features(["Why?"]))
        assert np.isfinite(scores.quality + scores.cost_usd).all()
        assert not made.loses


def test_labels_and_costs_may_be_missing() -> None:
    whole = table()
    sparse = np.where(np.random.default_rng(0).random(whole.quality.shape) < 0.5, np.nan, whole.quality)
    made = train(
        replace(whole, quality=sparse.astype(np.float32), cost_usd=np.full_like(whole.cost_usd, np.nan)),
        "ridge",
        embedder=HASHED,
    )
    assert made.report is None
    assert all(model.cost_usd is None for model in made.about(created="2020-01-02T03:04:05Z").models)
    assert np.isfinite(made.learned.frontier.quality).all()


def test_the_smallest_model_is_taken_at_any_price_and_claims_no_quality() -> None:
    cards = [
        Card(name="large", size_billions=70),
        Card(name="poet", size_billions=7),
        Card(name="prover", size_billions=3),
    ]
    made = train(table(), "smallest", cards=cards, embedder=HASHED, resamples=0)
    assert made.learned.frontier.price == (0.0,)
    assert made.learned.score(made.learned.features(["?"])).quality.argmax() == 2
    assert not made.loses


def test_who_does_worse_than_the_best_single_model_loses() -> None:
    assert not replace(trained(), gain=-0.002).loses
    assert replace(trained(), gain=-0.004).loses


def test_prices_of_the_cards_are_kept() -> None:
    card = Card(name="poet", input_usd_per_million=1.0, output_usd_per_million=2.0)
    made = replace(trained(), cards={"poet": card})
    models = made.about(created="2020-01-02T03:04:05Z").models
    assert [model.output_usd_per_million for model in models] == [2.0, None, None]


def test_mean_lengths_are_kept_where_they_are_known_with_their_cost() -> None:
    lengths = np.tile(np.array([100, 200, 300], np.float32), (160, 1))
    answers = np.where(np.arange(160)[:, None] < 80, [10, 20, np.nan], np.nan).astype(np.float32)
    made = train(table(prompt_tokens=lengths, completion_tokens=answers), "ridge", embedder=HASHED, resamples=0)
    told = made.about(created="2020-01-02T03:04:05Z").features["tokens"]
    cost = table().cost_usd[:80].mean(0)
    assert told == {"poet": pytest.approx([100, 10, cost[0]]), "large": pytest.approx([200, 20, cost[1]])}
    assert "tokens" not in trained().about(created="2020-01-02T03:04:05Z").features


def test_nothing_to_learn_from_is_said_to_be_so() -> None:
    with pytest.raises(NothingToLearn, match="no outcomes"):
        train(table(0), "ridge")
    with pytest.raises(ValueError, match="no estimator named"):
        train(table(), "nearest")
    with pytest.raises(ValueError, match="does not have these settings"):
        train(table(), "ridge", settings={"rank": 3})
