"""States that nobody would write: what an estimator has learnt, with something wrong in it."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.ml.base import State

Array = NDArray[Any]

NUMBERS: tuple[Any, ...] = (0, -1, 1, 2**31, 2**62, -(2**62), 0.0, -0.5, 1e-300, 1e300, 1e9)
VALUES: tuple[Any, ...] = (
    *NUMBERS,
    None,
    True,
    "",
    "../../etc/passwd",
    "os:system",
    [],
    {},
    [[1]],
    {"a": 1},
    "x" * 3000,
)
DTYPES = ("|b1", "|u1", "|i1", "<i2", "<f2", "<i4", "<f4", "<u4", "<i8", "<u8", "<f8")


def spoilt(state: State, rng: random.Random) -> State:
    """One to three things changed: arrays and settings missing, exchanged, of other shapes, types and values."""
    arrays, settings = dict(state.arrays), dict(state.settings)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if arrays and (not settings or rng.random() < 0.85):
            name = rng.choice(sorted(arrays))
            if rng.random() < 0.05:
                del arrays[name]
            elif rng.random() < 0.1:
                other = rng.choice(sorted(arrays))
                arrays[name], arrays[other] = arrays[other], arrays[name]
            else:
                arrays[name] = _spoilt(arrays[name], rng)
        elif settings:
            name = rng.choice(sorted(settings))
            if rng.random() < 0.1:
                settings[rng.choice(("more", "__class__", ""))] = 1
            else:
                settings[name] = rng.choice(VALUES)
    return State(arrays, settings)


def _spoilt(array: Array, rng: random.Random) -> Array:
    with np.errstate(all="ignore"):
        return rng.choice((_other_value, _other_value, _other_values, _other_shape, _other_type))(array, rng)


def _other_value(array: Array, rng: random.Random) -> Array:
    """One number is another one."""
    out = array.copy()
    if out.size:
        at = rng.randrange(out.size)
        if out.dtype.kind == "f":
            out.flat[at] = rng.choice((math.nan, math.inf, -math.inf, 1e38, -1e38, 0.0, -1.0))
        elif out.dtype.kind in "iu":
            limits = np.iinfo(out.dtype)
            out.flat[at] = rng.choice((limits.max, limits.min, 0, 1, len(out) if out.ndim else 1))
    return out


def _other_values(array: Array, rng: random.Random) -> Array:
    """All of them."""
    kind = rng.randrange(4)
    if kind == 0:
        return np.zeros_like(array)
    if kind == 1:
        return (array.astype(np.float64) * rng.choice((-1, 1e30, -1e30, 1e-30))).astype(array.dtype)
    if kind == 2:
        return np.frombuffer(rng.randbytes(array.nbytes), array.dtype).reshape(array.shape).copy()
    return np.ascontiguousarray(array[::-1] if array.ndim else array)


def _other_shape(array: Array, rng: random.Random) -> Array:
    kind = rng.randrange(6)
    if kind == 0 and array.ndim:
        return array[: rng.randrange(len(array) + 1)]
    if kind == 1 and array.ndim:
        return np.concatenate([array, array[-1:]])
    if kind == 2:
        return np.ascontiguousarray(array.T)
    if kind == 3:
        return array.reshape(-1)
    if kind == 4:
        return array[None]
    return array.reshape(-1)[:1].reshape(()) if array.size else np.zeros((), array.dtype)


def _other_type(array: Array, rng: random.Random) -> Array:
    return (
        np.nan_to_num(array).astype(rng.choice(DTYPES)) if array.dtype.kind == "f" else array.astype(rng.choice(DTYPES))
    )
