from __future__ import annotations

import itertools
import random
import re
from collections import Counter

import numpy as np
import pytest
from unit.ml.nonsense import spoilt

from pointsman.ml import tensors
from pointsman.ml.base import State
from pointsman.ml.embedders.hashed import BASE, MAX_BYTES, MIX, Hashed, Keys, Sparse, hashes

RAIL = ["the train leaves the station", "a train at the station", "which train stops at this station", "the late train"]
FOOD = ["boil the pasta in water", "pasta with tomato sauce", "how long to boil pasta", "a sauce for the pasta"]


@pytest.fixture(scope="module")
def embedder() -> Hashed:
    return Hashed.trained([*RAIL, *FOOD], dimension=6, least=2)


def alike(embedder: Hashed, first: str, second: str) -> float:
    one, other = embedder.embed([first, second])
    return float(one @ other)


def test_texts_that_share_words_are_near_each_other(embedder: Hashed) -> None:
    assert alike(embedder, "the train is at the station", "a station and a train") > 0.6
    assert alike(embedder, "the train is at the station", "boil pasta") < 0.3


def test_case_and_white_space_make_no_difference(embedder: Hashed) -> None:
    assert alike(embedder, "The  TRAIN\n\tleaves ", "the train leaves") == pytest.approx(1)


def test_vectors_have_length_one_or_none(embedder: Hashed) -> None:
    found = embedder.embed(["the train", "", " ", "unheard of 国 \x00 \ud800", "x" * 100_000])
    lengths = np.linalg.norm(found, axis=1)
    assert ((lengths < 1e-6) | (np.abs(lengths - 1) < 1e-5)).all()
    assert lengths[0] == pytest.approx(1)
    assert not lengths[1:3].any()
    assert embedder.embed([]).shape == (0, 6)


def test_it_is_quick_and_needs_nobody(embedder: Hashed) -> None:
    assert embedder.is_quick
    assert not Hashed.trained([], dimension=4).embed(["anything"]).any()


def test_the_same_texts_make_the_same_embedder_in_whatever_order(embedder: Hashed) -> None:
    again = Hashed.trained([*RAIL, *FOOD], dimension=6, least=2)
    assert again.id == embedder.id
    turned = Hashed.trained([*FOOD[::-1], *RAIL], dimension=6, least=2)
    for first, second in ((RAIL[0], RAIL[1]), (RAIL[0], FOOD[0])):
        assert alike(turned, first, second) == pytest.approx(alike(embedder, first, second), abs=0.05)


def test_other_texts_make_another_id(embedder: Hashed) -> None:
    assert Hashed.trained(RAIL, dimension=6, least=2).id != embedder.id
    assert embedder.id.startswith("hashed-1:6:")


def test_what_is_kept_gives_the_same_vectors(embedder: Hashed) -> None:
    kept = Hashed.from_state(State(tensors.unpack(tensors.pack(embedder.state().arrays))))
    assert kept.id == embedder.id
    assert np.array_equal(kept.embed(RAIL), embedder.embed(RAIL))


def test_whatever_is_wrong_with_what_was_kept_is_refused_or_does_no_harm(embedder: Hashed) -> None:
    rng = random.Random(0)
    refused = 0
    for _ in range(300):
        try:
            found = Hashed.from_state(spoilt(embedder.state(), rng)).embed(["the train", ""])
        except ValueError:
            refused += 1
        else:
            assert np.isfinite(found).all()
            assert np.abs(found).max(initial=0) <= 1.001
    assert 100 < refused < 300


def test_a_gram_has_the_same_hash_wherever_it_stands() -> None:
    first, _ = hashes("alpha omega")
    second, _ = hashes("long before any omega comes alpha")
    assert len(np.intersect1d(first, second)) >= 4
    keys, counts = hashes("rail rail rail")
    assert counts.max() >= 3
    assert (keys[1:] > keys[:-1]).all()


def test_what_stands_far_behind_does_not_count() -> None:
    front = "rail " * MAX_BYTES
    assert np.array_equal(hashes(front + "omega")[0], hashes(front)[0])


def test_a_sparse_matrix_multiplies_as_a_dense_one() -> None:
    sparse = Sparse(np.array([0, 2, 2, 3]), np.array([0, 3, 1], np.int32), np.array([1, 2, 3], np.float32), 4)
    dense = np.array([[1, 0, 0, 2], [0, 0, 0, 0], [0, 3, 0, 0]], np.float32)
    right = np.arange(8, dtype=np.float32).reshape(4, 2)
    assert np.array_equal(sparse.times(right), dense @ right)
    assert np.array_equal(sparse.transposed().times(right[:3]), dense.T @ right[:3])


def plainly(text: str) -> dict[int, int]:
    """What :func:`hashes` gives, gram by gram."""
    found: list[int] = []
    data = b" %b " % b" ".join(text.lower().encode().split())

    def hashed(gram: bytes) -> int:
        return sum(byte * pow(BASE, place, 2**64) for place, byte in enumerate(gram)) % 2**64

    words = [hashed(word) for word in re.findall(rb"[0-9a-z\x80-\xff]+", data)]
    found += [word * int(MIX[0]) for word in words]
    found += [(one * int(MIX[1]) + other) * int(MIX[2]) for one, other in itertools.pairwise(words)]
    runs = [data[at : at + 4] for at in range(len(data) - 3)]
    found += [(hashed(run) + 4) * int(MIX[3]) for run in runs if b" " not in run[1:-1]]
    mixed = [(each % 2**64 ^ each % 2**64 >> 29) * BASE % 2**64 >> 32 for each in found]
    return dict(sorted(Counter(mixed).items()))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a",
        "a b",
        "abcd",
        "Rail to  rail",
        "x² = 4, été?\n\n国 and国",
        "...",
        "a.b-c_d 12,5",
        "see the sea the sea",
    ],
)
def test_hashes_are_those_of_the_grams_each_by_itself(text: str) -> None:
    keys, counts = hashes(text)
    assert dict(zip(keys.tolist(), counts.tolist(), strict=True)) == plainly(text)


@pytest.mark.parametrize("highest", [2**32, 2**20, 300])
@pytest.mark.parametrize("size", [0, 1, 2, 250])
def test_what_is_known_is_found_where_it_stands_however_keys_crowd(size: int, highest: int) -> None:
    chance = np.random.default_rng(size)
    known = np.sort(chance.choice(highest, size, replace=False)).astype(np.uint32)
    asked = np.unique(np.concatenate([known[::3], chance.integers(0, highest, 40), [0, 2**32 - 1]])).astype(np.uint32)
    places, counts = Keys(known).known(asked, np.arange(len(asked)))
    wanted = [(known.tolist().index(key), i) for i, key in enumerate(asked.tolist()) if key in known]
    assert list(zip(places.tolist(), counts.tolist(), strict=True)) == wanted
