from __future__ import annotations

import asyncio
from typing import Any

from pointsman.upstream.outbox import LARGE_BYTES, Outbox


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.is_closed


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_what_a_turn_writes_to_one_transport_is_one_write() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    one, two = Transport(), Transport()
    for transport, data in ((one, b"a"), (two, b"x"), (one, b"b")):
        peer: Any = transport
        outbox.send(peer, data)
    assert one.written == []
    await turn()

    assert (one.written, two.written) == ([b"ab"], [b"x"])


async def test_what_has_to_be_done_before_anybody_is_told_is_done_first() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    one = Transport()
    seen: list[list[bytes]] = []
    outbox.first = lambda: seen.append(list(one.written))
    peer: Any = one
    outbox.send(peer, b"a")
    await turn()

    assert (seen, one.written) == ([[]], [b"a"])


async def test_the_next_turn_writes_again() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    transport: Any = Transport()
    for data in (b"a", b"b"):
        outbox.send(transport, data)
        await turn()

    assert transport.written == [b"a", b"b"]


async def test_a_large_piece_goes_by_itself_and_in_order_when_all_is_safe() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    one = Transport()
    safe: list[int] = []
    outbox.first = lambda: safe.append(len(one.written))
    transport: Any = one
    large = b"x" * (LARGE_BYTES + 1)
    for data in (b"a", large, large):
        outbox.send(transport, data)

    # The last one is what makes the answer whole.
    assert (one.written, safe) == ([b"a", large], [])
    await turn()
    assert (one.written, safe) == ([b"a", large, large], [2])


async def test_what_is_held_can_be_written_before_closing() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    one = Transport()
    safe: list[int] = []
    outbox.first = lambda: safe.append(len(one.written))
    transport: Any = one
    outbox.send(transport, b"a")
    outbox.flush_one(transport)
    outbox.flush_one(transport)

    assert (one.written, safe) == ([b"a"], [0])


async def test_nothing_is_written_to_a_transport_that_closes() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    transport: Any = Transport()
    outbox.send(transport, b"a")
    transport.is_closed = True
    await turn()

    assert transport.written == []


async def test_many_small_pieces_of_one_turn_are_not_gathered_beyond_the_size_of_a_large_one() -> None:
    outbox = Outbox(asyncio.get_running_loop())
    transport: Any = Transport()
    pieces = [bytes([n]) * (LARGE_BYTES // 3) for n in range(10)]
    for piece in pieces:
        outbox.send(transport, piece)
    assert len(transport.written) == 3
    await turn()

    assert b"".join(transport.written) == b"".join(pieces)
    assert max(map(len, transport.written)) <= LARGE_BYTES
