from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pointsman.a2a.settings import AgentSettings
from pointsman.access.caller import MASTER, NOBODY
from pointsman.edge.a2a import a2a_of, opened, seen
from pointsman.edge.context import Serving
from pointsman.errors import ResourceNotFound, Unseen


class A2a:
    """What is behind it, and whether it was made ready."""

    def __init__(self) -> None:
        self.is_ready = False
        self.entries = {
            "a": AgentSettings(id="a", name="a", url="http://a"),
            "b": AgentSettings(id="b", name="b", url="http://b", is_public=True),
        }

    async def ready(self) -> None:
        self.is_ready = True

    async def registry(self) -> Any:
        return self


async def test_what_is_switched_off_is_not_there(make_serving: Callable[..., Serving]) -> None:
    with pytest.raises(ResourceNotFound, match="Feature not enabled"):
        a2a_of(make_serving())
    with pytest.raises(ResourceNotFound):
        await opened(make_serving())


async def test_the_agents_are_those_of_the_moment(make_serving: Callable[..., Serving]) -> None:
    a2a: Any = A2a()
    found: Any = await opened(replace(make_serving(), a2a=a2a))
    assert found is a2a
    assert found.is_ready


def test_an_agent_that_may_not_be_used_is_not_told_from_one_that_is_not_there_but_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "pointsman.a2a.calls")
    registry: Any = A2a()
    assert seen(registry, MASTER, "a").id == "a"
    assert seen(registry, NOBODY, "b").id == "b"
    said = []
    for agent_id in ("a", "x"):
        with pytest.raises(Unseen) as caught:
            seen(registry, NOBODY, agent_id)
        said.append(caught.value.message)
    assert said == ["Agent a not found", "Agent x not found"]
    assert [(vars(one)["agent"], vars(one)["outcome"]) for one in caplog.records] == [
        ("a", "denied: the caller may not ask the agent a"),
        ("x", "denied: there is no such agent"),
    ]
