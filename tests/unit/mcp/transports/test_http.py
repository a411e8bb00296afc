from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from unit.mcp.peers import Answer, Peer, event, events, json

from pointsman.access.caller import NOBODY, Caller
from pointsman.errors import GatewayError, UpstreamBroken, UpstreamRejected
from pointsman.mcp.transports.http import (
    USER_AGENT,
    Address,
    Stream,
    beginning,
    kind_of,
    messages_of,
    refusal,
    target_of,
    whole,
)
from pointsman.wire.jsonrpc import Message, notification, raw, success

URL = "https://mcp.test/a/mcp?x=1"


class Passport:
    """A credential with a number, which is another one each time it is renewed."""

    def __init__(self, *, can_renew: bool = True) -> None:
        self.number = 0
        self.challenges: list[tuple[int, str]] = []
        self._can_renew = can_renew

    async def lines(self, caller: Caller) -> Mapping[str, str]:
        assert caller is NOBODY
        return {"Authorization": f"Bearer {self.number}"}

    async def renew(self, caller: Caller, status: int, challenge: str) -> bool:
        assert caller is NOBODY
        self.number += 1
        self.challenges.append((status, challenge))
        return self._can_renew


def address(peer: Peer, credential: Passport | None = None, **headers: str) -> Address:
    return Address(upstream=peer, url=URL, headers=headers, credential=credential, max_bytes=1000)


async def send(address: Address, headers: Mapping[str, str] | None = None) -> int:
    return (await address.send(b"POST", address.target, b"{}", headers or {})).status


async def test_a_request_has_the_headers_of_the_address_the_message_and_the_credential() -> None:
    peer = Peer(json({}))
    await send(address(peer, Passport(), **{"X-Team": "a", "authorization": "mine"}), {"mcp-method": "ping"})
    (request,) = peer.requests
    assert (request.method, request.target) == ("POST", "/a/mcp?x=1")
    assert request.headers == {
        "host": "mcp.test",
        "user-agent": USER_AGENT,
        "x-team": "a",
        "authorization": "Bearer 0",
        "mcp-method": "ping",
    }


@pytest.mark.requirement("mcp.renewal")
async def test_a_credential_that_is_refused_is_renewed_once() -> None:
    peer = Peer(json({}, 401, www_authenticate='Bearer error="invalid_token"'), json({}))
    passport = Passport()
    assert await send(address(peer, passport)) == 200
    assert [one.headers["authorization"] for one in peer.requests] == ["Bearer 0", "Bearer 1"]
    assert passport.challenges == [(401, 'Bearer error="invalid_token"')]


@pytest.mark.requirement("mcp.renewal")
async def test_a_credential_that_stays_refused_is_not_renewed_for_ever() -> None:
    peer = Peer(json({}, 401), json({}, 401))
    assert await send(address(peer, Passport())) == 401
    assert len(peer.requests) == 2


async def test_a_refusal_that_no_credential_mends_is_given_at_once() -> None:
    peer = Peer(json({}, 401))
    assert await send(address(peer, Passport(can_renew=False))) == 401


async def test_a_missing_scope_is_a_reason_to_renew_and_another_403_is_none() -> None:
    challenge = 'Bearer error="insufficient_scope", scope="a"'
    assert await send(address(Peer(json({}, 403, www_authenticate=challenge), json({})), Passport())) == 200
    assert await send(address(Peer(json({}, 403)), Passport())) == 403


async def test_a_scope_may_be_missing_after_a_first_login() -> None:
    peer = Peer(json({}, 401), json({}, 403, www_authenticate="Bearer error=insufficient_scope"), json({}))
    assert await send(address(peer, Passport())) == 200


@pytest.mark.parametrize("headers", [{"mcp-method": "a\r\nx: y"}, {"mcp-method": "日"}, {"a b": "c"}])
async def test_a_header_that_would_break_the_request_is_not_sent(headers: Mapping[str, str]) -> None:
    peer = Peer()
    with pytest.raises(UpstreamBroken, match="cannot be sent"):
        await send(address(peer), headers)
    assert peer.requests == []


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


async def test_a_body_has_a_bound() -> None:
    assert await whole(json({"a": 1}).response, 100) == b'{"a":1}'
    assert await whole(json({"a": 1}, content_type="application/json; charset=utf-8").response, 100) == b'{"a":1}'
    for answer in (
        json({"a": "x" * 100}),
        json({"a": "x" * 100}, content_type="application/json; charset=utf-8"),
        Answer(200, {"content-type": "application/json", "content-length": "200"}, is_open=True),
    ):
        with pytest.raises(UpstreamBroken):
            await whole(answer.response, 100)


async def test_a_refusal_tells_the_operator_what_was_said() -> None:
    answer = json({"why": "so"}, 401, www_authenticate="Bearer x=y", retry_after="7")
    error = refusal(answer.response, await beginning(answer.response))
    assert isinstance(error, UpstreamRejected)
    assert (error.status, error.code, error.retry_after) == (401, "upstream_unauthorized", 7.0)
    assert error.operator_detail == '401 Bearer x=y {"why":"so"}'
    assert "why" not in error.message


async def test_a_long_refusal_is_a_refusal() -> None:
    answer = Answer(500, {}, b"x" * 100_000)
    assert await beginning(answer.response) == b""
    assert refusal(answer.response, b"").is_retryable


def test_one_message_or_several_or_none() -> None:
    one = notification("a")
    assert messages_of(one.encode()) == [one]
    assert messages_of(b"[%b,%b]" % (one.encode(), one.encode())) == [one, one]
    assert messages_of(b"[]") == messages_of(b"x") == messages_of(b"") == []


def test_small_things() -> None:
    assert target_of("http://a") == "/"
    assert target_of("http://a/b?c#d") == "/b?c"
    assert kind_of(json({}, content_type="Text/Event-Stream; x=y").response) == b"text/event-stream"
    assert bytes(raw({})) == b"{}"
    assert issubclass(UpstreamRejected, GatewayError)


def _nothing(_message: Message) -> None:
    return None


@pytest.mark.requirement("mcp.broken-text")
def test_an_answer_that_is_no_unicode_is_read_as_well_as_it_can_be() -> None:
    (found,) = messages_of(b'{"jsonrpc":"2.0","id":1,"result":{"a":"\xff","b":"\\ud83d"}}')
    assert found.outcome() == {"a": "\ufffd", "b": "\ufffd"}
    assert messages_of(b'{"jsonrpc":"2.0","id":1,"result":NaN}') == []
