from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from unit.upstream.peers import Answer, Peer, json

from pointsman.a2a.agents.places import Places, Veil, at_replica, joined, names_of
from pointsman.a2a.base import Passed
from pointsman.a2a.protocol.operations import Version
from pointsman.a2a.settings import AgentSettings, AuthSettings
from pointsman.access.caller import NOBODY
from pointsman.errors import Overloaded, UpstreamBroken, UpstreamRejected, UpstreamTimeout, UpstreamUnreachable
from pointsman.upstream.addresses import CALL
from pointsman.upstream.credentials.static import Static
from pointsman.wire.jsonrpc import RpcError
from pointsman.wire.secret import Secret

HOME = "https://agent.test/a2a"
CANARY = Secret("canary-token")
KEY = AuthSettings(kind="bearer_token", value=CANARY)
FORWARDED = {"a2a-extensions": "urn:e", "traceparent": "00-1", "x-user": "me"}


def settings(**members: Any) -> AgentSettings:
    fields: dict[str, Any] = {"url": HOME, "auth": KEY, "static_headers": {"X-Team": "team-secret"}} | members
    return AgentSettings(id="a", name="A", **fields)


def places(peer: Peer, **members: Any) -> Places:
    return Places(settings(**members), lambda _: peer, Static("bearer_token", "", CANARY))


async def send(
    places: Places,
    url: str = HOME,
    path: str = "",
    version: Version = "1.0",
    headers: Mapping[str, str] = FORWARDED,
) -> int:
    passed = Passed(caller=NOBODY, deadline=1e9, headers=headers)
    response = await places.send(
        url, b"POST", path, b"{}", version, "text/plain", passed, timeouts=CALL, deadline=1e9, is_repeatable=False
    )
    return response.status


async def test_what_is_passed_on_takes_no_place_of_what_the_protocol_says() -> None:
    peer = Peer(json({}))
    await send(places(peer), headers={"accept": "text/html", "content-type": "text/html", "a2a-version": "9"})
    sent = peer.requests[0].headers
    assert (sent["accept"], sent["content-type"], sent["a2a-version"]) == ("text/plain", "application/json", "1.0")


async def test_a_registered_address_gets_the_credential_and_what_is_passed_on() -> None:
    peer = Peer(json({}))
    await send(places(peer), path="/tasks?x=1")
    (sent,) = peer.requests
    assert (sent.method, sent.target) == ("POST", "/a2a/tasks?x=1")
    assert {name: sent.headers[name] for name in ("authorization", "x-team", "x-user", "a2a-version", "accept")} == {
        "authorization": "Bearer canary-token",
        "x-team": "team-secret",
        "x-user": "me",
        "a2a-version": "1.0",
        "accept": "text/plain",
    }
    assert "x-a2a-extensions" not in sent.headers
    assert peer.repeatable == [False]


@pytest.mark.requirement("a2a.credential-origin")
@pytest.mark.parametrize("url", ["https://other.test/a2a", "http://agent.test/a2a", "https://agent.test:8443/a2a"])
async def test_an_address_of_another_origin_gets_nothing_that_is_secret(url: str) -> None:
    peer = Peer(json({}))
    await send(places(peer), url)
    (sent,) = peer.requests
    assert sent.headers.keys().isdisjoint({"authorization", "x-team", "x-user"})
    assert sent.headers["traceparent"] == "00-1"


async def test_a_replica_is_a_registered_address_too() -> None:
    peer = Peer(json({}))
    await send(places(peer, replicas=("http://10.0.0.7:9000/b",)), "http://10.0.0.7:9000/b")
    assert peer.requests[0].headers["authorization"] == "Bearer canary-token"


async def test_an_agent_of_the_older_version_is_told_of_extensions_as_it_knows_them() -> None:
    peer = Peer(json({}))
    await send(places(peer), version="0.3")
    assert peer.requests[0].headers["x-a2a-extensions"] == "urn:e"
    assert peer.requests[0].headers["a2a-version"] == "0.3"


async def test_an_address_that_is_none_is_not_called() -> None:
    with pytest.raises(UpstreamBroken, match="names an address that cannot be called"):
        await send(places(Peer()), "ftp://agent.test/")


def redirect(location: str, status: int = 307) -> Answer:
    return Answer(status, {"location": location})


@pytest.mark.parametrize("location", ["/a2a/", "https://agent.test/a2a/", "http://agent.test/a2a/", "a2a/"])
async def test_a_slash_at_the_end_is_added_where_it_is_wanted_and_from_then_on(location: str) -> None:
    peer = Peer(redirect(location), json({}), json({}))
    mine = places(peer)
    assert [await send(mine), await send(mine)] == [200, 200]
    assert [one.target for one in peer.requests] == ["/a2a", "/a2a/", "/a2a/"]
    assert [one.headers["host"] for one in peer.requests] == ["mcp.test"] * 3


