from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from pointsman.edge.exchange import Exchange
from pointsman.edge.gate import Gate, pour


async def test_who_writes_waits_while_the_client_does_not_read() -> None:
    gate = Gate()
    await gate.wait()
    gate.pause()
    waiting = asyncio.create_task(gate.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.resume()
    await waiting


async def numbers(asked: list[int], count: int = 3) -> AsyncGenerator[bytes]:
    for number in range(count):
        asked.append(number)
        yield b"%d" % number


async def test_no_piece_is_asked_for_before_the_client_has_read_the_one_before(
    make_exchange: Callable[..., Exchange], wire: Any
) -> None:
    asked: list[int] = []
    exchange = make_exchange()
    wire.is_write_paused = True
    pouring = asyncio.create_task(pour(numbers(asked), exchange, 200, b"", 3))
    for _ in range(10):
        await asyncio.sleep(0)
    assert (asked, wire.body) == ([0], b"0")
    wire.is_write_paused = False
    exchange.resume()
    await pouring
    assert (wire.status, wire.headers["content-length"], wire.body) == (200, "3", b"012")


async def test_others_have_their_turn_between_two_pieces(make_exchange: Callable[..., Exchange]) -> None:
    asked: list[int] = []
    seen: list[int] = []

    async def other() -> None:
        for _ in range(3):
            seen.append(len(asked))
            await asyncio.sleep(0)

    await asyncio.gather(pour(numbers(asked), make_exchange(), 200, b"", 3), other())
    assert seen == [1, 2, 3]


async def test_what_the_first_piece_raises_can_still_be_told(make_exchange: Callable[..., Exchange]) -> None:
    async def broken() -> AsyncGenerator[bytes]:
        for name in ("blob",):
            raise KeyError(name)
        yield b""

    exchange = make_exchange()
    with pytest.raises(KeyError):
        await pour(broken(), exchange, 200, b"")
    assert not exchange.is_started


async def test_nothing_is_a_whole_reply(make_exchange: Callable[..., Exchange], wire: Any) -> None:
    exchange = make_exchange()
    await pour(numbers([], 0), exchange, 200, b"", 0)
    assert (exchange.is_finished, wire.status, wire.body) == (True, 200, b"")
