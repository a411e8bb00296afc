from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Self

import numpy as np
import pytest

from pointsman.ml.base import Embedder, Estimator, Features, Floats, Scores, State, Table
from pointsman.ml.checkpoint import BadCheckpoint, Checkpoint, Packed, pack, unpack
from pointsman.ml.decision import Candidates, Prospect, Setting, decide
from pointsman.ml.embedders.hashed import Hashed
from pointsman.ml.embedders.remote import Remote
from pointsman.ml.learned import Learned
from pointsman.ml.training.fit import train

PROMPTS = [f"{'prove' if i % 2 else 'translate'} {word} {i}" for i in range(24) for word in ("rail", "track")]
TABLE = Table(
    prompts=PROMPTS,
    models=("small", "large"),
    quality=np.array([[0.2, 0.9] if prompt.startswith("prove") else [0.9, 0.8] for prompt in PROMPTS], np.float32),
    cost_usd=np.tile(np.array([0.001, 0.01], np.float32), (len(PROMPTS), 1)),
)
HASHED = Hashed.trained(PROMPTS, dimension=8)


class Own(Estimator):
    """An operator's own: the same quality for every prompt."""

    NAME = "own"

    def __init__(self) -> None:
        self.mean = np.zeros(0, np.float32)

    def fit(self, features: Features, table: Table) -> Self:
        self.mean = table.quality.mean(0)
        return self

    def score(self, features: Features) -> Scores:
        quality = np.tile(self.mean, (len(features), 1))
        return Scores(quality, np.zeros_like(quality), np.full_like(quality, 0.01))

    def state(self) -> State:
        return State({"mean": self.mean})

    @classmethod
    def from_state(cls, state: State) -> Self:
        made = cls()
        made.mean = np.asarray(state.arrays["mean"])
        return made


class Other(Own):
    NAME = "other"


class Loud(Own):
    """Says what no quality can be."""

    def score(self, features: Features) -> Scores:
        scores = super().score(features)
        return replace(scores, quality=scores.quality + 5)


def ask(texts: Sequence[str]) -> Floats:
    return np.array([[1.0, 0.2] if text.startswith("prove") else [0.2, 1.0] for text in texts], np.float32)


REMOTE = Remote("vectors", 2, ask)


@cache
def packed(strategy: str = "ridge", embedder: Embedder = HASHED, custom: Any = None) -> Packed:
    made = train(TABLE, strategy, embedder=embedder, custom=custom, resamples=0)
    return made.packed(made.about(created="2020-01-02T03:04:05Z"))


def spoilt(whole: Packed, part: str, array: str, value: Any) -> Checkpoint:
    checkpoint = unpack(*whole)
    names = set(checkpoint.manifest.__struct_fields__)
    names -= {"id", "format", "schema", "tensors_sha256", "tensors_bytes", "settings", "signature"}
    about = type(checkpoint.manifest).__mro__[1](**{name: getattr(checkpoint.manifest, name) for name in names})
    parts = dict(checkpoint.parts)
    parts[part] = State({**parts[part].arrays, array: value}, parts[part].settings)
    return unpack(*pack(about, parts))


def test_what_was_trained_scores_the_same_when_it_is_read() -> None:
    made = train(TABLE, "ridge", embedder=HASHED, resamples=0)
    whole = made.packed(made.about(created="2020-01-02T03:04:05Z"))
    read = Learned.from_checkpoint(unpack(*whole))
    before, after = (one.score(one.features(PROMPTS[:4])) for one in (made.learned, read))
    np.testing.assert_allclose(after.quality, before.quality, atol=1e-6)
    assert (read.strategy, read.version) == ("ridge", unpack(*whole).manifest.id)
    assert read.frontier == made.learned.frontier


@pytest.mark.requirement("routing.custom.estimator")
def test_an_estimator_of_ones_own_is_kept_and_read_as_built_in_ones_are() -> None:
    read = Learned.from_checkpoint(unpack(*packed("custom", custom=Own)), custom=Own)
    assert read.strategy == "custom"
    np.testing.assert_allclose(read.score(read.features(["any"])).quality, [TABLE.quality.mean(0)], rtol=1e-5)


@pytest.mark.requirement("routing.custom.estimator")
@pytest.mark.parametrize(("configured", "told"), [(None, "none"), (Other, "other")])
def test_a_checkpoint_brings_no_class_and_takes_no_other(configured: Any, told: str) -> None:
    with pytest.raises(BadCheckpoint, match=f"trained with the estimator 'own', and {told} is configured"):
        Learned.from_checkpoint(unpack(*packed("custom", custom=Own)), custom=configured)


def test_an_estimator_that_says_what_cannot_be_decided_by_is_refused() -> None:
    class Changed(Loud):
        NAME = "own"

    with pytest.raises(BadCheckpoint, match="quality has to be from 0 to 1"):
        Learned.from_checkpoint(unpack(*packed("custom", custom=Own)), custom=Changed)


@pytest.mark.requirement("routing.embedders.named")
def test_a_checkpoint_says_which_embedder_it_wants() -> None:
    whole = packed(embedder=REMOTE)
    for embedders, told in (({}, "none of its own"), ({"static-1:2:x": HASHED}, "static-1:2:x")):
        with pytest.raises(BadCheckpoint, match=f"gateway-1:2:vectors, and {told} is configured") as caught:
            Learned.from_checkpoint(unpack(*whole), embedders)
        assert "gateway:MODEL:DIMENSION" in caught.value.hint


