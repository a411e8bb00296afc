from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pointsman.access.caller import MASTER, NOBODY, Caller, Role
from pointsman.access.grants import grants_of
from pointsman.access.keys import Key, ObjectPermission
from pointsman.mcp.permissions import may_call, may_read, visible
from pointsman.mcp.settings import ServerSettings


def server(**more: Any) -> ServerSettings:
    return ServerSettings(id="s", name="S", url="http://s", **more)


def caller(role: Role = "key", **granted: Any) -> Caller:
    permission = ObjectPermission(**granted) if granted else None
    return Caller(name="k", role=role, key=Key(object_permission=permission), grants=grants_of((permission,)))


@pytest.mark.requirement("mcp.permissions")
@pytest.mark.parametrize(
    ("who", "more", "is_visible"),
    [
        (MASTER, {}, True),
        (caller("admin"), {}, True),
        (caller("read_only"), {}, True),
        (caller("admin", mcp_servers=("t",)), {}, False),
        (caller(), {}, False),
        (caller(), {"allow_all_keys": True}, True),
        (NOBODY, {}, False),
        (NOBODY, {"allow_all_keys": True}, True),
        (caller(mcp_servers=("s",)), {}, True),
        (caller(mcp_servers=("t",)), {}, False),
        (caller(mcp_servers=("t",)), {"allow_all_keys": True}, True),
        (caller(mcp_servers=("no-mcp-servers",)), {"allow_all_keys": True}, False),
        (caller("admin", mcp_servers=("no-mcp-servers", "s")), {}, False),
        (caller(mcp_access_groups=("g",)), {"access_groups": ("g",)}, True),
    ],
)
def test_a_server_is_for_those_to_whom_it_is_granted(who: Caller, more: Any, is_visible: bool) -> None:
    assert visible(who, server(**more)) is is_visible
    assert (may_call(who, server(**more), "t") is None) is is_visible
    assert (may_read(who, server(**more), "x://r") is None) is is_visible


@pytest.mark.requirement("mcp.permissions")
def test_a_tool_has_to_be_declared_and_not_denied_and_to_be_granted() -> None:
    one = server(tools=("get_a", "get_b", "put_*"), denied_tools=("*_b",))
    tools = ("get_a", "get_b", "get_c", "put_a", "put_b")
    assert [tool for tool in tools if may_call(MASTER, one, tool) is None] == ["get_a", "put_a"]
    bound = caller(mcp_tool_permissions={"s": ("put_*",)})
    assert [tool for tool in tools if may_call(bound, one, tool) is None] == ["put_a"]
    blocked = caller(mcp_servers=("s",), blocked_tools=("s__put_a",))
    assert [tool for tool in tools if may_call(blocked, one, tool) is None] == ["get_a"]


def test_what_is_for_all_keys_can_still_be_bound_for_one() -> None:
    one = server(allow_all_keys=True)
    assert may_call(caller(mcp_tool_permissions={"s": ("a",)}), one, "b") is not None
    assert may_call(caller(blocked_tools=("b",)), one, "b") is not None
    assert may_call(caller(), one, "b") is None


def test_a_tool_is_called_with_allowed_arguments_only() -> None:
    one = server(allowed_params={"t": ("a", "b")})
    assert may_call(MASTER, one, "t", {"a": 1}) is None
    assert may_call(MASTER, one, "t") is None
    assert may_call(MASTER, one, "u", {"c": 1}) is None
    refused = may_call(MASTER, one, "t", {"a": 1, "c": 2})
    assert refused is not None
    assert refused.param == "c"


def test_a_resource_is_declared_by_its_uri_a_pattern_or_its_name() -> None:
    one = server(resources=("x://a", "y://*", "notes"))
    uris = {"x://a": "A", "x://b": "B", "y://c": "C", "z://d": "notes"}
    assert [uri for uri, name in uris.items() if may_read(MASTER, one, uri, name) is None] == [
        "x://a",
        "y://c",
        "z://d",
    ]
    assert may_read(MASTER, msgspec.structs.replace(one, resources=()), "z://e") is None
