from __future__ import annotations

from typing import Any

import pytest

from pointsman.a2a.permissions import may_ask, missing, visible
from pointsman.a2a.protocol.operations import Operation
from pointsman.a2a.settings import AgentSettings
from pointsman.access.caller import MASTER, NOBODY, Caller
from pointsman.access.grants import grants_of
from pointsman.access.keys import ObjectPermission

PRIVATE = AgentSettings(id="private", name="Private")
GROUPED = AgentSettings(id="grouped", name="Grouped", access_groups=("dev",))
SHARED = AgentSettings(id="shared", name="Shared", allow_all_keys=True)
PUBLIC = AgentSettings(id="public", name="Public", is_public=True)
ALL = (PRIVATE, GROUPED, SHARED, PUBLIC)


def key(**members: Any) -> Caller:
    return Caller(name="key:a", role="key", grants=grants_of((ObjectPermission(**members),)))


def seen(caller: Caller) -> set[str]:
    return {agent.id for agent in ALL if visible(caller, agent)}


@pytest.mark.requirement("a2a.permissions")
@pytest.mark.parametrize(
    ("caller", "ids"),
    [
        (MASTER, {"private", "grouped", "shared", "public"}),
        (NOBODY, {"public"}),
        (Caller(name="r", role="read_only"), {"private", "grouped", "shared", "public"}),
        (key(), {"shared", "public"}),
        (key(mcp_servers=("*",)), {"shared", "public"}),
        (key(agents=("private",)), {"private", "shared", "public"}),
        (key(agent_access_groups=("dev",)), {"grouped", "shared", "public"}),
        (key(agent_operations={"private": ("get",)}), {"private", "shared", "public"}),
        (key(agents=("*",)), {"private", "grouped", "shared", "public"}),
        (key(agents=("no-agents", "private")), set()),
    ],
)
def test_an_agent_is_seen_by_those_who_may_ask_it(caller: Caller, ids: set[str]) -> None:
    assert seen(caller) == ids


def test_an_admin_with_grants_of_his_own_is_held_to_them() -> None:
    grants = grants_of((ObjectPermission(agents=("grouped",)),))
    assert seen(Caller(name="a", role="admin", grants=grants)) == {"grouped", "shared", "public"}


@pytest.mark.requirement("a2a.permissions")
def test_what_may_be_asked_can_be_said_by_operation() -> None:
    caller = key(agents=("grouped",), agent_operations={"private": ("get", "list", "*_push")})
    allowed = {one.value for one in Operation if may_ask(caller, PRIVATE, one) is None}
    assert allowed == {"get", "list", "set_push", "get_push", "list_push", "delete_push"}
    assert all(may_ask(caller, GROUPED, one) is None for one in Operation)
    refused = may_ask(key(), PRIVATE, Operation.SEND)
    assert refused is not None
    assert "private" in refused.reason
    assert may_ask(NOBODY, PUBLIC, Operation.SEND) is None


def test_an_agent_that_is_missing_is_told_as_the_seed_tells_it() -> None:
    assert str(missing("my-agent")) == "Agent my-agent not found"
    assert missing("x").status == 404
    assert len(str(missing("x" * 5000))) < 200
