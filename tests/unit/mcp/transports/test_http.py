from __future__ import annotations

import asyncio

import pytest
from unit.upstream.peers import event, events

from pointsman.errors import UpstreamBroken
from pointsman.mcp.transports.http import Stream, messages_of
from pointsman.wire.jsonrpc import Message, notification, success


async def test_a_stream_gives_messages_and_ends_with_the_answer() -> None:
    heard: list[Message] = []
    stream = Stream(heard.append, 1000, 7)
    news = notification("notifications/message", {"data": "x"})
    answer = events(news, "data: nonsense\n\n", ": hello\n\n", success(8, {}), success(7, {"a": 1}), is_open=True)
    await stream.read(answer.response)
    assert stream.answer == success(7, {"a": 1})
    assert [one.method or one.id for one in heard] == ["notifications/message", 8]


async def test_the_end_of_a_stream_is_waited_for_by_nobody_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pointsman.mcp.transports.http.LAST_SECONDS", 0.0)
    answer = events(success(7, {}), is_open=True)
    await Stream(_nothing, 1000, 7).read(answer.response)
    assert not answer.producer.is_aborted
    async with asyncio.timeout(5):
        while not answer.producer.is_aborted:
            await asyncio.sleep(0)


async def test_a_stream_may_end_without_an_answer() -> None:
    stream = Stream(_nothing, 1000, 7)
    await stream.read(events(notification("a")).response)
    assert stream.answer is None


async def test_a_stream_that_is_cut_fails() -> None:
    answer = events(is_open=True)
    answer.response.fail(UpstreamBroken())
    with pytest.raises(UpstreamBroken):
        await Stream(_nothing, 1000, 7).read(answer.response)


async def test_whoever_reads_a_stream_no_more_closes_it() -> None:
    answer = events(is_open=True)
    task = asyncio.ensure_future(Stream(_nothing, 1000, 7).read(answer.response))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    await asyncio.sleep(0)
    assert answer.producer.is_aborted


async def test_an_event_that_is_too_long_ends_the_stream() -> None:
    answer = events(event({"a": "x" * 3000}).decode(), is_open=True)
    with pytest.raises(UpstreamBroken, match="too long"):
        await Stream(_nothing, 1000, 7).read(answer.response)
    assert answer.producer.is_aborted


def test_one_message_or_several_or_none() -> None:
    one = notification("a")
    assert messages_of(one.encode()) == [one]
    assert messages_of(b"[%b,%b]" % (one.encode(), one.encode())) == [one, one]
    assert messages_of(b"[]") == messages_of(b"x") == messages_of(b"") == []


def _nothing(_message: Message) -> None:
    return None


@pytest.mark.requirement("mcp.broken-text")
def test_an_answer_that_is_no_unicode_is_read_as_well_as_it_can_be() -> None:
    (found,) = messages_of(b'{"jsonrpc":"2.0","id":1,"result":{"a":"\xff","b":"\\ud83d"}}')
    assert found.outcome() == {"a": "\ufffd", "b": "\ufffd"}
    assert messages_of(b'{"jsonrpc":"2.0","id":1,"result":NaN}') == []
