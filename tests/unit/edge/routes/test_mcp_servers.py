from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from unit.mcp.pretending import Pretending, tool

from pointsman.errors import UpstreamUnreachable
from pointsman.mcp.settings import AuthSettings, McpSettings, ServerSettings
from pointsman.store.base import Change
from pointsman.wire.secret import Secret

Make = Callable[..., tuple[Any, Any]]
SEED = {
    "server_id": "github-mcp",
    "name": "GitHub MCP Server",
    "url": "http://mcp-server:8080",
    "transport": "streamable_http",
    "tools": ["create_issue", "list_prs"],
    "resources": ["repo_contents"],
    "auth_type": "bearer_token",
    "metadata": {"team": "a"},
}
LISTED = ("server_id", "name", "url", "transport", "tools", "resources")
CONFIG = McpSettings(
    servers=(
        ServerSettings(
            id="house",
            name="House",
            url="http://house/mcp?key=canary-query",
            auth=AuthSettings(kind="bearer_token", value=Secret("canary-config")),
            access_groups=("dev",),
        ),
    ),
    stdio_commands={"time": ("uvx", "mcp-server-time")},
)


@pytest.mark.requirement("mcp.registry")
async def test_a_server_is_registered_shown_and_removed_as_the_seed_has_it(make_mcp: Make) -> None:
    desk, _ = make_mcp()
    body = SEED | {"auth": {"token": "canary-token"}}
    assert await desk.post("/mcp/servers", body) == {"status": "registered", "server_id": "github-mcp"}
    (listed,) = (await desk.get("/mcp/servers"))["servers"]
    assert {name: listed[name] for name in LISTED} == {name: SEED[name] for name in LISTED}
    assert (listed["status"], listed["protocol_version"], listed["last_error"]) == ("starting", None, None)
    shown = await desk.get("/mcp/servers/github-mcp")
    assert {name: shown[name] for name in SEED} == SEED
    gone = await desk.call("DELETE", "/mcp/servers/github-mcp")
    assert (gone.status, gone.json) == (200, {"status": "unregistered", "server_id": "github-mcp"})
    assert await desk.get("/mcp/servers") == {"servers": []}
    for method in ("GET", "DELETE"):
        missing = await desk.call(method, "/mcp/servers/github-mcp")
        assert (missing.status, missing.json) == (404, {"detail": "Server github-mcp not found"})


@pytest.mark.requirement("mcp.credentials")
async def test_a_credential_goes_in_and_never_comes_out(make_mcp: Make) -> None:
    desk, mcp = make_mcp(CONFIG)
    headers = {"x-key": "canary-header"}
    await desk.post("/mcp/servers", SEED | {"auth": {"token": "canary-token"}, "static_headers": headers})
    told = [await desk.get(f"/mcp/servers{path}") for path in ("", "/github-mcp", "/house")]
    told.append(await desk.call("PATCH", "/mcp/servers/github-mcp", {"description": "x"}))
    await desk.call("DELETE", "/mcp/servers/github-mcp")
    assert "canary" not in str(told)
    assert "canary" not in str(desk.records.log)
    assert told[1]["static_headers"] == ["x-key"]
    assert [one.what for one in desk.records.log][-3:] == ["mcp_server.new", "mcp_server.update", "mcp_server.delete"]
    assert (await mcp.registry()).entries["house"].auth.value == Secret("canary-config")


async def test_what_is_stored_is_sealed_and_serves_again(make_mcp: Make) -> None:
    desk, mcp = make_mcp()
    await desk.post("/mcp/servers", SEED | {"auth": {"token": "canary-token"}})
    (row,) = desk.records.tables["mcp_servers"].values()
    assert "canary" not in str(row.doc)
    assert (await mcp.registry()).entries["github-mcp"].auth.value == Secret("canary-token")
    assert (row.doc["created_by"], row.doc["updated_by"]) == ("master", "master")


