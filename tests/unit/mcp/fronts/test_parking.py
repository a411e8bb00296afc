from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from pointsman.access.caller import Caller
from pointsman.errors import Overloaded, UpstreamBroken
from pointsman.mcp.base import Client
from pointsman.mcp.fronts.parking import ModernAsking, Parked, Parking, Visit, check_answer, is_level, is_wanted
from pointsman.mcp.sessions import Tokens
from pointsman.mcp.settings import Limits
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import Message, RpcError, notification

ME = Caller(name="key:1")
DECLINED = Raw(b'{"action":"decline"}')


def client(level: str | None = None) -> Client:
    return Client(caller=ME, era="modern", revision="2026-07-28", capabilities={"elicitation": {}}, log_level=level)


class Nobody:
    """Takes what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, message: Message) -> None:
        self.told.append(message.method)


@pytest.fixture
async def tasks() -> Any:
    tasks = Tasks(logging.getLogger("tests"), 3)
    yield tasks
    await tasks.close(1.0)


@pytest.fixture
async def parking(tasks: Tasks) -> Any:
    limits = Limits(max_parked=1, parked_seconds=60)
    parking = Parking(Tokens(b"s", lambda: 0.0), tasks, lambda: "name", "here", limits)
    yield parking
    parking.close()


async def ask(call: Parked) -> Raw:
    return await call.ask("elicitation/create", Raw(b"{}"))


async def resume(parking: Parking, parked: Raw, answers: dict[str, Raw], nobody: Any) -> Raw:
    text = msgspec.json.decode(parked)["requestState"]
    state, _ = Tokens(b"s", lambda: 0.0).open_state(text, ME, "d")
    return await parking.resume(client(), state, answers, nobody)


async def test_a_call_that_asks_for_nothing_just_gives_its_result(parking: Parking) -> None:
    async def work(_call: Parked) -> Raw:
        return Raw(b'{"a":1}')

    nobody: Any = Nobody()
    assert await parking.run(client(), lambda: "d", nobody, work) == Raw(b'{"a":1}')
    assert len(parking) == 0


async def test_a_call_that_fails_while_nobody_is_there_tells_whoever_comes(parking: Parking) -> None:
    go = asyncio.Event()

    async def work(call: Parked) -> Raw:
        asking = asyncio.ensure_future(ask(call))
        await go.wait()
        asking.cancel()
        raise UpstreamBroken

    nobody: Any = Nobody()
    parked = await parking.run(client(), lambda: "d", nobody, work)
    go.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(parking) == 1
    with pytest.raises(UpstreamBroken):
        await resume(parking, parked, {}, nobody)
    assert len(parking) == 0


async def test_a_question_that_is_taken_back_is_not_put(parking: Parking) -> None:
    async def work(call: Parked) -> Raw:
        asking = asyncio.ensure_future(ask(call))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return Raw(b"{}")

    nobody: Any = Nobody()
    assert await parking.run(client(), lambda: "d", nobody, work) == Raw(b"{}")


async def test_what_is_told_while_nobody_is_there_is_lost(parking: Parking) -> None:
    async def work(call: Parked) -> Raw:
        call.tell(notification("first"))
        await ask(call)
        call.tell(notification("second"))
        return Raw(b"{}")

    first: Any = Nobody()
    second: Any = Nobody()
    parked = await parking.run(client(), lambda: "d", first, work)
    await resume(parking, parked, {"elicitation-1": DECLINED}, second)
    assert (first.told, second.told) == (["first"], ["second"])


@pytest.mark.parametrize(
    ("other", "told"),
    [({"caller": "key:2"}, "error"), ({"turn": 2}, "error"), ({"replica": "there"}, None), ({}, "result")],
)
async def test_another_process_gets_what_its_client_could_get_here(
    parking: Parking, other: dict[str, Any], told: str | None
) -> None:
    nobody: Any = Nobody()
    await parking.run(client(), lambda: "d", nobody, ask)
    answers = {"elicitation-1": '{"action":"decline"}'}
    visit = Visit(replica="here", call="name", turn=1, caller="key:1", answers=answers)
    found = await parking.visit(msgspec.structs.replace(visit, **other))
    assert list(found)[:1] == ([] if told is None else [told])
    assert len(parking) == (0 if told == "result" else 1)


@pytest.mark.requirement("mcp.workers")
async def test_a_result_of_any_length_comes_over_from_another_process(parking: Parking, tasks: Tasks) -> None:
    text = msgspec.json.encode({"text": "x" * 200_000})

    async def work(call: Parked) -> Raw:
        await ask(call)
        return Raw(text)

    nobody: Any = Nobody()
    parked = await parking.run(client(), lambda: "d", nobody, work)
    other = Parking(Tokens(b"s", lambda: 0.0), tasks, lambda: "name", "there", Limits())

    async def ask_others(visit: Visit) -> list[Any]:
        told = msgspec.json.encode(await parking.visit(msgspec.convert(msgspec.to_builtins(visit), Visit)))
        assert len(told) < 65_536
        return [{"pid": 1}, msgspec.json.decode(told)]

    other.ask_others = ask_others
    assert bytes(await resume(other, parked, {"elicitation-1": DECLINED}, nobody)) == text
    with pytest.raises(RpcError, match="too long"):
        await resume(other, parked, {"elicitation-1": Raw(b'{"a":"%b"}' % (b"x" * 60_000))}, nobody)


async def test_more_than_may_wait_are_given_up(parking: Parking, tasks: Tasks) -> None:
    nobody: Any = Nobody()
    await parking.run(client(), lambda: "d", nobody, ask)
    with pytest.raises(Overloaded):
        await parking.run(client(), lambda: "d", nobody, ask)
    for _ in range(3):
        await asyncio.sleep(0)
    assert (len(parking), len(tasks)) == (1, 1)


@pytest.mark.requirement("mcp.bounded")
async def test_no_caller_takes_all_places() -> None:
    tasks, names = Tasks(logging.getLogger("tests"), 10), iter("abcdefgh")
    parking = Parking(Tokens(b"s", lambda: 0.0), tasks, lambda: next(names), "here", Limits(max_parked=4))
    nobody: Any = Nobody()

    async def park(name: str) -> None:
        who = msgspec.structs.replace(client(), caller=Caller(name=name))
        await parking.run(who, lambda: "d", nobody, ask)

    await park("key:1")
    await park("key:1")
    with pytest.raises(Overloaded):
        await park("key:1")
    await park("key:2")
    assert len(parking) == 3
    parking.close()
    await tasks.close(1.0)


async def test_all_that_wait_are_given_up_at_the_end(parking: Parking, tasks: Tasks) -> None:
    nobody: Any = Nobody()
    await parking.run(client(), lambda: "d", nobody, ask)
    parking.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (len(parking), len(tasks)) == (0, 0)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("elicitation/create", b'{"action":"accept","content":{"a":1}}'),
        ("elicitation/create", b'{"action":"cancel","content":null}'),
        ("sampling/createMessage", b'{"role":"assistant","content":{"type":"text","text":"x"},"model":"m"}'),
        ("roots/list", b'{"roots":[]}'),
    ],
)
def test_an_answer_is_taken(method: str, answer: bytes) -> None:
    check_answer(method, Raw(answer))


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("elicitation/create", b"{}"),
        ("elicitation/create", b'{"action":["accept"]}'),
        ("elicitation/create", b'{"action":"accept","content":[]}'),
        ("sampling/createMessage", b'{"role":"assistant","content":{}}'),
        ("roots/list", b'{"roots":{}}'),
        ("roots/list", b"[]"),
        ("other", b'{"action":"accept"}'),
    ],
)
def test_what_is_no_answer_is_refused(method: str, answer: bytes) -> None:
    with pytest.raises(RpcError) as raised:
        check_answer(method, Raw(answer))
    assert (raised.value.code, raised.value.status) == (-32602, 400)


@pytest.mark.parametrize(
    ("params", "least", "is_wanted_"),
    [(b'{"level":"info"}', None, False), (b'{"level":"info"}', "info", True), (b"[]", "info", False)],
)
def test_log_messages_are_for_those_who_want_them(params: bytes, least: str | None, *, is_wanted_: bool) -> None:
    message = Message(method="notifications/message", params=Raw(params))
    assert is_wanted(message, client(least)) is is_wanted_
    assert is_level(Message(method="notifications/message", params=Raw(b'{"level":"info"}')), None)


async def test_a_request_that_cannot_wait_is_not_asked() -> None:
    nobody: Any = Nobody()
    with pytest.raises(RpcError):
        await ModernAsking(client(), nobody).ask("elicitation/create", Raw(b"{}"))
