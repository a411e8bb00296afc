"""Nothing that clients see or operators read tells where an agent is, or how the gateway shows who it is to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from system.a2a.asking import METHODS, Asker, Binding, Version
from system.a2a.conftest import a2a_config
from system.a2a.scripted import ScriptedAgent
from system.conftest import MASTER_KEY
from system.process import Gateway, Reply

CREDENTIAL = "sk-leak-canary-5b1e"
HEADER = "static-canary-90aa"
BINDINGS: tuple[Binding, ...] = ("jsonrpc", "rest")
VERSIONS: tuple[Version, ...] = ("1.0", "0.3")
CARDS = (
    "/a2a/agents/talker/card",
    "/a2a/agents/talker/card?version=1.0",
    "/a2a/agents/talker/card?version=0.3",
    "/a2a/agents/talker/card?version=hybrid",
    "/a2a/agents/talker/card?source=declared",
    "/a2a/agents/talker/.well-known/agent-card.json",
    "/a2a/agents/talker/.well-known/agent.json",
    "/a2a/talker/.well-known/agent-card.json",
    "/.well-known/agent-card.json",
    "/.well-known/api-catalog",
)


@pytest.fixture
def talker() -> Iterator[ScriptedAgent]:
    """An agent that tells everything it knows, in its card, in its errors and in its headers."""
    with ScriptedAgent() as agent:
        address = f"127.0.0.1:{agent.port}"
        agent.changes = {
            "iconUrl": f"http://{address}/icon.png",
            "documentationUrl": f"http://{address}/docs",
            "provider": {"organization": "O", "url": f"http://{address}/"},
            "supportedInterfaces": [
                {"url": f"http://{address}/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
                {"url": f"http://{address}/rest", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
                {"url": f"{address}", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
            ],
            "url": f"http://{address}/",
            "additionalInterfaces": [{"url": f"http://{address}/", "transport": "JSONRPC"}],
            "securitySchemes": {
                "o": {"openIdConnectSecurityScheme": {"openIdConnectUrl": f"http://{address}/openid"}},
            },
            "securityRequirements": [{"schemes": {"o": {"list": []}}}],
        }
        yield agent


def blabbing(agent: ScriptedAgent, status: int) -> Any:
    """Refuse, and tell all."""

    def act(request: BaseHTTPRequestHandler, message: Any) -> None:
        told = f"http://127.0.0.1:{agent.port}/ wants {request.headers['authorization']}"
        if status == 200:
            agent.refuse(request, message, -32603, told)
        else:
            agent.reply(request, status, told.encode(), {"server": f"127.0.0.1:{agent.port}", "x-told": told})

    return act


@pytest.mark.requirement("a2a.leaks")
def test_nobody_learns_where_an_agent_is_or_what_it_is_told(talker: ScriptedAgent, tmp_path: Path) -> None:
    place = {"agent_id": "talker", "name": "Talker", "url": talker.origin, "allow_all_keys": True}
    place |= {"auth_type": "bearer_token", "auth_value": CREDENTIAL, "static_headers": {"x-static": HEADER}}
    seen: list[Reply] = []
    with Gateway(tmp_path, a2a_config([place], default_agent="talker", card_ttl=0.01)) as gateway:
        gateway.key = MASTER_KEY
        seen += [gateway.get(path, {"a2a-version": version}) for path in CARDS for version in ("", "1.0", "0.3")]
        assert {reply.status for reply in seen} == {200}
        ways = [None, *(blabbing(talker, status) for status in (200, 401, 403, 404, 500))]
        for way in ways:
            if way is not None:
                talker.acts |= {one: way for one, _ in METHODS.values()}
            seen += everything(gateway)
        talker.stop()
        seen += everything(gateway)
        seen += [gateway.get(path) for path in CARDS]
        seen += [gateway.get("/a2a/agents", key=MASTER_KEY), gateway.get("/metrics")]
        logged = gateway.stdout + gateway.stderr
    told = [reply.raw.decode("latin-1") for reply in seen]
    for secret in (CREDENTIAL, HEADER):
        assert not [text for text in [*told, logged] if secret in text]
    # Whoever administers the registry may see the addresses in it, and nowhere else.
    hidden = re.compile(rf"\b(127\.0\.0\.1|localhost):{talker.port}\b")
    assert not [text for reply, text in zip(seen, told, strict=True) if hidden.search(text) and not is_list(reply)]
    assert not hidden.search(logged), logged


def is_list(reply: Reply) -> bool:
    return reply.body.startswith(b'{"agents"')


def everything(gateway: Gateway) -> Iterator[Reply]:
    """All operations, in all versions, over all bindings."""
    for version in VERSIONS:
        for binding in BINDINGS:
            asker = Asker(gateway, "talker", version, binding)
            for operation in METHODS:
                yield asker.ask(operation, task="no-such-task").reply
            yield asker.ask("send").reply
            yield asker.ask("stream").reply
