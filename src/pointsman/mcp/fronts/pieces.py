"""Results that go to another process of this gateway, in parts: a message between processes is short."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final

from pointsman.wire.jsonrpc import INTERNAL_ERROR, RpcError

PIECE_BYTES: Final = 45_000
MAX_BYTES: Final = 128 << 20
"""Of all that wait to be taken."""
KEEP_SECONDS: Final = 30.0
"""In which the whole of one has to be taken."""
LOST: Final = RpcError(INTERNAL_ERROR, "The result was lost on the way from one worker to another")


class Pieces:
    """Those that are on their way, by name."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def first(self, name: str, result: bytes) -> Mapping[str, Any]:
        """The begin of a result, which is kept where there is more of it.

        :raises RpcError: there is no room for it
        """
        if len(result) > PIECE_BYTES:
            if self._size + len(result) > MAX_BYTES:
                raise LOST
            self._kept[name] = result
            self._size += len(result)
            asyncio.get_running_loop().call_later(KEEP_SECONDS, self._drop, name)
        return _piece(result, 0)

    def next(self, name: str, at: int) -> Mapping[str, Any]:
        """What comes from there on.

        :raises RpcError: it is not kept any more
        """
        result = self._kept.get(name)
        if result is None:
            raise LOST
        told = _piece(result, at)
        if not told["has_more"]:
            self._drop(name)
        return told

    def _drop(self, name: str) -> None:
        self._size -= len(self._kept.pop(name, b""))


def _piece(result: bytes, at: int) -> Mapping[str, Any]:
    end = at + PIECE_BYTES
    return {"result": b64encode(result[at:end]).decode(), "has_more": end < len(result)}


def taken(told: Mapping[str, Any]) -> bytes:
    """The bytes of a piece."""
    return b64decode(told["result"])
