from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from system.a2a.running import Agent, Kind, running_agent
from system.conftest import MASTER_KEY
from system.process import Gateway
from system.running import free_port

KINDS: tuple[Kind, ...] = ("modern", "legacy")
LOCAL = ["127.0.0.0/8"]
UPSTREAM_KEY = "sk-agent-canary-77de"


def a2a_config(agents: Sequence[Mapping[str, Any]], **settings: Any) -> str:
    """A config with these agents alone; JSON is YAML."""
    document = {
        "agents": agents,
        "a2a": {"allowed_private": LOCAL} | settings,
        "general_settings": {"master_key": MASTER_KEY},
    }
    return json.dumps(document)


def registered(agent_id: str, agent: Agent, **more: Any) -> dict[str, Any]:
    """How an agent stands in a config."""
    return {"agent_id": agent_id, "name": agent_id, "url": agent.url, "allow_all_keys": True, **more}


@pytest.fixture(scope="session")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[Kind, Agent]]:
    """An agent of each version."""
    home = tmp_path_factory.mktemp("agents-of-both-versions")
    with ExitStack() as stack:
        yield {kind: stack.enter_context(running_agent(kind, home)) for kind in KINDS}


@pytest.fixture(scope="session")
def between(agents: Mapping[Kind, Agent], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway before them: each over each binding.

    The SDK 0.3 can neither list nor drop webhooks over REST: there, and where versions differ, the gateway does it.
    """
    places = [
        registered(f"{kind}-{binding}", agent, binding=binding)
        | {"auth_type": "bearer_token", "auth_value": UPSTREAM_KEY}
        | ({"push": "relay"} if (kind, binding) == ("legacy", "rest") else {})
        for kind, agent in agents.items()
        for binding in ("jsonrpc", "rest")
    ]
    port = str(free_port())
    config = a2a_config(places, public_url=f"http://127.0.0.1:{port}")
    with Gateway(tmp_path_factory.mktemp("between"), config, "--port", port) as running:
        running.key = MASTER_KEY
        yield running
