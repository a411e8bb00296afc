from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pointsman.access.caller import MASTER, NOBODY
from pointsman.edge.context import Serving
from pointsman.edge.mcp import mcp_of, opened, seen, standing
from pointsman.errors import ResourceNotFound, Unseen
from pointsman.mcp.gateway import Status
from pointsman.mcp.settings import ServerSettings


class Mcp:
    """What is behind it, and whether it was made ready."""

    def __init__(self) -> None:
        self.is_ready = False
        self.entries = {
            "a": ServerSettings(id="a", name="a"),
            "b": ServerSettings(id="b", name="b", allow_all_keys=True),
        }

    async def ready(self) -> None:
        self.is_ready = True

    async def registry(self) -> Any:
        return self

    async def gateway(self) -> Any:
        return self


async def test_what_is_switched_off_is_not_there(make_serving: Callable[..., Serving]) -> None:
    with pytest.raises(ResourceNotFound, match="Feature not enabled"):
        mcp_of(make_serving())
    with pytest.raises(ResourceNotFound):
        await opened(make_serving())


async def test_the_servers_are_those_of_the_moment(make_serving: Callable[..., Serving]) -> None:
    mcp: Any = Mcp()
    assert await opened(replace(make_serving(), mcp=mcp)) == (mcp, mcp)
    assert mcp.is_ready


@pytest.mark.requirement("mcp.audit")
def test_a_server_that_may_not_be_used_is_not_told_from_one_that_is_not_there_but_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "pointsman.mcp.calls")
    registry: Any = Mcp()
    assert seen(registry, MASTER, "a").id == "a"
    assert seen(registry, NOBODY, "b").id == "b"
    said = []
    for name in ("a", "c"):
        with pytest.raises(Unseen) as raised:
            seen(registry, NOBODY, name)
        said.append((raised.value.message.removeprefix(f"Server {name}"), raised.value.status))
    assert said == [(" not found", 404)] * 2
    written = [(vars(one)["server"], vars(one)["outcome"]) for one in caplog.records]
    assert written == [
        ("a", "denied: the caller may not use the server a"),
        ("c", "denied: there is no such server"),
    ]


def test_what_is_wrong_is_told_to_whoever_may_see_everything() -> None:
    gateway: Any = SimpleNamespace(status=lambda _: Status(state="down", error="10.0.0.1 refused"))
    assert standing("a", gateway, MASTER)["last_error"] == "10.0.0.1 refused"
    assert "10.0.0.1" not in str(standing("a", gateway, NOBODY))
    well: Any = SimpleNamespace(status=lambda _: Status(state="ready", revision="2026-07-28"))
    assert standing("a", well, NOBODY) == {"status": "ready", "protocol_version": "2026-07-28", "last_error": None}
