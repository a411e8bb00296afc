from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pointsman.a2a.bodies import read_body, settle, told, told_in_full
from pointsman.a2a.settings import A2aSettings, AgentSettings, AuthSettings, StreamLimits
from pointsman.errors import InvalidRequest
from pointsman.wire.secret import Secret

SETTINGS = A2aSettings(allowed_private=("10.1.0.0/16", "inside"))
SEED: dict[str, Any] = {
    "agent_id": "my-agent",
    "name": "My Agent",
    "description": "A helpful agent",
    "url": "http://agent-backend:8080",
    "capabilities": ["chat", "code"],
    "metadata": {},
}
OAUTH = {"client_id": "c", "client_secret": "canary-secret", "token_url": "https://issuer/token", "scopes": ["a"]}


def made(body: dict[str, Any], before: AgentSettings | None = None, *, is_change: bool = False) -> AgentSettings:
    read = read_body(msgspec.json.encode(body), before if is_change else None)
    if before is not None:
        read = msgspec.structs.replace(read, agent_id=before.id)
    return settle(read, SETTINGS, before)


def test_what_the_seed_registers_is_told_as_the_seed_tells_it() -> None:
    agent = made(SEED)
    assert {name: told(agent, is_whole=True)[name] for name in SEED} == SEED
    assert {name: told_in_full(agent, is_whole=True)[name] for name in SEED} == SEED
    assert (agent.source, agent.allow_private, agent.is_public) == ("api", False, False)


def test_little_has_to_be_said() -> None:
    agent = made({"agent_id": "a", "url": "https://h/a?key=canary", "auth_type": None})
    assert (agent.name, agent.auth, agent.adds, agent.push) == ("a", AuthSettings(), ("list",), "pass")
    assert told(agent, is_whole=True)["url"] == "https://h/a"
    assert told(agent, is_whole=False)["url"] == ""
    assert "canary" not in str(told_in_full(agent, is_whole=True))
    assert "https" not in str(told_in_full(agent, is_whole=False))


def test_all_that_can_be_said_becomes_what_it_says() -> None:
    agent = made(
        {
            "agent_id": "a",
            "url": "https://h/a",
            "replicas": ["https://i/a"],
            "card_url": "https://h/card",
            "allowed_origins": ["https://j"],
            "protocol_version": "0.3",
            "binding": "rest",
            "card": {"version": "2"},
            "rewrite_card": False,
            "signatures": "require",
            "signing_keys": [{"kty": "EC"}],
            "auth_type": "oauth2",
            "auth": OAUTH,
            "static_headers": {"x-key": "canary"},
            "extra_headers": ["x-trace"],
            "push": "relay",
            "adds": ["streaming", "push"],
            "public": True,
            "access_groups": ["dev"],
            "allow_all_keys": True,
            "timeout": 5,
            "stream": {"idle_timeout": 1, "timeout": 2, "max_bytes": 4096, "max_event_bytes": 2048},
            "max_result_bytes": 2048,
            "cost_per_message": 0.25,
            "health_check": False,
        }
    )
    assert agent == AgentSettings(
        id="a",
        name="a",
        url="https://h/a",
        replicas=("https://i/a",),
        card_url="https://h/card",
        allowed_origins=("https://j",),
        protocol_version="0.3",
        binding="rest",
        card={"version": "2"},
        rewrites_card=False,
        signatures="require",
        signing_keys=({"kty": "EC"},),
        auth=AuthSettings(
            kind="oauth2",
            client_id="c",
            client_secret=Secret("canary-secret"),
            token_url="https://issuer/token",
            scopes=("a",),
        ),
        static_headers={"x-key": "canary"},
        forward_headers=("x-trace",),
        push="relay",
        adds=("streaming", "push"),
        is_public=True,
        access_groups=("dev",),
        allow_all_keys=True,
        timeout=5.0,
        stream=StreamLimits(idle_seconds=1.0, total_seconds=2.0, max_bytes=4096, max_event_bytes=2048),
        max_result_bytes=2048,
        cost_usd="0.25",
        health_check=False,
        source="api",
    )
    whole = told_in_full(agent, is_whole=True)
    assert "canary" not in str(whole)
    assert (whole["static_headers"], whole["auth_type"], whole["configured_in"]) == (["x-key"], "oauth2", "api")
    # What is told can be said again, but for what is secret.
    again = {name: value for name, value in whole.items() if name not in {"static_headers", "configured_in"}}
    assert made(again, agent, is_change=True) == agent


