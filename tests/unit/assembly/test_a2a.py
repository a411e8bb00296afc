from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pointsman.access.caller import MASTER, Caller
from pointsman.access.keys import Key
from pointsman.errors import ModelNotFound, Overloaded
from pointsman.pipeline.call import Call
from pointsman.pipeline.catalog import CREATED
from pointsman.pipeline.inside import Collector
from pointsman.wire import operations as op

LOADED = """
import sys
import pointsman.app
import pointsman.edge.table
print(*[name for name in sys.modules if name.startswith("pointsman.a2a.")])
"""
AGENT = """
agents:
  - agent_id: far
    name: Far
    url: "http://127.0.0.1:1/a2a"
    timeout: %s
    public: true
    health_check: false
    auth_type: bearer_token
    auth_value: canary-far
a2a: {public_url: "https://Gate.Example:8443/x", hosts: {Far.Example: far}}
"""


@pytest.mark.requirement("a2a.late")
def test_nothing_of_it_is_loaded_before_somebody_asks() -> None:
    found = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.split() == []


async def test_a_snapshot_can_switch_it_off(rig: Any, entry: Callable[..., str]) -> None:
    models = "model_list:\n" + entry()
    rig.begin(models)
    assert rig.assembly.current.serving.a2a is rig.a2a
    assert (await rig.change(models + "a2a: {enabled: false}\n")).a2a is None
    assert (await rig.change(models)).a2a is rig.a2a


async def test_it_is_made_once_and_goes_by_the_snapshot_in_force(rig: Any, entry: Callable[..., str]) -> None:
    models = "model_list:\n" + entry()
    rig.begin(models + AGENT % 5)
    assert rig.a2a.public_url == "https://Gate.Example:8443/x"
    assert rig.a2a.allowed_hosts == {"gate.example:8443", "far.example"}
    registry = await rig.a2a.registry()
    assert registry.entries["far"].timeout == 5
    assert await rig.a2a.is_public("far")
    assert not await rig.a2a.is_public("near")
    every = [
        await made() for made in (rig.a2a.gateway, rig.a2a.fronts, rig.a2a.cards, rig.a2a.publisher, rig.a2a.ledger)
    ]
    await rig.change(models + AGENT % 7)
    assert [await rig.a2a.gateway(), await rig.a2a.fronts()] == every[:2]
    assert registry.entries["far"].timeout == 7
    await rig.change(models)
    assert registry.entries == {}
    assert (rig.a2a.allowed_hosts, rig.a2a.public_url) == (set(), "")


async def test_what_agents_are_called_with_stands_in_no_log_line(rig: Any, entry: Callable[..., str]) -> None:
    rig.begin("model_list:\n" + entry() + AGENT % 5)
    assert rig.redactor.redact("canary-far") == "***"
    await rig.a2a.registry()
    assert "canary-far" in rig.a2a.secrets()


async def test_agents_of_the_config_are_looked_for_when_it_starts(rig: Any, entry: Callable[..., str]) -> None:
    rig.begin("model_list:\n" + entry())
    rig.a2a.warm()
    assert len(rig.watchers) == 0
    await rig.change("model_list:\n" + entry() + AGENT % 5)
    rig.a2a.warm()
    assert len(rig.watchers) == 1


async def test_before_anybody_asks_there_is_nothing_to_end(rig: Any, entry: Callable[..., str]) -> None:
    rig.begin("model_list:\n" + entry())
    rig.a2a.drain()
    await rig.a2a.close()
    assert rig.a2a.secrets() == frozenset()


async def test_when_the_process_ends_it_is_made_for_nobody(rig: Any, entry: Callable[..., str]) -> None:
    rig.begin("model_list:\n" + entry())
    await rig.a2a.gateway()
    rig.a2a.drain()
    await rig.assembly.close()
    with pytest.raises(Overloaded):
        await rig.a2a.gateway()


HOUSE = """
agents:
  - {agent_id: house, name: House, model: %s, allow_all_keys: true}
  - {agent_id: closed, name: Closed, model: gpt}
"""


@pytest.mark.requirement("a2a.chat")
async def test_agents_are_asked_like_models_where_they_are_switched_on(rig: Any, entry: Callable[..., str]) -> None:
    models = "model_list:\n" + entry()
    rig.begin(models + HOUSE % "gpt")
    pipeline = rig.assembly.current.serving.pipeline
    assert rig.a2a.pipeline() is pipeline
    call = Call(op.CHAT, Collector(), {}, b"", 0.0, is_master=True)
    call.caller = MASTER
    body = b'{"model":"a2a/none","messages":[{"role":"user","content":"x"}]}'
    with pytest.raises(ModelNotFound):
        await pipeline.use_agents(call, body, op.CHAT, "a2a/none", 1.0, lambda: 0.0)
    assert (await rig.change(models + "a2a: {enabled: false}\n")).pipeline.use_agents is None


@pytest.mark.requirement("a2a.chat")
async def test_each_caller_is_told_of_the_agents_that_he_may_ask_like_models(
    rig: Any, entry: Callable[..., str]
) -> None:
    models = "model_list:\n" + entry()
    rig.begin(models)
    assert await rig.a2a.models(MASTER) == []
    assert rig.a2a._service is None
    await rig.change(models + HOUSE % "gpt")
    told = await rig.a2a.models(Caller(name="key:me", role="key"))
    assert told == [{"id": "a2a/house", "object": "model", "created": CREATED, "owned_by": "a2a", "mode": "chat"}]
    assert [one["id"] for one in await rig.a2a.models(MASTER)] == ["a2a/house", "a2a/closed"]
    narrow = Key(account="k", allowed_routes=("/v1/models",))
    assert await rig.a2a.models(Caller(name="key:me", role="key", key=narrow)) == []


def test_before_there_is_a_pipeline_no_model_can_be_asked(rig: Any) -> None:
    with pytest.raises(Overloaded):
        rig.a2a.pipeline()
