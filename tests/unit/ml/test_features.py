from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from pointsman.ml import tensors
from pointsman.ml.base import Floats, State
from pointsman.ml.embedders.base import of_length_one
from pointsman.ml.embedders.hashed import Hashed
from pointsman.ml.features import SPREAD, SURFACE, WIDEST, Featurizer, surface

TEXTS = ["What is 2 + 2?", "def add(a, b):\n    return a + b", "Why?\n1\n2\n3", "Prove that $x^2 \\geq 0$.", "été 国"]


class Wide:
    """A longer vector than estimators are given: few directions matter, by more and more."""

    id = "wide-1"
    is_quick = True

    def __init__(self, dimension: int = WIDEST + 88) -> None:
        self.dimension = dimension
        self.texts: list[Sequence[str]] = []

    def embed(self, texts: Sequence[str]) -> Floats:
        self.texts.append(texts)
        rows = np.array([np.random.default_rng(len(text)).standard_normal(self.dimension) for text in texts])
        rows = rows.reshape(len(texts), self.dimension) * np.linspace(0, 1, self.dimension) ** 8
        return of_length_one(rows)


def column(text: str, name: str) -> float:
    return surface(text)[SURFACE.index(name)]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("characters", "short", "a longer text"),
        ("words", "oneword", "one word more"),
        ("word_length", "a b c", "considerable words"),
        ("variety", "so so so", "so it goes"),
        ("lines", "one line", "two\nlines"),
        ("line_length", "a\nb\nc", "a line that goes on"),
        ("short_lines", "a line that goes on and on and on and on and on", "short"),
        ("number_lines", "sum\nof these", "1\n2"),
        ("digits", "two", "2 + 2"),
        ("capitals", "usa", "USA"),
        ("marks", "well", "well, well."),
        ("beyond_ascii", "ete", "été"),
        ("questions", "why", "why?"),
        ("maths", "x squared", "$x^2$"),
        ("code", "add them", "def add():\n    return 1"),
        ("blanks", "fill in", "fill in ____"),
    ],
)
def test_each_feature_of_the_surface_tells_what_it_is_called(name: str, low: str, high: str) -> None:
    assert column(low, name) < column(high, name)


def test_every_feature_has_a_name_and_any_text_has_all() -> None:
    for text in ("", " ", "\n", "\x00", "\ud800", "x" * 100_000, *TEXTS):
        found = surface(text)
        assert len(found) == len(SURFACE)
        assert np.isfinite(found).all()


def test_features_are_standard_and_bounded() -> None:
    featurizer = Featurizer.trained(Hashed.trained(TEXTS, dimension=4, least=1), TEXTS)
    found = featurizer.features(TEXTS)
    np.testing.assert_allclose(found.surface.mean(0), 0, atol=1e-4)
    assert np.abs(featurizer.features(["9" * 10_000, ""]).surface).max() <= SPREAD
    assert found.embedding.shape == (5, 4)
    assert featurizer.features([]).surface.shape == (0, len(SURFACE))


def test_with_nothing_to_learn_from_what_is_usual_is_taken() -> None:
    embedder = Hashed.trained([], dimension=4)
    for featurizer in (Featurizer(embedder), Featurizer.trained(embedder, ["only one"])):
        usual = featurizer.features(["How do I write a polite letter to my landlord about the broken heating?"])
        assert np.abs(usual.surface).max() < SPREAD


def test_a_vector_that_is_known_is_not_made_again() -> None:
    embedder = Wide(4)
    found = Featurizer(embedder).features(["a"], ["user"], np.ones((1, 4), np.float32))
    assert found.embedding.tolist() == [[1.0] * 4]
    assert found.users == ["user"]
    assert embedder.texts == []


def test_a_long_vector_is_seen_from_its_leading_directions() -> None:
    embedder = Wide()
    texts = ["x" * i for i in range(1, 40)]
    featurizer = Featurizer.trained(embedder, texts)
    whole, seen = embedder.embed(texts), featurizer.features(texts).embedding
    assert seen.shape == (39, WIDEST)
    np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(seen @ seen.T, whole @ whole.T, atol=1e-2)


@pytest.mark.parametrize("embedder", [Wide(), Wide(4)])
def test_what_is_kept_gives_the_same_features(embedder: Wide) -> None:
    featurizer = Featurizer.trained(embedder, TEXTS)
    state = featurizer.state()
    kept = State(tensors.unpack(tensors.pack(state.arrays)), state.settings)
    again = Featurizer.from_state(kept, embedder)
    before, after = featurizer.features(TEXTS), again.features(TEXTS)
    assert np.array_equal(before.surface, after.surface)
    np.testing.assert_allclose(before.embedding, after.embedding, atol=1e-3)


def test_another_embedder_is_refused() -> None:
    state = Featurizer(Wide(4)).state()
    with pytest.raises(ValueError, match="trained with the embedder wide-1, not with hashed"):
        Featurizer.from_state(state, Hashed.trained(TEXTS, dimension=4))


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"mean": np.zeros(16)},
        {"mean": np.zeros(3), "deviation": np.ones(16)},
        {"mean": np.zeros((16, 1)), "deviation": np.ones(16)},
        {"mean": np.full(16, np.nan), "deviation": np.ones(16)},
        {"mean": np.zeros(16), "deviation": np.full(16, np.inf)},
        {"mean": np.zeros(16), "deviation": np.ones(16), "directions": np.ones((5, 2))},
        {"mean": np.zeros(16), "deviation": np.ones(16), "directions": np.ones(4)},
        {"mean": np.zeros(16), "deviation": np.ones(16), "directions": np.full((4, 2), np.nan)},
    ],
)
def test_what_does_not_fit_is_refused(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"features|directions"):
        Featurizer.from_state(State(arrays, {"embedder": "wide-1"}), Wide(4))


@pytest.mark.parametrize("text", ["", "a1B.$ \n", "été 国 12, X?", "\ud800 one? (2)", *TEXTS])
def test_shares_are_of_characters(text: str) -> None:
    for name, signs in (
        ("digits", "0123456789"),
        ("capitals", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        ("marks", ".,;:!?'\"()-"),
        ("maths", "$\\^=+*/<>_{}"),
    ):
        others = sum(char not in signs for char in text)
        assert column(text, name) == 1 - others / max(len(text), 1)
