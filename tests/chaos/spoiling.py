"""Checkpoints that nobody would write, and those that somebody would who means harm."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from unit.ml.checkpoints import Mutation, mutations
from unit.ml.nonsense import VALUES, spoilt

from pointsman.ml.base import Floats, State, Table
from pointsman.ml.checkpoint import About, BadCheckpoint, Manifest, Packed, pack, unpack
from pointsman.ml.embedders.hashed import Hashed
from pointsman.ml.embedders.remote import Remote
from pointsman.ml.joining import join
from pointsman.ml.learned import Learned
from pointsman.ml.prior import Card
from pointsman.ml.registry import ESTIMATORS
from pointsman.ml.training.fit import train

WORDS = ("rail", "way", "points", "man", "signal", "track", "prove", "sum", "why", "translate")
MODELS = ("small", "middle", "large")
JOINED = "newcomer"
CREATED = "2020-01-02T03:04:05Z"
PATHS = (
    "../manifest.json",
    "/etc/passwd",
    "estimator/../../x",
    "C:\\x",
    "a" * 5000,
    "\x00",
    "__metadata__",
    "file:///x",
)
NUMBERS = ("1e999", "-1e999", "NaN", "Infinity", "99999999999999999999", "-1", "0.5", "1" * 400, "0")
ROUND_TRIP = msgspec.json.Decoder(Manifest)


class Spoilt(NamedTuple):
    """One checkpoint, and whether its sums are right, so that only what it says is wrong."""

    packed: Packed
    is_sealed: bool


def _ask(texts: Sequence[str]) -> Floats:
    return np.array([[len(text) % 7, len(text) % 5, 1.0] for text in texts], np.float32)


REMOTE = Remote("vectors", 3, _ask)
"""Somebody else's vectors, without asking anybody."""


def trained(count: int = 32) -> dict[str, Packed]:
    """A small checkpoint of every strategy, one with two heads, and one that a model has joined."""
    rng = random.Random(5)
    prompts = [" ".join(rng.choices(WORDS, k=6)) + f" {i}" for i in range(count)]
    chance = np.random.default_rng(5)
    table = Table(
        prompts=prompts,
        models=MODELS,
        quality=chance.random((count, len(MODELS)), dtype=np.float32),
        cost_usd=chance.random((count, len(MODELS)), dtype=np.float32) * np.float32(0.01),
        users=[f"user {i % 3}" for i in range(count)],
    )
    embedder = Hashed.trained(prompts, dimension=8, size=64)
    found = {}
    for name in (*sorted(ESTIMATORS), "two heads"):
        is_far = name not in ESTIMATORS
        made = train(table, "ridge" if is_far else name, embedder=REMOTE if is_far else embedder, resamples=0)
        found[name] = made.packed(made.about(created=CREATED))
    about, parts = _joined(found["knn"], prompts[:4])
    return found | {"joined": pack(about, parts)}


def _joined(packed: Packed, probes: Sequence[str]) -> tuple[About, Mapping[str, State]]:
    checkpoint = unpack(*packed)
    learned = Learned.from_checkpoint(checkpoint)
    card = Card(name=JOINED, output_usd_per_million=1.0)
    return join(checkpoint, learned, card, probes, np.full(len(probes), 0.5), np.full(len(probes), 0.001))


def spoil(checkpoints: Sequence[Packed], count: int, seed: int) -> Iterator[Spoilt]:
    """So many of them: two fifths with spoilt bytes, the others sealed anew with something else wrong."""
    rng = random.Random(seed)
    raw: list[Mutation] = []
    for i in range(count):
        packed = rng.choice(checkpoints)
        if i % 5 < 2:
            raw = raw or mutations(packed, 50, seed + i)
            one = raw.pop()
            yield Spoilt(Packed(one.manifest, one.tensors), is_sealed=False)
        else:
            yield Spoilt((_with_parts, _with_manifest, _with_header)[i % 5 - 2](packed, rng), is_sealed=True)


