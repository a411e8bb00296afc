from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from pointsman.upstream.beats import AT_ONCE, Beats


class Member:
    def __init__(self) -> None:
        self.count = 0
        self.news = asyncio.Event()

    def beat(self) -> None:
        self.count += 1
        self.news.set()


@pytest.fixture
async def beats() -> AsyncIterator[Beats]:
    beats = Beats(0.001)
    yield beats
    beats.close()


async def test_each_member_is_asked_again_and_again(beats: Beats) -> None:
    one, other = Member(), Member()
    beats.add(one)
    beats.add(other)
    beats.add(one)
    assert len(beats) == 2
    async with asyncio.timeout(5):
        while other.count < 3:
            other.news.clear()
            await other.news.wait()
    assert one.count >= 3


async def test_the_timer_rests_where_there_is_nobody(beats: Beats) -> None:
    member = Member()
    beats.add(member)
    beats.discard(member)
    beats.discard(member)
    beats.beat()
    assert (member.count, beats._timer) == (0, None)
    beats.add(member)
    async with asyncio.timeout(5):
        await member.news.wait()


async def test_many_members_do_not_hold_up_the_loop(beats: Beats) -> None:
    members = [Member() for _ in range(AT_ONCE + 2)]
    beats.seconds = 3600
    for member in members:
        beats.add(member)
    beats.beat()
    assert (members[AT_ONCE - 1].count, members[AT_ONCE].count) == (1, 0)
    beats.discard(members[-1])
    await asyncio.sleep(0)
    assert [member.count for member in members[AT_ONCE:]] == [1, 0]


async def test_whoever_leaves_while_others_speak_is_not_asked(beats: Beats) -> None:
    class Leaving(Member):
        def beat(self) -> None:
            super().beat()
            beats.discard(other)
            beats.add(new)

    other, new = Member(), Member()
    beats.add(Leaving())
    beats.add(other)
    beats.seconds = 3600
    beats.beat()
    assert (other.count, new.count, len(beats)) == (0, 0, 2)


async def test_nobody_is_asked_after_the_end(beats: Beats) -> None:
    members = [Member() for _ in range(AT_ONCE + 1)]
    for member in members:
        beats.add(member)
    beats.beat()
    beats.close()
    await asyncio.sleep(0)
    assert (members[0].count, members[-1].count, len(beats), beats._timer) == (1, 0, 0, None)
