"""The safetensors format (https://github.com/huggingface/safetensors): named arrays as bytes.

``u64 length of the header | header, JSON | data``. The header maps each name to ``dtype``, ``shape`` and
``data_offsets``; nothing else in it is acted on, and nothing in a file is ever run. Everything is checked against the
bytes that are there before an array is made, and arrays are views of those bytes: 20 bytes cannot ask for 20 GB.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

MAX_HEADER_BYTES = 1 << 20
MAX_ARRAYS = 4096
MAX_DIMENSIONS = 8
LENGTH_BYTES = 8
METADATA = "__metadata__"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}(/[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}){0,7}")
DTYPES = {
    "BOOL": "|b1",
    "U8": "|u1",
    "I8": "|i1",
    "U16": "<u2",
    "I16": "<i2",
    "F16": "<f2",
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
}
_CODES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}

Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: Annotated[tuple[Size, ...], msgspec.Meta(max_length=MAX_DIMENSIONS)]
    data_offsets: tuple[Size, Size]


class NotTensors(ValueError):
    """The bytes are not arrays that could be read."""


_header = msgspec.json.Decoder(dict[str, msgspec.Raw])
_entry = msgspec.json.Decoder(_Entry)


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as safetensors; equal arrays make equal bytes, in whatever order they come.

    :raises NotTensors: a name or a dtype that the format, or this reader, does not have
    """
    entries: dict[str, _Entry] = {}
    parts: list[bytes] = []
    at = 0
    # The widest first, so that each one is aligned.
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        array = arrays[name]
        code = _CODES.get(array.dtype.newbyteorder("<"))
        if code is None or not NAME.fullmatch(name) or name == METADATA:
            raise NotTensors(f"an array named {name!r} of {array.dtype} cannot be kept")
        data = array.astype(DTYPES[code], copy=False).tobytes()
        entries[name] = _Entry(code, array.shape, (at, at + len(data)))
        parts.append(data)
        at += len(data)
    header = msgspec.json.encode(entries)
    header += b" " * (-len(header) % 8)
    return b"".join([len(header).to_bytes(LENGTH_BYTES, "little"), header, *parts])


def unpack(data: bytes | memoryview) -> dict[str, NDArray[Any]]:
    """The arrays in ``data``, as read-only views of it.

    :raises NotTensors: with what is wrong
    """
    view = memoryview(data).toreadonly().cast("B")
    length = int.from_bytes(view[:LENGTH_BYTES], "little")
    start = LENGTH_BYTES + length
    if len(view) < LENGTH_BYTES or length > MAX_HEADER_BYTES or start > len(view):
        raise NotTensors("the header is longer than it may be, or than the file")
    entries = _entries(view[LENGTH_BYTES:start])
    body = view[start:]
    arrays = {}
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, end = entry.data_offsets
        if begin != at or end < begin:
            raise NotTensors(f"{name} does not begin where what stands before it ends")
        arrays[name] = _array(name, entry, body[begin:end])
        at = end
    if at != len(body):
        raise NotTensors(f"the arrays need {at} bytes and there are {len(body)}")
    return arrays


def _entries(header: memoryview) -> dict[str, _Entry]:
    try:
        found = _header.decode(header)
        found.pop(METADATA, None)
        if len(found) > MAX_ARRAYS:
            raise NotTensors(f"there are more than {MAX_ARRAYS} arrays")
        return {name: _entry.decode(raw) for name, raw in found.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotTensors(f"the header cannot be read: {error}") from None


def _array(name: str, entry: _Entry, data: memoryview) -> NDArray[Any]:
    code = DTYPES.get(entry.dtype)
    if code is None or not NAME.fullmatch(name):
        raise NotTensors(f"an array named {name[:80]!r} of {entry.dtype[:16]!r} is not read here")
    dtype = np.dtype(code)
    if math.prod(entry.shape) * dtype.itemsize != len(data):
        raise NotTensors(f"{name} has {len(data)} bytes, which do not make the shape {list(entry.shape)}")
    if entry.dtype == "BOOL" and np.frombuffer(data, np.uint8).max(initial=0) > 1:
        raise NotTensors(f"{name} holds what is neither true nor false")
    try:
        return np.frombuffer(data, dtype).reshape(entry.shape)
    except ValueError:  # such as (0, 2**60, 2**60), which has no bytes
        raise NotTensors(f"{name} has a shape that no array can have") from None
