from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from pointsman.edge.line import MAX_MESSAGE_BYTES, MAX_WAITING_BYTES, RETIRED, Lines, Peers, packed
from pointsman.telemetry.tasks import Tasks


class Parent:
    """The other end of a worker's line."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.said: list[dict[str, Any]] = []
        end.setblocking(False)

    def tell(self, **message: Any) -> None:
        self.end.send(packed(message))

    async def hears(self, kind: str) -> dict[str, Any]:
        """The last message of a kind, as soon as there is one."""
        async with asyncio.timeout(5):
            while True:
                try:
                    self.said += map(json.loads, self.end.recv(65_536).splitlines())
                except BlockingIOError:
                    await asyncio.sleep(0)
                if found := [one for one in self.said if one["kind"] == kind]:
                    return found[-1]


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Parent, Peers]]:
    end, line = socket.socketpair()
    peers = Peers(line, patience=0.05)
    peers.pid = 7
    yield Parent(end), peers
    asyncio.get_running_loop().remove_reader(line.fileno())
    end.close()
    line.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_messages_are_found_however_they_are_cut(size: int) -> None:
    data = packed({"a": 1}) + packed({"b": "é\n"})
    lines = Lines()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert [message for piece in pieces for message in lines.feed(piece)] == [{"a": 1}, {"b": "é\n"}]


@pytest.mark.parametrize(
    "bad", [b"no json\n", b"7\n", b"\xff\n", b"x" * (MAX_MESSAGE_BYTES + 1) + b"\n"], ids=["text", "7", "bytes", "long"]
)
def test_what_is_no_message_is_passed_over(bad: bytes) -> None:
    assert list(Lines().feed(bad + packed({"a": 1}))) == [{"a": 1}]


def test_what_has_no_end_takes_no_memory() -> None:
    lines = Lines()
    for _ in range(10):
        assert not list(lines.feed(b"x" * MAX_MESSAGE_BYTES))
    assert len(lines._rest) <= MAX_MESSAGE_BYTES
    assert list(lines.feed(b"\n" + packed({"a": 1}))) == [{"a": 1}]


async def test_nothing_is_said_before_the_worker_serves(pair: tuple[Parent, Peers]) -> None:
    parent, peers = pair
    peers.tell({"hash": "a"})
    with pytest.raises(BlockingIOError):
        parent.end.recv(1)
    peers.start()
    assert await parent.hears("state") == {"kind": "state", "state": {"hash": "a"}, "pid": 7}
    peers.tell({"hash": "a"})
    with pytest.raises(BlockingIOError):
        parent.end.recv(1)
    peers.tell({"hash": "b"})
    assert (await parent.hears("state"))["state"] == {"hash": "b"}


@pytest.mark.requirement("config.reload.workers")
async def test_what_others_were_asked_for_is_told_when_all_have_answered(pair: tuple[Parent, Peers]) -> None:
    parent, peers = pair
    peers.start()
    for pid in (8, 9, 10):
        parent.tell(kind="state", pid=pid, state={"hash": "a"})
    await until(lambda: len(peers.states()) == 3)
    asking = asyncio.create_task(peers.ask({"do": "reload"}))
    asked = await parent.hears("ask")
    assert asked["what"] == {"do": "reload"}
    parent.tell(kind="done", pid=8, id=asked["id"], outcome={"status": "success"})
    parent.tell(kind="done", pid=8, id=asked["id"], outcome={"status": "twice"})
    parent.tell(kind="done", pid=9, id="another", outcome={})
    parent.tell(kind="gone", pid=9)
    parent.tell(kind="done", pid=10, id=asked["id"], outcome={"status": "failed"})
    assert await asking == [{"pid": 8, "status": "success"}, {"pid": 10, "status": "failed"}]
    assert peers.states() == [{"pid": 8, "hash": "a"}, {"pid": 10, "hash": "a"}]


async def test_who_does_not_answer_in_time_is_given_as_such(pair: tuple[Parent, Peers]) -> None:
    parent, peers = pair
    peers.start()
    parent.tell(kind="state", pid=8, state={})
    await until(peers.states)
    errors = ["has not answered within 0.05 s, and may still be at it"]
    assert await peers.ask({"do": "reload"}) == [{"pid": 8, "status": "failed", "errors": errors}]


@pytest.mark.requirement("config.reload.asks")
async def test_who_is_retired_asks_all_the_same_and_waits_for_nobody(pair: tuple[Parent, Peers]) -> None:
    parent, peers = pair
    peers._patience = 60.0
    peers.start()
    parent.tell(kind="state", pid=8, state={})
    await until(peers.states)
    waiting = asyncio.create_task(peers.ask({"do": "reload"}))
    await parent.hears("ask")
    parent.end.shutdown(socket.SHUT_WR)
    async with asyncio.timeout(5):
        assert await waiting == [{"pid": 8, "status": "failed", "errors": [RETIRED]}]
        assert await peers.ask({"do": "rollback"}) == [{"pid": 8, "status": "failed", "errors": [RETIRED]}]
    assert (await parent.hears("ask"))["what"] == {"do": "rollback"}


@pytest.mark.requirement("config.reload.asks")
async def test_the_parent_hears_an_ask_also_where_there_is_nobody_yet(pair: tuple[Parent, Peers]) -> None:
    parent, peers = pair
    peers.start()
    assert await peers.ask({"do": "reload"}) == []
    assert (await parent.hears("ask"))["what"] == {"do": "reload"}


async def test_what_others_ask_for_is_done_and_answered(pair: tuple[Parent, Peers]) -> None:
    async def answering(what: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"status": "success", "did": what["do"]}

    parent, peers = pair
    tasks = Tasks(logging.getLogger("test"), 5)
    peers.serve(answering, tasks)
    peers.start()
    parent.tell(kind="ask", pid=8, id="8-1", what={"do": "reload"})
    done = await parent.hears("done")
    assert done == {"kind": "done", "id": "8-1", "pid": 7, "outcome": {"status": "success", "did": "reload"}}
    await tasks.close(1)


async def test_the_end_of_the_line_is_told(pair: tuple[Parent, Peers]) -> None:
    parent, peers = pair
    ended: list[bool] = []
    peers.on_end = lambda: ended.append(True)
    peers.start()
    parent.end.shutdown(socket.SHUT_WR)
    await until(lambda: ended)
    parent.end.close()
    peers.say(b"nobody listens")


@pytest.mark.requirement("config.reload.workers")
async def test_messages_stay_whole_where_the_other_end_takes_them_in_pieces(pair: tuple[Parent, Peers]) -> None:
    parent, peers = pair
    peers._line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # type: ignore[union-attr]
    peers.start()
    texts = [str(n) * 60_000 for n in range(8)]
    for text in texts:
        peers.say(packed({"text": text}))
    lines = Lines()
    heard: list[Mapping[str, Any]] = []
    async with asyncio.timeout(10):
        while len(heard) < len(texts):
            try:
                heard += lines.feed(parent.end.recv(65_536))
            except BlockingIOError:
                await asyncio.sleep(0)
    assert [one["text"] for one in heard] == texts
    assert peers._outgoing is not None
    assert peers._outgoing._waiting == b""


async def test_what_does_not_fit_is_dropped_whole(pair: tuple[Parent, Peers], caplog: Any) -> None:
    parent, peers = pair
    peers.start()
    count = 2 + 4 * MAX_WAITING_BYTES // 60_000
    for n in range(count):
        peers.say(packed({"n": n, "text": "x" * 60_000}))
    lines = Lines()
    heard: list[int] = []
    async with asyncio.timeout(10):
        while peers._outgoing._waiting or not heard:  # type: ignore[union-attr]
            try:
                heard += [one["n"] for one in lines.feed(parent.end.recv(65_536))]
            except BlockingIOError:
                await asyncio.sleep(0)
    peers.say(packed({"n": count}))
    async with asyncio.timeout(10):
        while count not in heard:
            try:
                heard += [one["n"] for one in lines.feed(parent.end.recv(65_536))]
            except BlockingIOError:
                await asyncio.sleep(0)
    assert heard == [*range(len(heard) - 1), count]
    assert len(heard) < count
    assert len(caplog.records) == 1


@pytest.mark.requirement("config.reload.workers")
async def test_an_answer_that_is_too_long_says_so(pair: tuple[Parent, Peers]) -> None:
    async def answering(_: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"status": "failed", "hash": "a", "errors": ["x" * MAX_MESSAGE_BYTES]}

    parent, peers = pair
    tasks = Tasks(logging.getLogger("test"), 5)
    peers.serve(answering, tasks)
    peers.start()
    parent.tell(kind="ask", pid=8, id="8-1", what={"do": "reload"})
    outcome = (await parent.hears("done"))["outcome"]
    assert outcome == {"status": "failed", "hash": "a", "errors": ["what came of it is too long to be told here"]}
    await tasks.close(1)


async def test_a_state_that_is_too_long_is_told_to_the_log(pair: tuple[Parent, Peers], caplog: Any) -> None:
    _, peers = pair
    peers.start()
    peers.tell({"hash": "x" * MAX_MESSAGE_BYTES})
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_parent_that_does_not_listen_is_no_reason_to_wait(pair: tuple[Parent, Peers], caplog: Any) -> None:
    _, peers = pair
    peers.start()
    for _ in range(100):
        peers.say(b"x" * 65_536)
    assert len(caplog.records) <= 1


async def test_without_a_line_there_is_nobody() -> None:
    peers = Peers()
    peers.start()
    peers.tell({"hash": "a"})
    assert await peers.ask({"do": "reload"}) == []
    assert peers.states() == []
