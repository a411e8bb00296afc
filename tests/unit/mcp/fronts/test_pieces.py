from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from pointsman.mcp.fronts import pieces
from pointsman.mcp.fronts.pieces import PIECE_BYTES, Pieces, taken
from pointsman.wire.jsonrpc import RpcError


def whole(found: Pieces, name: str, first: Mapping[str, Any]) -> bytes:
    result, told = taken(first), first
    while told["has_more"]:
        told = found.next(name, len(result))
        result += taken(told)
    return result


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
async def test_a_result_arrives_whole_and_is_kept_no_longer(size: int) -> None:
    found, result = Pieces(), bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert whole(found, "a", found.first("a", result)) == result
    assert len(found) == 0


async def test_what_is_not_kept_any_more_is_a_failure() -> None:
    with pytest.raises(RpcError, match="lost"):
        Pieces().next("a", 1)


async def test_what_nobody_takes_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "KEEP_SECONDS", 0)
    found = Pieces()
    found.first("a", bytes(PIECE_BYTES + 1))
    assert len(found) == 1
    while found:
        await asyncio.sleep(0)


async def test_all_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MAX_BYTES", 2 * PIECE_BYTES)
    found, result = Pieces(), bytes(PIECE_BYTES + 1)
    first = found.first("a", result)
    with pytest.raises(RpcError, match="lost"):
        found.first("b", result)
    assert whole(found, "a", first) == result
    assert found.first("b", result)["has_more"]
