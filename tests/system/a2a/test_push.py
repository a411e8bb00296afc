"""Clients are told of their tasks at their webhooks, in their own version, whatever the agent speaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from system.a2a.asking import Asker, Binding, Version
from system.a2a.scripted import Hook
from system.process import Gateway
from system.scripted import until

AGENTS = ("modern-jsonrpc", "modern-rest", "legacy-jsonrpc", "legacy-rest")
TOKEN = "t0-for-the-hook"


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as running:
        yield running


def state(told: dict[str, Any]) -> str:
    """What a notification says of the task."""
    found = told.get("task") or told.get("statusUpdate") or told.get("artifactUpdate") or told
    return str(found.get("status", {}).get("state", ""))


@pytest.mark.requirement("a2a.push-relay")
@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("version", ["1.0", "0.3"])
@pytest.mark.parametrize("binding", ["jsonrpc", "rest"])
def test_a_webhook_is_told_in_the_version_of_its_client(
    between: Gateway, hook: Hook, agent: str, version: Version, binding: Binding
) -> None:
    asker = Asker(between, agent, version, binding)
    task = asker.ask("send", what="tck-input-required").task["id"]
    assert asker.ask("set_push", task=task, hook=hook.url, token=TOKEN).code is None
    asker.ask("send", task=task)
    completed = "TASK_STATE_COMPLETED" if version == "1.0" else "completed"
    until(lambda: any(state(body) == completed for _, body in list(hook.heard)))
    headers, body = next(heard for heard in hook.heard if state(heard[1]) == completed)
    assert headers["x-a2a-notification-token"] == TOKEN
    assert (body.get("kind") == "task") == (version == "0.3")
    assert task in str(body)
    if agent.startswith("modern") or version == "1.0":
        # The agents' own SDK 0.3 shows the token alone.
        assert headers["authorization"] == f"Bearer {TOKEN}"
