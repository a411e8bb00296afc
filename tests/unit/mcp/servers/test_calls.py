from __future__ import annotations

import asyncio

import pytest
from msgspec import Raw
from unit.mcp.peers import Talker

from pointsman.access.caller import Caller
from pointsman.mcp.servers.calls import Call, Parties, progressed
from pointsman.wire.jsonrpc import NONE, Message, RpcError, notification


@pytest.mark.parametrize("token", [b'"tok"', b"17"])
def test_progress_has_the_clients_token_again(token: bytes) -> None:
    talker = Talker()
    call = Call(5, talker, Raw(b'{"_meta":{"progressToken":%b}}' % token))
    progress = notification("notifications/progress", Raw(b'{"progressToken":5,"progress": 1.0,"x":1}'))
    assert progressed(progress) == 5
    call.tell(progress)
    assert bytes(talker.told[0].params) == b'{"progressToken":%b,"progress":1.0,"x":1}' % token


def test_progress_that_nobody_has_asked_for_is_dropped_and_all_else_told() -> None:
    talker = Talker()
    call = Call(5, talker, Raw(b'{"arguments":{"progressToken":1}}'))
    call.tell(notification("notifications/progress", {"progressToken": 5}))
    news = notification("notifications/message", {"data": 1})
    call.tell(news)
    assert talker.told == [news]


def test_progress_that_is_damaged_is_dropped() -> None:
    talker = Talker()
    call = Call(5, talker, Raw(b'{"_meta":{"progressToken":1}}'))
    call.tell(Message(jsonrpc="2.0", method="notifications/progress", params=Raw(b"[]")))
    assert talker.told == []


def test_parameters_that_are_no_object_are_refused() -> None:
    with pytest.raises(RpcError):
        Call(5, Talker(), Raw(b'["progressToken"]'))
    assert Call(5, Talker(), NONE).token is None


def test_a_notification_may_name_no_progress() -> None:
    assert progressed(notification("notifications/message", {"progressToken": 5})) is None
    assert progressed(notification("notifications/progress", {"progressToken": []})) is None
    assert progressed(notification("notifications/progress")) is None


async def test_the_end_of_a_call_ends_what_is_asked_for_it() -> None:
    call = Call(5, Talker(), NONE)

    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    task = asyncio.ensure_future(forever())
    call.asked[1] = task
    call.end()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert call.asked == {}


def made(session: str = "", name: str = "") -> Call:
    return Call(1, Talker(session=session, caller=Caller(name=name)), NONE)


@pytest.mark.parametrize(
    ("before", "calls", "is_meant"),
    [
        ([], [], None),
        ([], [("s", "")], 0),
        ([], [("s", ""), ("s", "")], 1),
        ([], [("", "k")], 0),
        ([], [("", "k"), ("", "k")], None),
        ([], [("s", "k"), ("t", "k")], None),
        ([("s", "")], [("t", "")], None),
        ([("s", "k")], [("t", "k")], 0),
        ([("", "k")], [("", "l")], None),
        ([("", "")], [("s", "k")], None),
        ([], [("", "")], None),
    ],
)
@pytest.mark.requirement("mcp.isolation")
def test_what_names_no_call_is_for_one_where_nobody_else_has_called(
    before: list[tuple[str, str]], calls: list[tuple[str, str]], is_meant: int | None
) -> None:
    parties, now = Parties(), [made(*one) for one in calls]
    for call in (*(made(*one) for one in before), *now):
        parties.enter(call, "tools/call")
    assert parties.only(now) is (None if is_meant is None else now[is_meant])


def test_the_gateway_itself_is_no_party() -> None:
    parties, own, read = Parties(), made("s"), made()
    parties.enter(read, "tools/list")
    parties.enter(own, "tools/call")
    assert parties.only([read, own]) is own
    assert parties.only([read]) is None


def test_calls_that_go_on_are_of_a_party_too() -> None:
    one = made("s")
    assert Parties([one]).only([one]) is one
