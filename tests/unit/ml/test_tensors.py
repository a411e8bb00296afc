from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from pointsman.ml.tensors import DTYPES, MAX_ARRAYS, MAX_HEADER_BYTES, NotTensors, pack, unpack

ARRAYS: dict[str, Any] = {
    "features/x": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.array([1, 2, 3], np.int8),
    "flag": np.array([True, False]),
    "scalar": np.array(2.5),
    "empty": np.zeros((0, 3), np.float16),
}


def raw(header: Any, body: bytes = b"") -> bytes:
    head = header if isinstance(header, bytes) else msgspec.json.encode(header)
    return len(head).to_bytes(8, "little") + head + body


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_what_is_packed_comes_back() -> None:
    found = unpack(pack(ARRAYS))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert (found[name] == array).all()


@pytest.mark.parametrize("dtype", DTYPES.values())
def test_every_dtype_comes_back(dtype: str) -> None:
    array = np.array([0, 1, 1, 0, 1]).astype(dtype)
    assert unpack(pack({"x": array}))["x"].dtype == array.dtype
    assert unpack(pack({"x": array}))["x"].tolist() == array.tolist()


def test_the_bytes_are_those_of_the_safetensors_library() -> None:
    made = (
        b'\x90\x00\x00\x00\x00\x00\x00\x00{"__metadata__":{"format":"np"},"x":{"dtype":"F32","shape":[2],'
        b'"data_offsets":[0,8]},"a/n":{"dtype":"I8","shape":[1,1],"data_offsets":[8,9]}}   '
        b"\x00\x00\x80?\x00\x00\x00@\x07"
    )
    found = unpack(made)
    assert {name: array.tolist() for name, array in found.items()} == {"x": [1.0, 2.0], "a/n": [[7]]}
    plain = made[8:].replace(b'"__metadata__":{"format":"np"},', b"").replace(b"}}   ", b"}}  ")
    assert pack(found) == (0x70).to_bytes(8, "little") + plain


def test_the_order_in_which_arrays_come_and_lie_in_memory_changes_nothing() -> None:
    straight = pack({"a": np.arange(6.0).reshape(2, 3), "b": np.zeros(3, np.int8)})
    turned = pack({"b": np.zeros(3, np.int8), "a": np.asfortranarray(np.arange(6.0).reshape(2, 3))})
    swapped = pack({"b": np.zeros(3, np.int8), "a": np.arange(6.0).reshape(2, 3).astype(">f8")})
    assert straight == turned == swapped


def test_arrays_are_aligned_views_that_cannot_be_written() -> None:
    data = pack(ARRAYS)
    for array in unpack(data).values():
        assert array.flags.aligned
        assert not array.flags.writeable
        assert not array.flags.owndata


@pytest.mark.parametrize("name", ["", "../x", "/x", "x/", "a b", "__metadata__", "x" * 65, "é", "x\n"])
def test_a_name_that_the_format_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(NotTensors, match="cannot be kept"):
        pack({name: np.zeros(1)})


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([None]), np.zeros(1, np.complex64)])
def test_a_dtype_that_the_format_does_not_have_is_refused(array: Any) -> None:
    with pytest.raises(NotTensors, match="cannot be kept"):
        pack({"x": array})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x00",
        b"\xff" * 8,
        (9).to_bytes(8, "little") + b"{}",
        (MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b" " * (MAX_HEADER_BYTES + 1),
        raw(b"[]"),
        raw(b'{"x":1}'),
        raw(b'{"x":\xff}'),
        raw(b"[" * 100_000),
        raw({"x": entry("F32", [1], 0, 4)}),
        raw({"x": entry("F32", [1], 0, 4)}, b"12345"),
        raw({"x": entry("F32", [2], 0, 4)}, b"1234"),
        raw({"x": entry("F32", [1], 4, 8)}, b"12345678"),
        raw({"x": entry("F32", [1], 4, 0)}, b"1234"),
        raw({"x": entry("F32", [-1], 0, 4)}, b"1234"),
        raw({"x": entry("F32", [1 << 62, 1 << 62], 0, 4)}, b"1234"),
        raw({"x": entry("F32", [0, 1 << 62, 1 << 62], 0, 0)}),
        raw({"x": entry("F32", [1] * 9, 0, 4)}, b"1234"),
        raw({"x": entry("O", [1], 0, 8)}, b"12345678"),
        raw({"x": entry("BOOL", [1], 0, 1)}, b"\x02"),
        raw({"x y": entry("F32", [1], 0, 4)}, b"1234"),
        raw({"x": entry("F32", [1], 0, 4), "y": entry("F32", [1], 0, 4)}, b"1234"),
        raw({"x": entry("F32", [1], 0, 4) | {"code": "import os"}}, b"1234"),
        raw({f"x{i}": entry("U8", [0], 0, 0) for i in range(MAX_ARRAYS + 1)}),
    ],
    ids=lambda data: repr(data[8:60]),
)
def test_what_is_not_whole_is_refused(data: bytes) -> None:
    with pytest.raises(NotTensors):
        unpack(data)


def test_a_size_that_is_only_claimed_is_never_allocated() -> None:
    with pytest.raises(NotTensors, match="do not make the shape"):
        unpack(raw({"x": entry("F64", [1 << 40], 0, 8)}, b"12345678"))
