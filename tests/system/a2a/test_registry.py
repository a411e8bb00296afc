"""The registry of agents over real processes: several workers, restarts, keys, secrets, and the switch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from system.a2a.conftest import a2a_config
from system.a2a.scripted import ScriptedAgent
from system.conftest import MASTER_KEY
from system.process import Gateway
from system.scripted import until

CANARY = "sk-a2a-canary-51c0"


@pytest.fixture
def agent() -> Iterator[ScriptedAgent]:
    with ScriptedAgent() as running:
        yield running


def started(home: Path, *args: str, env: dict[str, str] | None = None, **settings: Any) -> Gateway:
    gateway = Gateway(home, a2a_config([], **settings), *args, env=env)
    gateway.key = MASTER_KEY
    return gateway


def body(agent: ScriptedAgent, **more: Any) -> dict[str, Any]:
    seed = {"name": "My Agent", "description": "A helpful agent", "capabilities": ["chat", "code"], "metadata": {}}
    return {"agent_id": "my-agent", "url": agent.origin, **seed, **more}


def listed(gateway: Gateway, query: str = "", key: str | None = None) -> list[str]:
    return [one["agent_id"] for one in gateway.get(f"/a2a/agents{query}", key=key).json["agents"]]


def ask(gateway: Gateway, method: str, key: str | None = None, agent_id: str = "my-agent") -> Any:
    """The answer to a request about a message, or a task that was never there."""
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hello"}]}
    params = {"message": message} if method == "SendMessage" else {"id": "nowhere"}
    asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return gateway.post(f"/a2a/agents/{agent_id}", asked, key=key).json


@pytest.mark.requirement("a2a.registry")
def test_an_agent_that_one_worker_registers_is_there_in_all_of_them_and_after_a_restart(
    agent: ScriptedAgent, tmp_path: Path
) -> None:
    with started(tmp_path, "--workers", "2") as gateway:
        made = gateway.post("/a2a/agents", body(agent))
        assert (made.status, made.json) == (200, {"status": "registered", "agent_id": "my-agent"})
        until(lambda: [listed(gateway) for _ in range(12)] == [["my-agent"]] * 12)
        assert gateway.post("/a2a/agents", body(agent)).status == 409
        shown = gateway.get("/a2a/agents/my-agent").json
        assert {name: shown[name] for name in body(agent)} == body(agent)
    with started(tmp_path) as gateway:
        assert listed(gateway, "?capability=chat") == ["my-agent"]
        assert "task" in ask(gateway, "SendMessage")["result"]
        gone = gateway.request("DELETE", "/a2a/agents/my-agent")
        assert (gone.status, gone.json) == (200, {"status": "unregistered", "agent_id": "my-agent"})
        missing = gateway.get("/a2a/agents/my-agent")
        assert (missing.status, missing.json) == (404, {"detail": "Agent my-agent not found"})
        assert "error" in ask(gateway, "SendMessage")


@pytest.mark.requirement("a2a.credentials")
def test_its_credential_is_shown_to_it_and_to_nobody_else(agent: ScriptedAgent, tmp_path: Path) -> None:
    agent.tokens = {CANARY}
    with started(tmp_path) as gateway:
        asked = body(agent, auth_type="bearer_token", auth={"token": CANARY})
        assert gateway.post("/a2a/agents", asked).status == 200
        assert "task" in ask(gateway, "SendMessage")["result"]
        moved = gateway.request("PATCH", "/a2a/agents/my-agent", {"replicas": ["https://elsewhere.example"]})
        assert (moved.status, moved.json["error"]["param"]) == (400, "auth")
        paths = ("/a2a/agents", "/a2a/agents/my-agent", "/v1/agents", "/audit", "/a2a/agents/my-agent/card")
        assert CANARY.encode() not in b"".join(gateway.get(path).body for path in paths)
    assert {one["authorization"] for one in agent.headers} == {f"Bearer {CANARY}"}
    assert MASTER_KEY not in str(agent.headers)
    assert CANARY not in gateway.stderr + gateway.stdout
    written = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    assert CANARY.encode() not in written


@pytest.mark.requirement("a2a.permissions", "a2a.grants")
def test_a_key_lists_and_asks_what_it_was_granted_and_grants_no_more(agent: ScriptedAgent, tmp_path: Path) -> None:
    with started(tmp_path) as gateway:
        gateway.post("/a2a/agents", body(agent, access_groups=["dev"]))
        plain, granted, bound = [
            gateway.post("/key/generate", {"user_id": "u", **terms}).json["key"]
            for terms in (
                {},
                {"object_permission": {"agent_access_groups": ["dev"]}},
                {"object_permission": {"agent_operations": {"my-agent": ["get"]}}},
            )
        ]
        assert [listed(gateway, key=key) for key in (plain, granted, bound)] == [[], ["my-agent"], ["my-agent"]]
        assert "result" in ask(gateway, "SendMessage", granted)
        hidden, unknown = ask(gateway, "SendMessage", plain), ask(gateway, "SendMessage", plain, "no-agent")
        assert str(hidden).replace("my-agent", "no-agent") == str(unknown)
        assert ask(gateway, "SendMessage", bound) == hidden
        assert ask(gateway, "GetTask", bound)["error"]["code"] == -32001
        assert gateway.get("/a2a/agents/my-agent", key=plain).json == {"detail": "Agent my-agent not found"}
        assert gateway.post("/a2a/agents", body(agent), key=granted).status == 403
        more = {"user_id": "u", "object_permission": {"agents": ["*"]}}
        refused = gateway.post("/key/generate", more, key=granted)
        assert (refused.status, refused.json["error"]["param"]) == (403, "object_permission")
        child = gateway.post("/key/generate", {"user_id": "u"}, key=granted).json["key"]
        assert listed(gateway, key=child) == ["my-agent"]
        assert agent.calls("SendMessage") == 1


@pytest.mark.requirement("a2a.discover", "a2a.registration-guard")
def test_an_agent_is_looked_at_before_it_is_registered_and_never_inside(agent: ScriptedAgent, tmp_path: Path) -> None:
    with started(tmp_path) as gateway:
        found = gateway.post("/a2a/agents:discover", {"url": agent.origin}).json
        assert (found["agent_id"], found["card"]["description"]) == ("Scripted", agent.card["description"])
        assert listed(gateway) == []
        for path in ("/a2a/agents", "/a2a/agents:discover"):
            inside = gateway.post(path, body(agent, url="http://169.254.169.254/latest"))
            assert (inside.status, inside.json["error"]["param"]) == (400, "url")
    with started(tmp_path / "guarded", allowed_private=[]) as gateway:
        assert gateway.post("/a2a/agents", body(agent)).status == 400
    assert agent.cards == 1


@pytest.mark.requirement("a2a.discover", "a2a.credentials")
def test_a_card_that_not_everybody_sees_is_looked_at_with_the_credential_for_it(
    agent: ScriptedAgent, tmp_path: Path
) -> None:
    def guarded(request: BaseHTTPRequestHandler, _body: Any) -> None:
        is_let_in = request.headers.get("authorization") == f"Bearer {CANARY}"
        agent.reply(request, 200 if is_let_in else 401, json.dumps(agent.card).encode() if is_let_in else b"")

    agent.acts["card"] = guarded
    with started(tmp_path) as gateway:
        refused = gateway.post("/a2a/agents:discover", {"url": agent.origin})
        assert refused.status == 502
        asked = {"url": agent.origin, "auth_type": "bearer_token", "auth": {"token": CANARY}}
        found = gateway.post("/a2a/agents:discover", asked)
        assert (found.status, found.json["agent_id"]) == (200, "Scripted")
        assert CANARY.encode() not in refused.body + found.body
    assert CANARY not in gateway.stderr + gateway.stdout


@pytest.mark.requirement("a2a.off")
@pytest.mark.parametrize("way", ["config", "environment"])
def test_switched_off_it_is_as_if_it_had_never_been_there(way: str, tmp_path: Path) -> None:
    env = {"A2A_GATEWAY_ENABLED": "false"} if way == "environment" else {}
    settings = {"enabled": False} if way == "config" else {}
    with started(tmp_path, env=env, **settings) as gateway:
        for method, path in (
            ("GET", "/a2a/agents"),
            ("POST", "/a2a/agents"),
            ("GET", "/a2a/agents/a"),
            ("GET", "/a2a/agents/a/card"),
            ("GET", "/v1/agents"),
        ):
            answered = gateway.request(method, path, {} if method == "POST" else None)
            assert (answered.status, answered.json) == (404, {"detail": "Feature not enabled"})
        assert gateway.post("/a2a/agents/a", {"jsonrpc": "2.0", "id": 1, "method": "GetTask"}).status == 404


@pytest.mark.requirement("a2a.config")
def test_an_agent_comes_and_goes_with_the_config_while_it_runs(agent: ScriptedAgent, tmp_path: Path) -> None:
    with started(tmp_path) as gateway:
        assert listed(gateway) == []
        for agents, ids in (([body(agent)], ["my-agent"]), ([], [])):
            (tmp_path / "config.yaml").write_text(a2a_config(agents))
            assert gateway.post("/config/reload", {}).json["status"] == "success"
            assert listed(gateway) == ids
            assert ("result" in ask(gateway, "SendMessage")) is bool(ids)
