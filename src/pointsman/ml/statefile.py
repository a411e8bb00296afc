"""What was learnt while serving, as one run of bytes: a head of JSON with a digest of the arrays, then the arrays."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from pointsman.ml import tensors
from pointsman.ml.base import State

MAX_BYTES = 64 << 20
FORMAT = "pointsman-state-1"


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    format: str
    sha256: str
    settings: dict[str, Any]


def pack(state: State) -> bytes:
    """The same bytes for the same state."""
    body = tensors.pack(dict(state.arrays))
    settings = dict(state.settings)
    head = _Head(format=FORMAT, sha256=_digest(settings, body), settings=settings)
    return msgspec.json.encode(head, order="deterministic") + b"\n" + body


def unpack(data: bytes) -> State:
    """The reverse of :func:`pack`.

    :raises ValueError: it is not whole, or something else
    """
    line, _, body = data.partition(b"\n")
    try:
        head = msgspec.json.decode(line, type=_Head)
        if head.format != FORMAT or head.sha256 != _digest(head.settings, body):
            raise ValueError("it was changed after it was written, or cut off")
        return State(tensors.unpack(body), head.settings)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, tensors.NotTensors) as error:
        raise ValueError(f"it cannot be read: {error}") from None


def _digest(settings: dict[str, Any], body: bytes) -> str:
    return hashlib.sha256(msgspec.json.encode(settings, order="deterministic") + b"\n" + body).hexdigest()
