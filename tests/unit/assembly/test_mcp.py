from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pointsman.access.caller import MASTER
from pointsman.errors import Overloaded
from pointsman.mcp.fronts.parking import Visit
from pointsman.mcp.settings import McpSettings
from pointsman.pipeline.call import Call
from pointsman.pipeline.inside import Collector
from pointsman.wire import operations as op
from pointsman.wire.jsonrpc import notification

LOADED = """
import sys
import pointsman.app
import pointsman.edge.table
print(*[name for name in sys.modules if name.startswith("pointsman.mcp.")])
"""
SERVER = """
mcp_servers:
  far: {url: "http://127.0.0.1:1/mcp", transport: http, timeout: %s, auth_type: bearer_token, auth_value: canary-far}
mcp: {allowed_hosts: [Gateway.Example]}
"""


@pytest.mark.requirement("mcp.late")
def test_nothing_of_it_is_loaded_before_somebody_asks() -> None:
    found = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.split() == []


async def test_a_snapshot_can_switch_it_off(rig: Any, entry: Callable[..., str]) -> None:
    models = "model_list:\n" + entry()
    rig.begin(models)
    assert rig.assembly.current.serving.mcp is rig.mcp
    assert (await rig.change(models + "mcp: {enabled: false}\n")).mcp is None
    assert (await rig.change(models)).mcp is rig.mcp


@pytest.mark.requirement("mcp.protected-resource")
async def test_clients_are_told_of_authorization_servers_where_there_are_any(
    rig: Any, entry: Callable[..., str]
) -> None:
    models = "model_list:\n" + entry()
    rig.begin(models)
    assert rig.mcp.challenge({b"host": b"gate"}, "/mcp/a") == ()
    await rig.change(models + "mcp: {authorization_servers: ['https://as'], public_url: 'https://gate'}\n")
    assert (rig.mcp.authorization_servers, rig.mcp.public_url) == (("https://as",), "https://gate")
    [(name, value)] = rig.mcp.challenge({}, "/mcp/a")
    assert name == "www-authenticate"
    assert value == 'Bearer resource_metadata="https://gate/.well-known/oauth-protected-resource/mcp/a"'
    assert (await rig.mcp.signing_in()) is (await rig.mcp.signing_in())


async def test_it_is_made_once_and_goes_by_the_snapshot_in_force(rig: Any, entry: Callable[..., str]) -> None:
    models = "model_list:\n" + entry()
    rig.begin(models + SERVER % 5)
    assert rig.mcp.allowed_hosts == {"gateway.example"}
    gateway, registry = await rig.mcp.gateway(), await rig.mcp.registry()
    assert gateway.registry is registry
    assert registry.entries["far"].timeout == 5
    await rig.change(models + SERVER % 7)
    assert await rig.mcp.gateway() is gateway
    assert registry.entries["far"].timeout == 7
    await rig.change(models)
    assert registry.entries == {}
    assert rig.mcp.allowed_hosts == set()


async def test_what_servers_are_called_with_stands_in_no_log_line(rig: Any, entry: Callable[..., str]) -> None:
    rig.begin("model_list:\n" + entry() + SERVER % 5)
    assert rig.redactor.redact("canary-far") == "***"
    await rig.mcp.registry()
    assert "canary-far" in rig.mcp.secrets()


async def test_requests_to_models_may_name_servers_as_long_as_it_is_switched_on(
    rig: Any, entry: Callable[..., str]
) -> None:
    models = "model_list:\n" + entry()
    rig.begin(models + SERVER % 5)
    pipeline = rig.assembly.current.serving.pipeline
    asked: list[bytes] = []

    async def ask(_: Call, body: bytes) -> None:
        asked.append(body)

    call = Call(op.CHAT, Collector(), {}, b"", 0.0, is_master=True)
    await pipeline.use_servers(call, b'{"tools":[]}', ask, 1.0, lambda: 0.0, calls_servers=False)
    assert asked == [b'{"tools":[]}']
    assert (await rig.change(models + "mcp: {enabled: false}\n")).pipeline.use_servers is None


async def test_before_anybody_asks_there_is_nothing_to_end(rig: Any, entry: Callable[..., str]) -> None:
    rig.begin("model_list:\n" + entry())
    rig.mcp.drain()
    await rig.mcp.close()
    assert rig.mcp.secrets() == frozenset()


async def test_when_the_process_ends_it_is_made_for_nobody(rig: Any, entry: Callable[..., str]) -> None:
    rig.begin("model_list:\n" + entry())
    first = await rig.mcp.gateway()
    rig.mcp.drain()
    await rig.assembly.close()
    with pytest.raises(Overloaded):
        await rig.mcp.gateway()
    assert first.registry.settings == McpSettings()


async def test_other_workers_are_told_of_sessions_and_heard(rig: Any, entry: Callable[..., str]) -> None:
    asked = []

    async def ask(told: Any) -> list[Any]:
        asked.append(told)
        return [{"pid": 1, "result": "{}"}]

    rig.begin("model_list:\n" + entry())
    rig.mcp.ask_others = ask
    fronts = await rig.mcp.fronts()
    assert await rig.mcp.hear({"event": {"session": "s", "is_over": True}}) == {}
    visit: dict[str, Any] = {"replica": "elsewhere", "call": "c", "turn": 1, "caller": "x", "answers": {}}
    assert await rig.mcp.hear({"visit": visit}) == {}
    assert (await fronts._parking.ask_others(Visit(**visit)))[0]["result"] == "{}"
    assert asked == [{"visit": visit | {"is_again": False, "at": 0}}]


async def test_other_workers_are_told_of_changes_of_servers(rig: Any, entry: Callable[..., str]) -> None:
    change = {"server": "far", "party": "", "method": "notifications/tools/list_changed", "uri": ""}
    told: asyncio.Queue[Any] = asyncio.Queue()

    async def ask(what: Any) -> list[Any]:
        await told.put(what)
        return []

    rig.begin("model_list:\n" + entry() + SERVER % 5)
    assert await rig.mcp.hear({"changes": [change]}) == {}
    rig.mcp.ask_others = ask
    gateway = await rig.mcp.gateway()
    gateway.sharing.add("far", "", notification(change["method"]))
    async with asyncio.timeout(5):
        assert await told.get() == {"changes": [change]}
    assert await rig.mcp.hear({"changes": [change]}) == {}


@pytest.mark.requirement("a2a.as-tools")
async def test_agents_are_tools_where_the_config_wants_that(rig: Any, entry: Callable[..., str]) -> None:
    models = "model_list:\n" + entry()
    agents = "agents: [{agent_id: house, name: House, model: gpt, allow_all_keys: true}]\n"
    rig.begin(models + agents)
    gateway = await rig.mcp.gateway()
    assert gateway.registry.entries == {}
    await rig.change(models + agents + "a2a: {as_mcp_tools: true}\n")
    found = await gateway.overview(MASTER, "tools")
    assert [one.public for one in found] == ["agents__find_agents", "agents__a2a_house"]
    await rig.change(models + agents + "a2a: {as_mcp_tools: true, enabled: false}\n")
    assert gateway.registry.entries == {}