def test_an_agent_can_be_a_model() -> None:
    agent = made({"agent_id": "a", "model": "gpt"})
    assert (agent.model, agent.url) == ("gpt", "")
    for name, value in (("url", "https://h"), ("replicas", ["https://h"]), ("card_url", "https://h")):
        with pytest.raises(InvalidRequest):
            made({"agent_id": "a", "model": "gpt", name: value})


@pytest.mark.requirement("a2a.published-models")
def test_an_agent_is_no_model() -> None:
    with pytest.raises(InvalidRequest, match="only a model"):
        made({"agent_id": "loop", "model": "a2a/loop"})


@pytest.mark.requirement("a2a.credentials")
def test_a_credential_stays_where_it_was_given_for() -> None:
    given = {"auth_type": "bearer_token", "auth": {"token": "t"}, "static_headers": {"x-key": "k"}}
    before = made({"agent_id": "a", "url": "https://h/a", **given})
    kept = made({"url": "https://h/other"}, before, is_change=True)
    assert (kept.auth.value, kept.static_headers) == (Secret("t"), {"x-key": "k"})
    for elsewhere in ({"url": "https://i/a"}, {"replicas": ["https://i/a"]}):
        with pytest.raises(InvalidRequest, match="credentials"):
            made(elsewhere, before, is_change=True)
    moved = made({"url": "https://i/a", "auth": {"token": "u"}}, before, is_change=True)
    assert (moved.auth.value, moved.static_headers) == (Secret("u"), {})
    assert made({"auth_type": "none"}, before, is_change=True).auth == AuthSettings()


@pytest.mark.requirement("a2a.registration-guard")
@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"agent_id": "agents"}, "agent_id"),
        ({"agent_id": "a b"}, "agent_id"),
        ({"url": ""}, "url"),
        ({"url": "nonsense"}, "url"),
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": "http://169.254.169.254/latest"}, "url"),
        ({"url": "http://[::1]/"}, "url"),
        ({"url": "http://u:p@h/"}, "url"),
        ({"card_url": "http://10.0.0.1/"}, "card_url"),
        ({"replicas": ["http://localhost/"]}, "replicas"),
        ({"allowed_origins": ["http://192.168.0.1"]}, "allowed_origins"),
        ({"auth_type": "oauth2", "auth": OAUTH | {"token_url": "http://10.0.0.1/"}}, "token_url"),
        ({"auth_type": "oauth2", "auth": {"client_id": "c", "client_secret": "s"}}, "auth"),
        ({"auth_type": "bearer_token"}, "auth"),
        ({"auth_type": "bearer_token", "auth": {"token": "os.environ/HOME"}}, "auth"),
        ({"auth": {"token": "t"}}, "auth"),
        ({"static_headers": {"host": "x"}}, "static_headers"),
        ({"static_headers": {"a2a-version": "1.0"}}, "static_headers"),
        ({"extra_headers": ["authorization"]}, "extra_headers"),
        ({"signing_keys": [{"kty": "EC", "d": "x"}]}, "signing_keys"),
        ({"cost_per_message": -1}, "cost_per_message"),
    ],
)
def test_what_makes_no_sense_or_leads_inside_is_refused(members: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        made({"agent_id": "a", "url": "https://h", **members})
    assert refused.value.param == param


@pytest.mark.parametrize("url", ["http://10.1.2.3/", "http://inside:9000/a"])
def test_a_private_address_that_the_operator_allows_is_taken(url: str) -> None:
    assert made({"agent_id": "a", "url": url}).url == url


@pytest.mark.parametrize(
    "body", ["[]", "{", '{"surprise": 1}', '{"capabilities": "chat"}', '{"protocol_version": "0.2"}', "\xff"]
)
def test_a_body_of_another_shape_is_refused(body: str) -> None:
    with pytest.raises(InvalidRequest):
        read_body(body.encode("latin-1"))
