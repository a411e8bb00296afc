from __future__ import annotations

from collections.abc import Mapping

import pytest
from unit.upstream.peers import Answer, Peer, json

from pointsman.errors import UpstreamBroken, UpstreamRejected
from pointsman.upstream.addresses import USER_AGENT, Address, beginning, kind_of, refusal, target_of, whole

URL = "https://mcp.test/a/mcp?x=1"


class Passport:
    """A credential with a number, which is another one each time it is renewed."""

    def __init__(self, *, can_renew: bool = True) -> None:
        self.number = 0
        self.challenges: list[tuple[int, str]] = []
        self._can_renew = can_renew

    async def lines(self, caller: str) -> Mapping[str, str]:
        assert caller == "me"
        return {"Authorization": f"Bearer {self.number}"}

    async def renew(self, caller: str, status: int, challenge: str) -> bool:
        assert caller == "me"
        self.number += 1
        self.challenges.append((status, challenge))
        return self._can_renew


def address(peer: Peer, credential: Passport | None = None, **headers: str) -> Address:
    return Address(upstream=peer, url=URL, who="the agent", headers=headers, credential=credential, caller="me")


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
    with pytest.raises(UpstreamBroken, match="the agent cannot be sent"):
        await send(address(peer), headers)
    assert peer.requests == []


async def test_a_body_has_a_bound() -> None:
    assert await whole(json({"a": 1}).response, 100, "the agent") == b'{"a":1}'
    assert (
        await whole(json({"a": 1}, content_type="application/json; charset=utf-8").response, 100, "the agent")
        == b'{"a":1}'
    )
    for answer in (
        json({"a": "x" * 100}),
        json({"a": "x" * 100}, content_type="application/json; charset=utf-8"),
        Answer(200, {"content-type": "application/json", "content-length": "200"}, is_open=True),
    ):
        with pytest.raises(UpstreamBroken):
            await whole(answer.response, 100, "the agent")


async def test_a_refusal_tells_the_operator_what_was_said() -> None:
    answer = json({"why": "so"}, 401, www_authenticate="Bearer x=y", retry_after="7")
    error = refusal(answer.response, await beginning(answer.response), "the agent")
    assert isinstance(error, UpstreamRejected)
    assert (error.status, error.code, error.retry_after) == (401, "upstream_unauthorized", 7.0)
    assert error.operator_detail == '401 Bearer x=y {"why":"so"}'
    assert error.message == "The agent refused the gateway's credential"


async def test_a_long_refusal_is_a_refusal() -> None:
    answer = Answer(500, {}, b"x" * 100_000)
    assert await beginning(answer.response) == b""
    assert refusal(answer.response, b"", "the agent").is_retryable


def test_small_things() -> None:
    assert target_of("http://a") == "/"
    assert target_of("http://a/b?c#d") == "/b?c"
    assert kind_of(json({}, content_type="Text/Event-Stream; x=y").response) == b"text/event-stream"