def sealed(manifest: Mapping[str, Any] | bytes, tensors: bytes) -> Packed:
    """With the sums that belong to it, as far as a manifest that says such things can have any."""
    if isinstance(manifest, bytes):
        return Packed(manifest, tensors)
    told = {**manifest, "tensors_sha256": hashlib.sha256(tensors).hexdigest(), "tensors_bytes": len(tensors)}
    try:
        found = msgspec.convert(msgspec.json.decode(msgspec.json.encode({**told, "id": "0" * 64})), Manifest)
        bare = msgspec.structs.replace(found, id="", signature=None)
        told["id"] = hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()
    except (msgspec.MsgspecError, UnicodeError):
        pass
    return Packed(json.dumps(told).encode("utf-8", "replace"), tensors)


def _with_parts(packed: Packed, rng: random.Random) -> Packed:
    """Arrays and settings that do not fit."""
    whole = unpack(*packed)
    parts = {name: State(state.arrays, state.settings) for name, state in whole.parts.items()}
    for name in rng.sample(sorted(parts), rng.choice((1, 1, 2))):
        parts[name] = spoilt(parts[name], rng)
    if rng.random() < 0.05:
        del parts[rng.choice(sorted(parts))]
    about = {name: getattr(whole.manifest, name) for name in whole.manifest.__struct_fields__}
    for name in ("id", "format", "schema", "tensors_sha256", "tensors_bytes", "settings", "signature"):
        del about[name]
    try:
        return pack(Manifest.__mro__[1](**about), parts)
    except (BadCheckpoint, TypeError):
        return Packed(packed.manifest, packed.tensors[:-1])


def _with_manifest(packed: Packed, rng: random.Random) -> Packed:
    """Other members, other values, members twice, numbers beyond all bounds."""
    told = json.loads(packed.manifest)
    where, key = _place(told, rng)
    kind = rng.randrange(6)
    if kind == 0:
        where.pop(key)
    elif kind == 1:
        where[key] = rng.choice(VALUES)
    elif kind == 2:
        where[key] = rng.choice(PATHS)
    elif kind == 3:
        other, at = _place(told, rng)
        where[key], other[at] = other[at], where[key]
    elif kind == 4:
        where[key] = "here"
        text = json.dumps(told).replace('"here"', rng.choice(NUMBERS), 1)
        try:
            return sealed(json.loads(text), packed.tensors)
        except ValueError:
            return sealed(text.encode(), packed.tensors)
    else:
        first = sealed(told, packed.tensors).manifest
        return Packed(
            b"{" + json.dumps({"strategy": rng.choice(PATHS)}).encode()[1:-1] + b"," + first[1:], packed.tensors
        )
    return sealed(told, packed.tensors)


def _place(told: Any, rng: random.Random) -> tuple[Any, Any]:
    """Some member of some object or list within."""
    while True:
        keys: list[Any] = sorted(told) if isinstance(told, dict) else list(range(len(told)))
        key = rng.choice(keys)
        if not isinstance(told[key], dict | list) or not told[key] or rng.random() < 0.2:
            return told, key
        told = told[key]


def _with_header(packed: Packed, rng: random.Random) -> Packed:
    """A table of arrays that lies about types, shapes, places and its own length."""
    length = int.from_bytes(packed.tensors[:8], "little")
    header, body = json.loads(packed.tensors[8 : 8 + length]), packed.tensors[8 + length :]
    name = rng.choice(sorted(header))
    entry = header[name]
    kind = rng.randrange(7)
    if kind == 0:
        entry["shape"] = rng.choice(
            ([2**62], [2**31, 2**31], [0, 2**60, 2**60], [-1], [], [1] * 99, [1.5], [len(body)])
        )
    elif kind == 1:
        entry["data_offsets"] = rng.choice(([0, 2**62], [2**62, 0], [-1, 4], [0, 0], [0, len(body)], [8], [4, 0]))
    elif kind == 2:
        entry["dtype"] = rng.choice(("F64", "F32", "F16", "I8", "U64", "BOOL", "BF16", "O", "V8", "|O", ""))
    elif kind == 3:
        header[rng.choice(PATHS)] = header.pop(name)
    elif kind == 4:
        header[name] = rng.choice(VALUES)
    elif kind == 5:
        entry[rng.choice(("dtype", "shape", "data_offsets"))] = rng.choice(VALUES)
    text = json.dumps(header).encode()
    said = len(text) if kind < 6 else rng.choice((0, 1, 2**63, 2**64 - 1, len(text) - 1, len(text) + 1, 2**20 + 1))
    return sealed(json.loads(packed.manifest), said.to_bytes(8, "little") + text + body)