@pytest.mark.requirement("a2a.credential-origin")
@pytest.mark.parametrize(
    "location", ["https://evil.test/a2a/", "/elsewhere/", "/a2a", "", "//evil.test/a2a/", "http://[::"]
)
async def test_no_other_redirect_is_followed(location: str) -> None:
    peer = Peer(redirect(location), json({}))
    with pytest.raises(UpstreamBroken, match="redirected"):
        await send(places(peer))
    assert len(peer.requests) == 1


async def test_what_a_redirect_asks_for_is_not_asked_for() -> None:
    peer = Peer(redirect("/a2a/x/?key=1"), json({}))
    assert await send(places(peer), path="/x?y=2") == 200
    assert peer.requests[-1].target == "/a2a/x/?y=2"


async def test_nobody_is_sent_in_circles() -> None:
    peer = Peer(redirect("/a2a/"), redirect("/a2a"))
    with pytest.raises(UpstreamBroken, match="redirected"):
        await send(places(peer))


@pytest.mark.requirement("a2a.leaks")
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UpstreamUnreachable(operator_detail="agent.test:443: refused"), "The agent could not be reached"),
        (UpstreamTimeout(operator_detail="https://agent.test/a2a: slow"), "The agent did not answer in time"),
        (UpstreamBroken(operator_detail="10.0.0.7:9000: cut"), "The agent's answer was cut off or is not valid"),
        (UpstreamBroken("told of http://10.0.0.7:9000/b"), "told of the agent"),
        (
            Overloaded(operator_detail="agent.test:443: too many"),
            "The gateway is overloaded or shutting down; try again",
        ),
        (
            UpstreamRejected(
                "no", status=400, kind="x", operator_detail="Bearer canary-token, team-secret, AGENT.test"
            ),
            "no",
        ),
    ],
)
def test_a_failure_tells_neither_where_an_agent_is_nor_what_it_is_shown(error: Any, message: str) -> None:
    others = {"allowed_origins": ("https://other.test",), "card_url": "https://cards.test/x"}
    veil = Veil(settings(replicas=("http://10.0.0.7:9000/b",), **others))
    assert veil.text("other.test, https://cards.test/x") == "the agent, the agent"
    found = veil.over(error)
    assert found is error
    assert found.message == str(found) == message
    told = f"{found.message} {found.operator_detail}".lower()
    assert not [one for one in ("agent.test", "10.0.0.7", "9000", "canary", "team-secret") if one in told]


@pytest.mark.requirement("a2a.leaks")
def test_what_an_agent_says_of_a_failure_is_rid_of_addresses_too() -> None:
    data = [{"@type": "x", "metadata": {"url": "https://agent.test/a2a/x", "n": 1}}]
    error = RpcError(-32603, "Cannot reach https://agent.test/a2a with Bearer abcdefghijkl", data)
    found = Veil(settings()).over(error)
    assert found.message == "Cannot reach the agent with Bearer ..."
    assert found.data == [{"@type": "x", "metadata": {"url": "the agent/x", "n": 1}}]
    kept = RpcError(-32603, "Agent broke", {"a": 1})
    assert Veil(settings(url="http://agent:1")).over(kept).message == "Agent broke"
    assert kept.data == {"a": 1}


def test_a_host_that_is_a_word_is_hidden_only_with_its_port() -> None:
    assert names_of("http://agent:9000/x/") == {
        "http://agent:9000/x/",
        "http://agent:9000/x",
        "http://agent:9000",
        "agent:9000",
    }
    assert "::1" in names_of("http://[::1]:9000")
    assert names_of("ftp://x") == {"ftp://x"}


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://one:1/a", "http://two:2/b"),
        ("http://one:1/a/rpc?x=1", "http://two:2/b/rpc?x=1"),
        ("http://one:1/a?x=1", "http://two:2/b?x=1"),
        ("http://one:1/ab", "http://two:2/ab"),
        ("http://other:1/a", "http://other:1/a"),
    ],
)
def test_an_interface_is_at_the_same_place_of_each_replica(url: str, found: str) -> None:
    assert at_replica(url, "http://one:1/a/", "http://two:2/b/") == found
    assert at_replica(url, "http://one:1/a/", "http://one:1/a/") == url


@pytest.mark.parametrize(
    ("target", "path", "found"),
    [
        ("/", "", "/"),
        ("/", "/tasks", "/tasks"),
        ("/a/?x=1", "/tasks", "/a/tasks?x=1"),
        ("/a?x=1", "/tasks?y=2", "/a/tasks?x=1&y=2"),
    ],
)
def test_a_path_below_an_address_keeps_what_both_ask_for(target: str, path: str, found: str) -> None:
    assert joined(target, path) == found