def test_a_checkpoint_of_vectors_from_elsewhere_has_a_second_head_that_needs_nobody() -> None:
    asleep = Remote("vectors", 2)
    read = Learned.from_checkpoint(unpack(*packed(embedder=REMOTE)), {asleep.id: asleep})
    assert read.local is not None
    assert read.local.featurizer.embedder.is_quick
    for prompt, best in (("prove rail 3", 1), ("translate rail 4", 0)):
        scores = [
            read.score(read.features([prompt], embedding=REMOTE.embed([prompt]))),
            read.local.score(read.local.features([prompt])),
        ]
        assert [int(one.quality[0].argmax()) for one in scores] == [best] * 2
    assert read.local.frontier != read.frontier


def test_both_heads_are_narrowed_together() -> None:
    read = Learned.from_checkpoint(unpack(*packed(embedder=REMOTE)), {REMOTE.id: REMOTE}).narrowed(["new", "large"])
    assert read.local is not None
    for one in (read, read.local):
        quality = one.score(one.features(["prove rail"])).quality[0]
        assert np.isnan(quality).tolist() == [True, False]


@pytest.mark.parametrize(
    ("part", "array", "value"),
    [
        ("estimator", "mean", np.full(2, np.nan, np.float32)),
        ("estimator", "mean", np.zeros(3, np.float32)),
        ("features", "mean", np.zeros(3, np.float32)),
        ("calibration", "quality", np.zeros((1, 1), np.float32)),
        ("embedder", "scale", np.zeros(1, np.float32)),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(part: str, array: str, value: Any) -> None:
    with pytest.raises(BadCheckpoint):
        Learned.from_checkpoint(spoilt(packed(), part, array, value))


THREE = replace(
    TABLE,
    models=("small", "large", "middle"),
    quality=np.hstack([TABLE.quality, np.full((len(PROMPTS), 1), 0.6, np.float32)]),
    cost_usd=np.hstack([TABLE.cost_usd, np.full((len(PROMPTS), 1), 0.004, np.float32)]),
)


@cache
def three() -> Learned:
    return train(THREE, "ridge", embedder=HASHED, resamples=0).learned


def test_only_the_candidates_of_a_configuration_are_scored_in_its_order() -> None:
    features = three().features(["prove it"])
    whole, some = three().score(features), three().narrowed(["large", "small"]).score(features)
    for name in ("quality", "variance", "cost_usd"):
        assert getattr(some, name).tolist() == getattr(whole, name)[:, [1, 0]].tolist()
    assert three().narrowed(three().candidates.names) is three()


def test_candidates_that_nothing_is_known_of_are_there_and_come_last() -> None:
    learned = three().narrowed(["new", "large", "small"])
    scores = learned.score(learned.features(["prove it"]))
    assert np.isnan(scores.quality[0, 0])
    prospect = Prospect.of(scores, 0, learned.candidates)
    for price in (0.0, 1e6):
        assert decide(learned.candidates, prospect, Setting(price=price)).order[-1] == "new"
    with pytest.raises(ValueError, match="knows none"):
        three().narrowed(["new"])


def test_narrowing_twice_is_narrowing_once() -> None:
    twice = three().narrowed(["new", "large", "middle", "small"], 3.0).narrowed(["small", "new", "large"], [1, 1, 2])
    once = three().narrowed(["small", "new", "large"], [1, 1, 2])
    assert twice.frontier == once.frontier
    assert twice.places == once.places
    assert twice.candidates.cost_usd.tolist() == once.candidates.cost_usd.tolist()
    assert three().narrowed(["new", "large"]).narrowed(["large", "new"]).places == (1, -1)


def test_a_model_can_be_there_twice_by_other_names() -> None:
    learned = three().narrowed(["large", "large", "small"], [1, 2, 0], ["here", "there", "small"])
    scores = learned.score(learned.features(["prove it"]))
    assert learned.candidates.names == ("here", "there", "small")
    assert scores.quality[0, 0] == scores.quality[0, 1] != scores.quality[0, 2]
    assert learned.candidates.cost_usd.tolist() == pytest.approx([0.01, 0.02, 0.0], abs=1e-3)
    again = learned.narrowed(["small", "there"])
    assert again.candidates.cost_usd.tolist() == pytest.approx([0.001, 0.01], abs=1e-3)


def test_the_frontier_is_that_of_the_candidates_at_todays_prices() -> None:
    cheap, dear = three().narrowed(["large", "small"]), three().narrowed(["large", "small"], [10.0, 1.0])
    assert dear.frontier.cost_usd[0] > 2 * cheap.frontier.cost_usd[0]
    assert three().narrowed(["small"]).frontier.cost_usd == pytest.approx((0.001,) * len(cheap.frontier.price))


def test_a_share_of_strong_calls_has_a_price() -> None:
    narrowed = three().narrowed(["new", "large", "small"])
    assert narrowed.price_of_share(["large"], 1.0) == 0.0
    price = narrowed.price_of_share(["large"], 0.3)
    choices = narrowed.held_out.chosen(
        Candidates(["large", "small"], narrowed.candidates.quality[1:], narrowed.candidates.cost_usd[1:]),
        Setting(price=price, doubt=narrowed.policy.doubt),
    )
    assert (choices == 0).mean() <= 0.3


def test_the_smallest_model_stays_the_smallest_when_narrowed() -> None:
    sizes = train(THREE, "smallest", embedder=HASHED, resamples=0).learned.narrowed(["large", "middle"])
    assert sizes.frontier.price == (0.0,)
    assert sizes.score(sizes.features(["?"])).quality[0].argmax() == 1
