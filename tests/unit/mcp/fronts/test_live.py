from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import Raw

from pointsman.errors import Overloaded
from pointsman.mcp.fronts.live import MAX_HELD, MAX_HELD_BYTES, Live, LiveSessions, Running, key_of
from pointsman.wire.jsonrpc import Message, RpcError, failure, notification, success


class Stream:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.is_ended = False

    def tell(self, message: Message) -> None:
        self.told.append(message.method)

    def end(self) -> None:
        self.is_ended = True

    release = end


class Watch:
    is_closed = False

    async def ready(self) -> None: ...

    def close(self) -> None:
        self.is_closed = True


def test_ids_that_look_alike_are_two() -> None:
    assert len({key_of(1), key_of("1"), key_of(None)}) == 3


def test_a_session_is_forgotten_as_soon_as_nothing_of_it_goes_on() -> None:
    sessions = LiveSessions(lambda: 10)
    with sessions.using("a") as live, sessions.using("a") as same:
        assert same is live
        live.running[key_of(1)] = object()  # type: ignore[assignment]
        assert len(sessions) == 1
        live.running.clear()
    assert len(sessions) == 0
    with sessions.using("a") as live:
        live.log_level = "info"
    assert (len(sessions), sessions.level("a"), sessions.level("b")) == (1, "info", None)


def test_what_ends_beside_a_stream_that_is_about_to_open_leaves_it_its_session() -> None:
    sessions, watch = LiveSessions(lambda: 10), Watch()
    with sessions.using("a") as live:
        live.watch_by(watch)
        with sessions.using("a"):
            """A request that comes meanwhile, and is over."""
        assert (len(sessions), watch.is_closed) == (1, False)
    assert (len(sessions), watch.is_closed) == (0, True)


def test_of_too_many_the_one_that_was_longest_unused_ends() -> None:
    sessions = LiveSessions(lambda: 2)
    watch = Watch()
    for name in ("a", "b"):
        with sessions.using(name) as live:
            live.uris.add("x")
            live.watch_by(Watch() if name == "a" else watch)
    with sessions.using("a"), sessions.using("c"):
        assert sessions.level("b") is None
    assert watch.is_closed


@pytest.mark.requirement("mcp.bounded")
def test_one_in_which_something_goes_on_makes_no_room_for_another() -> None:
    sessions = LiveSessions(lambda: 2)
    with sessions.using("a") as first, sessions.using("b"):
        with pytest.raises(Overloaded), sessions.using("c"):
            pass
        assert not first.is_over
    with sessions.using("a") as first:
        with sessions.using("b") as second:
            second.log_level = "info"
        with sessions.using("c"):
            assert not first.is_over
        assert second.is_over


def test_a_session_that_has_ended_is_known_to_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pointsman.mcp.fronts.live.MAX_ENDED", 2)
    sessions = LiveSessions(lambda: 10)
    stream: Any = Stream()
    with sessions.using("a") as live:
        live.open(stream)
    sessions.end("a")
    assert stream.is_ended
    assert sessions.has_ended("a")
    sessions.end("b")
    sessions.end("c")
    assert not sessions.has_ended("a")


@pytest.mark.requirement("mcp.bounded")
def test_what_is_kept_without_a_stream_is_bounded_in_bytes_too() -> None:
    live = Live("a")
    for n in range(3):
        live.tell(notification("notifications/resources/updated", {"uri": f"a:{n}", "pad": "x" * 900_000}))
    for n in range(50):
        live.tell(notification("notifications/message", {"data": f"{n}" + "x" * 900}))
    live.tell(notification("notifications/message", {"data": "x" * 100_000}))
    messages: list[Message] = []
    stream: Any = SimpleNamespace(tell=messages.append)
    live.open(stream)
    assert [one.read() for one in messages[:3]] == [{"uri": "a:0"}, {"uri": "a:1"}, {"uri": "a:2"}]
    assert 10 < len(messages) < 20
    assert sum(len(one.encode()) for one in messages) <= MAX_HELD_BYTES


def test_what_is_told_without_a_stream_is_kept_once_and_up_to_a_number() -> None:
    live = Live("a")
    for _ in range(2):
        live.tell(notification("same"))
    assert not live.is_resting
    for n in range(MAX_HELD):
        live.tell(notification(f"n{n}"))
    stream: Any = Stream()
    live.open(stream)
    assert len(stream.told) == MAX_HELD
    assert stream.told[0] == "same"
    live.tell(notification("now"))
    assert stream.told[-1] == "now"


async def test_an_answer_finds_who_has_asked() -> None:
    live = Live("a")
    loop = asyncio.get_running_loop()
    live.asks = {"good": loop.create_future(), "bad": loop.create_future()}
    live.take(success("good", Raw(b'{"a":1}')))
    live.take(success("good", Raw(b"{}")))
    live.take(failure("bad", RpcError(-1, "no")))
    live.take(failure("nobody", RpcError(-1, "no")))
    live.take(Message(jsonrpc="2.0", result=Raw(b"{}")))
    assert await live.asks["good"] == Raw(b'{"a":1}')
    with pytest.raises(RpcError, match="no"):
        await live.asks["bad"]


async def test_a_request_that_its_client_has_cancelled_goes_on_to_say_so() -> None:
    async def go() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "cancelled by name" if running.uncancel() else "cancelled"
        return ""

    task = asyncio.create_task(go())
    running = Running(task)
    await asyncio.sleep(0)
    running.cancel()
    assert await task == "cancelled by name"
    assert task.cancelling() == 0


async def test_the_end_of_a_session_is_the_end_of_all_that_goes_on_in_it() -> None:
    live = Live("a")
    task = asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    live.running[key_of(1)] = Running(task)
    waiter = live.asks["x"] = asyncio.get_running_loop().create_future()
    live.close()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    assert waiter.cancelled()