@pytest.mark.requirement("mcp.ids")
async def test_an_id_is_taken_by_another_server_of_the_config_too(make_mcp: Make) -> None:
    desk, _ = make_mcp(CONFIG)
    plain = {"server_id": "a", "url": "http://h"}
    await desk.post("/mcp/servers", plain)
    for name in ("a", "house"):
        taken = await desk.call("POST", "/mcp/servers", plain | {"server_id": name})
        assert taken.status == 409
    taken = await desk.call("POST", "/mcp/servers", plain | {"server_id": "b", "alias": "house"})
    assert (taken.status, taken.json["error"]["param"]) == (409, "alias")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"server_id": "tools", "url": "http://h"}, "server_id"),
        ({"server_id": "a/b", "url": "http://h"}, "server_id"),
        ({"server_id": "a", "url": "http://127.0.0.1/"}, "url"),
        ({"server_id": "a", "url": "nonsense"}, "url"),
        ({"server_id": "a", "transport": "stdio", "command": "sh"}, "command"),
        ({"server_id": "a", "url": "http://h", "auth_type": "api_key"}, "auth"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(make_mcp: Make, body: Any, param: str) -> None:
    desk, _ = make_mcp(CONFIG)
    answered = await desk.call("POST", "/mcp/servers", body)
    assert (answered.status, answered.json["error"]["param"]) == (400, param)
    assert desk.records.tables["mcp_servers"] == {}


@pytest.mark.requirement("mcp.stdio-commands")
async def test_a_command_is_chosen_among_those_of_the_config(make_mcp: Make) -> None:
    desk, mcp = make_mcp(CONFIG)
    await desk.post("/mcp/servers", {"server_id": "t", "transport": "stdio", "command": "time"})
    assert (await mcp.registry()).entries["t"].command == ("uvx", "mcp-server-time")
    for body in ({"command": "rm"}, {"args": ["x"]}, {"command": ["rm"]}):
        assert (await desk.call("PATCH", "/mcp/servers/t", body)).status == 400


async def test_what_is_named_is_changed_or_all_is_replaced(make_mcp: Make) -> None:
    desk, _ = make_mcp()
    await desk.post("/mcp/servers", SEED | {"auth": {"token": "t"}})
    changed = await desk.call("PATCH", "/mcp/servers/github-mcp", {"tools": [], "access_groups": ["dev"]})
    assert changed.status == 200
    assert (changed.json["tools"], changed.json["name"], changed.json["access_groups"]) == ([], SEED["name"], ["dev"])
    replaced = await desk.call("PUT", "/mcp/servers/github-mcp", {"url": "http://elsewhere"})
    assert (replaced.json["name"], replaced.json["auth_type"], replaced.json["resources"]) == ("github-mcp", "none", [])
    assert (await desk.get("/mcp/servers/github-mcp"))["url"] == "http://elsewhere"
    other = await desk.call("PATCH", "/mcp/servers/github-mcp", {"server_id": "b"})
    assert (other.status, other.json["error"]["param"]) == (400, "server_id")
    assert (await desk.call("PATCH", "/mcp/servers/nobody", {})).status == 404


async def test_the_servers_of_the_config_are_changed_there(make_mcp: Make) -> None:
    desk, _ = make_mcp(CONFIG)
    for method in ("PUT", "PATCH", "DELETE"):
        answered = await desk.call(method, "/mcp/servers/house", {"url": "http://h"})
        assert answered.status == 400
        assert "config" in answered.json["error"]["message"]


async def test_a_server_takes_what_was_approved_and_signed_in_with_it(make_mcp: Make) -> None:
    desk, mcp = make_mcp()
    mcp.servers["a"] = Pretending({"tools": [tool("x")]})
    await desk.post("/mcp/servers", {"server_id": "a", "url": "http://h", "pinning": "block"})
    await desk.get("/mcp/tools")
    for name in ("a", "b"):
        await desk.records.change([Change("mcp_tokens", f"token-{name}", {"server_id": name})])
    assert set(desk.records.tables["mcp_pins"]) == {"a"}
    await desk.call("DELETE", "/mcp/servers/a")
    rows = desk.records.tables
    assert (rows["mcp_servers"], rows["mcp_pins"], set(rows["mcp_tokens"])) == ({}, {}, {"token-b"})


@pytest.mark.requirement("mcp.permissions")
async def test_a_key_sees_the_servers_that_it_may_use_without_where_they_are(make_mcp: Make) -> None:
    desk, _ = make_mcp(CONFIG)
    await desk.post("/mcp/servers", {"server_id": "a", "url": "http://h"})
    granted = await desk.key(object_permission={"mcp_access_groups": ["dev"]})
    (seen,) = (await desk.get("/mcp/servers", key=granted))["servers"]
    assert (seen["server_id"], seen["url"]) == ("house", "")
    shown = await desk.get("/mcp/servers/house", key=granted)
    assert "isolation" not in shown
    plain = await desk.key()
    assert await desk.get("/mcp/servers", key=plain) == {"servers": []}
    hidden, missing = [await desk.call("GET", f"/mcp/servers/{name}", key=plain) for name in ("house", "nobody")]
    assert (hidden.status, missing.status) == (404, 404)
    assert hidden.json == {"detail": "Server house not found"}


async def test_what_is_wrong_with_a_server_is_for_who_may_see_everything(make_mcp: Make) -> None:
    desk, mcp = make_mcp(CONFIG)
    mcp.servers["house"] = Pretending({})
    mcp.servers["house"].failure = UpstreamUnreachable("no route to the house")
    granted = await desk.key(object_permission={"mcp_servers": ["house"]})
    await desk.get("/mcp/tools")
    assert (await desk.get("/mcp/servers/house"))["last_error"] == "no route to the house"
    shown = await desk.get("/mcp/servers/house", key=granted)
    assert (shown["status"], shown["last_error"]) == ("down", "the server cannot be reached")


async def test_a_row_that_cannot_be_used_is_told_and_can_be_removed(make_mcp: Make) -> None:
    desk, _ = make_mcp()
    await desk.records.change([Change("mcp_servers", "broken", {"name": 5})])
    (told,) = (await desk.get("/mcp/servers"))["servers"]
    assert (told["server_id"], told["status"]) == ("broken", "down")
    assert (await desk.get("/mcp/servers", key=await desk.key())) == {"servers": []}
    assert (await desk.call("PATCH", "/mcp/servers/broken", {"name": "x"})).status == 400
    assert (await desk.call("POST", "/mcp/servers", {"server_id": "broken", "url": "http://h"})).status == 409
    assert (await desk.call("DELETE", "/mcp/servers/broken")).status == 200


@pytest.mark.requirement("mcp.pinning")
async def test_a_changed_tool_is_hidden_until_an_admin_has_approved_it(make_mcp: Make) -> None:
    desk, mcp = make_mcp()
    mcp.servers["a"] = one = Pretending({"tools": [tool("x", description="old"), tool("y")]})
    await desk.post("/mcp/servers", {"server_id": "a", "url": "http://h", "pinning": "block"})
    assert [row["tool"] for row in (await desk.get("/mcp/tools"))["tools"]] == ["x", "y"]
    one.lists["tools"] = [tool("x", description="new"), tool("y")]
    await (await mcp.pins()).check((await mcp.registry()).entries["a"], one.lists["tools"])
    (difference,) = (await desk.get("/mcp/servers/a/pins"))["differences"]
    assert (difference["tool"], difference["kind"]) == ("x", "changed")
    assert difference["approved"]["definition"]["description"] == "old"
    assert difference["seen"]["definition"]["description"] == "new"
    approved = await desk.post("/mcp/servers/a/pins/approve", {"tools": ["x"]})
    assert approved == {"status": "approved", "server_id": "a", "tools": ["x"]}
    assert (await desk.get("/mcp/servers/a/pins"))["differences"] == []
    assert (await desk.call("POST", "/mcp/servers/a/pins/approve", {"tools": "x"})).status == 400
    assert (await desk.call("POST", "/mcp/servers/b/pins/approve", {})).status == 404


@pytest.mark.requirement("mcp.off")
async def test_where_it_is_switched_off_nothing_is_there(desk: Any) -> None:
    for method, path in (
        ("GET", "/mcp/servers"),
        ("POST", "/mcp/servers"),
        ("GET", "/mcp/tools"),
        ("GET", "/mcp/health"),
    ):
        answered = await desk.call(method, path, {} if method == "POST" else None)
        assert (answered.status, answered.json) == (404, {"detail": "Feature not enabled"})
