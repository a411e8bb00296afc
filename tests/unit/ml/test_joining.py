from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from unit.ml.worlds import MODELS, world

from pointsman.ml.base import Embedder, Features, Floats, Scores
from pointsman.ml.checkpoint import Checkpoint, pack, unpack
from pointsman.ml.joining import JOINED, join
from pointsman.ml.learned import Learned
from pointsman.ml.prior import Card
from pointsman.ml.training.fit import train

FEATURES, TABLE = world(60)
CARD = Card(name="new", input_usd_per_million=1.0, output_usd_per_million=1.0)


@pytest.fixture(scope="module")
def made() -> tuple[Checkpoint, Learned]:
    cards = [
        Card(name=name, input_usd_per_million=price, output_usd_per_million=price) for name, price in PRICES.items()
    ]
    trained = train(TABLE, "elo", cards=cards, resamples=0)
    packed = trained.packed(trained.about(created="2020-01-01T00:00:00Z"))
    checkpoint = unpack(packed.manifest, packed.tensors)
    return checkpoint, Learned.from_checkpoint(checkpoint)


PRICES = dict(zip(MODELS, (10.0, 4.0, 3.0, 1.0), strict=True))


def with_new(made: tuple[Checkpoint, Learned], quality: list[float], card: Card = CARD) -> Learned:
    """The strategy of a checkpoint that was written and read again after the model has joined."""
    prompts = list(TABLE.prompts[: len(quality)])
    about, parts = join(*made, card, prompts, quality, [float("nan")] * len(quality))
    packed = pack(about, parts)
    return Learned.from_checkpoint(unpack(packed.manifest, packed.tensors))


@pytest.mark.requirement("routing.learned.probe")
def test_a_joined_model_is_the_last_candidate_of_the_checkpoint(made: tuple[Checkpoint, Learned]) -> None:
    learned = with_new(made, [1.0] * 30)
    assert learned.candidates.names == (*MODELS, "new")
    features = learned.features(["anything"])
    before = made[1].score(features)
    after = learned.score(features)
    np.testing.assert_array_equal(after.quality[:, :4], before.quality)
    assert after.quality[0, 4] > 0.6
    assert learned.candidates.quality[4] == pytest.approx(learned.held_out.quality[:, 4].mean(), abs=1e-3)
    assert learned.about is not None
    assert learned.about.models[-1].input_usd_per_million == 1.0


def test_knobs_count_with_it(made: tuple[Checkpoint, Learned]) -> None:
    good = with_new(made, [1.0] * 60)
    bad = with_new(made, [0.0] * 60)
    assert max(good.frontier.quality) > max(made[1].frontier.quality)
    assert max(bad.frontier.quality) == pytest.approx(max(made[1].frontier.quality), abs=1e-3)


def test_prices_say_what_it_costs_by_what_the_others_do(made: tuple[Checkpoint, Learned]) -> None:
    usual = float(np.exp(np.log(made[1].candidates.cost_usd).mean()))
    by_price = usual * 1.0 / np.exp(np.log(list(PRICES.values())).mean())
    features = made[1].features(["anything"])
    for card, cost in ((CARD, by_price), (Card(name="new", cost_usd=0.5), 0.5), (Card(name="new"), usual)):
        assert with_new(made, [], card).score(features).cost_usd[0, 4] == pytest.approx(cost, rel=0.15)


def test_a_dearer_model_is_taken_for_a_better_one_before_any_probe(made: tuple[Checkpoint, Learned]) -> None:
    features = made[1].features(["anything"])
    dear, cheap = (
        float(with_new(made, [], Card(name="new", cost_usd=cost)).score(features).quality[0, 4]) for cost in (1.0, 1e-5)
    )
    assert dear > cheap


def test_names_are_not_given_twice(made: tuple[Checkpoint, Learned]) -> None:
    with pytest.raises(ValueError, match="able is one of the candidates already"):
        with_new(made, [], Card(name="able"))


def test_a_checkpoint_whose_names_are_others_is_refused(made: tuple[Checkpoint, Learned]) -> None:
    about, parts = join(*made, CARD, [], [], [])
    settings = {"models": ["other"]}
    parts[JOINED] = replace(parts[JOINED], settings=settings)
    packed = pack(about, parts)
    with pytest.raises(ValueError, match="other models joined than the manifest names"):
        Learned.from_checkpoint(unpack(packed.manifest, packed.tensors))


def test_a_local_head_learns_of_it_too(made: tuple[Checkpoint, Learned]) -> None:
    class Elsewhere(Embedder):
        id = "elsewhere-1"
        dimension = 3
        is_quick = False

        def embed(self, texts: Sequence[str]) -> Floats:
            return np.eye(3, dtype=np.float32)[[len(text) % 3 for text in texts]]

    trained = train(TABLE, "elo", embedder=Elsewhere(), resamples=0)
    packed = trained.packed(trained.about(created="2020-01-01T00:00:00Z"))
    checkpoint = unpack(packed.manifest, packed.tensors)
    embedders = {"elsewhere-1": Elsewhere()}
    learned = Learned.from_checkpoint(checkpoint, embedders)
    about, parts = join(checkpoint, learned, CARD, list(TABLE.prompts[:5]), [1.0] * 5, [0.01] * 5)
    packed = pack(about, parts)
    again = Learned.from_checkpoint(unpack(packed.manifest, packed.tensors), embedders)
    assert again.local is not None
    assert again.local.candidates.names == (*MODELS, "new")
    scored: Scores = again.local.score(again.local.features(["anything"]))
    assert scored.quality.shape == (1, 5)
    assert isinstance(again.local.features(["x"]), Features)
