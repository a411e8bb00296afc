"""A small checkpoint, and ways to spoil one."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from pointsman.ml.base import State
from pointsman.ml.checkpoint import About, Data, Model, Packed
from pointsman.ml.knobs import Frontier

ABOUT = About(
    strategy="auto",
    embedder="hashed-v1-256",
    features={"surface": ["length", "digits"], "dimension": 256},
    models=(
        Model(name="small", quality=0.5, cost_usd=0.0001, input_usd_per_million=0.1, output_usd_per_million=0.4),
        Model(name="large", quality=0.7, cost_usd=0.002),
    ),
    baseline="large",
    data=Data(sha256="ab" * 32, prompts=1000, labels=1990, sources=("LLMRouter",), licence="MIT"),
    metrics={"aiq_log": (0.65, 0.63, 0.67)},
    frontier=Frontier(price=(0.0, 100.0), cost_usd=(0.002, 0.0003), quality=(0.72, 0.55), baseline_quality=0.7),
    licence="Apache-2.0",
    created="2020-01-02T03:04:05Z",
)
PARTS = {
    "estimator": State({"weights": np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)}, {"ridge": 50.0}),
    "embedder": State({"table": np.arange(40, dtype=np.float16), "seen": np.array([True, False])}),
    "features": State({}, {"mean": [0.5, 1.5]}),
}


WORDS = (b"../../etc/passwd", b"1e999", b"-1", b"99999999999999999999", b"null", b"[" * 5000, b"\x00" * 8)


@dataclass(frozen=True)
class Mutation:
    """The bytes of both files after something happened to them."""

    manifest: bytes
    tensors: bytes


def mutations(packed: Packed, count: int, seed: int) -> list[Mutation]:
    """Flipped bits, cut, doubled, moved and swapped pieces, other numbers, files in each other's place."""
    rng = random.Random(seed)
    found = []
    for i in range(count):
        manifest, tensors = packed
        if i % 3:
            manifest = _spoiled(manifest, rng)
        if i % 3 != 1:
            tensors = _spoiled(tensors, rng)
        if i % 50 == 49:
            manifest, tensors = tensors, manifest
        found.append(Mutation(manifest, tensors))
    return found


def _spoiled(data: bytes, rng: random.Random) -> bytes:
    at, to, length = rng.randrange(len(data)), rng.randrange(len(data)), rng.choice([1, 2, 8, 64])
    before, piece, after = data[:at], data[at : at + length], data[at + length :]
    return rng.choice(
        [
            before + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :],
            before,
            before + after,
            before + piece + piece + after,
            before + rng.randbytes(length) + after,
            data[:to] + piece + data[to + len(piece) :],
            before + rng.choice(WORDS) + after,
        ]
    )
