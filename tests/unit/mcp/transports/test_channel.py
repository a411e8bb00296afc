from __future__ import annotations

import pytest
from msgspec import Raw

from pointsman.errors import UpstreamBroken
from pointsman.mcp.protocol.revisions import SUBSCRIPTION
from pointsman.mcp.transports.channel import Channel
from pointsman.wire.jsonrpc import Message, notification, request, success


def ignore(_message: Message) -> None:
    return None


async def test_answers_reach_who_has_asked() -> None:
    channel = Channel()
    with channel.waiting(request(1, "a"), ignore) as first, channel.waiting(request(2, "b"), ignore) as second:
        assert len(channel) == 2
        channel.take(success(2, {"b": 1}))
        channel.take(success(2, {"b": 2}))
        channel.take(success(3, {}))
        channel.take(success("1", {}))
        assert await second == success(2, {"b": 1})
        assert not first.done()
    assert len(channel) == 0


async def test_progress_and_what_a_subscription_brings_reach_whom_they_name() -> None:
    channel = Channel()
    one: list[Message] = []
    two: list[Message] = []
    stray: list[Message] = []
    progress = notification("notifications/progress", {"progressToken": 1, "progress": 1})
    change = notification("notifications/tools/list_changed", {"_meta": {SUBSCRIPTION: 2}})
    other = notification("notifications/progress", {"progressToken": "1"})
    with (
        channel.waiting(request(1, "a"), one.append),
        channel.waiting(request(2, "subscriptions/listen"), two.append),
        channel.listening(stray.append),
    ):
        for message in (progress, change, other):
            channel.take(message)
    assert (one, two, stray) == ([progress], [change], [other])


async def test_what_names_nobody_is_for_the_only_call_where_nobody_listens() -> None:
    channel = Channel()
    heard: list[Message] = []
    news = notification("notifications/message", {"data": "progressToken"})
    channel.take(news)
    with (
        channel.waiting(request(1, "a"), heard.append),
        channel.waiting(request(2, "subscriptions/listen"), ignore),
    ):
        channel.take(news)
        with channel.waiting(request(3, "b"), ignore):
            channel.take(news)
    assert heard == [news]


@pytest.mark.requirement("mcp.isolation")
async def test_what_may_be_about_a_request_that_was_given_up_is_for_nobody() -> None:
    channel = Channel()
    heard: list[Message] = []
    news = notification("notifications/message", {"data": "x"})
    with channel.waiting(request(1, "a"), ignore):
        pass
    with channel.waiting(request(2, "b"), heard.append):
        channel.take(news)
        assert heard == []
        channel.take(success(1, {}))
        channel.take(news)
    assert heard == [news]


async def test_a_failure_reaches_all_who_wait() -> None:
    channel = Channel()
    with channel.waiting(request(1, "a"), ignore) as one, channel.waiting(request(2, "b"), ignore) as two:
        channel.take(success(2, {}))
        channel.fail(UpstreamBroken)
        with pytest.raises(UpstreamBroken):
            await one
        assert await two == success(2, {})


@pytest.mark.parametrize("params", [b'{"progressToken":[]}', b'["progressToken"]', b'{"_meta":1,"progressToken":1}'])
async def test_a_notification_that_is_damaged_names_nobody(params: bytes) -> None:
    channel = Channel()
    heard: list[Message] = []
    channel.take(Message(jsonrpc="2.0", method="notifications/progress", params=Raw(params)))
    with channel.listening(heard.append):
        channel.take(Message(jsonrpc="2.0", method="notifications/progress", params=Raw(params)))
    assert len(heard) == 1
