from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pointsman.errors import InvalidRequest
from pointsman.mcp.bodies import read_body, settle, told, told_in_full
from pointsman.mcp.settings import AuthSettings, McpSettings, ServerSettings
from pointsman.wire.secret import Secret

SETTINGS = McpSettings(stdio_commands={"time": ("uvx", "mcp-server-time")}, allowed_private=("10.1.0.0/16", "inside"))
SEED: dict[str, Any] = {
    "server_id": "github-mcp",
    "name": "GitHub MCP Server",
    "url": "http://mcp-server:8080",
    "transport": "streamable_http",
    "tools": ["create_issue", "list_prs"],
    "resources": ["repo_contents"],
    "auth_type": "bearer_token",
    "auth": {"token": "canary-token"},
    "metadata": {},
}


def made(body: dict[str, Any], before: ServerSettings | None = None, *, is_change: bool = False) -> ServerSettings:
    read = read_body(msgspec.json.encode(body), before if is_change else None)
    if before is not None:
        read = msgspec.structs.replace(read, server_id=before.id)
    return settle(read, SETTINGS, before)


def test_what_the_seed_registers_is_told_as_the_seed_tells_it() -> None:
    server = made(SEED)
    assert server.auth == AuthSettings(kind="bearer_token", value=Secret("canary-token"))
    told_one = told_in_full(server, is_whole=True)
    expected = {name: value for name, value in SEED.items() if name != "auth"}
    assert {name: told_one[name] for name in expected} == expected
    assert "canary" not in str(told_one)
    assert set(told(server, is_whole=True)) >= {"server_id", "name", "url", "transport", "tools", "resources"}


def test_little_has_to_be_said() -> None:
    server = made({"server_id": "a", "url": "https://h/mcp?key=canary", "transport": "http", "auth_type": None})
    assert (server.name, server.transport, server.auth.kind, server.source) == (
        "a",
        "streamable_http",
        "none",
        "api",
    )
    assert not server.allow_private
    assert told(server, is_whole=True)["url"] == "https://h/mcp"
    assert told(server, is_whole=False)["url"] == ""


@pytest.mark.requirement("mcp.stdio-commands")
def test_a_server_over_stdio_is_named_and_never_spelled_out() -> None:
    server = made({"server_id": "t", "transport": "stdio", "command": "time"})
    assert (server.command, server.command_name) == (("uvx", "mcp-server-time"), "time")
    for body in (
        {"command": "uvx"},
        {"command": ""},
        {"command": "time", "args": ["x"]},
        {"command": ["sh", "-c", "x"]},
        {"command": "time", "env": {"A": "b"}},
        {"command": "time", "cwd": "/"},
        {"command": "time", "url": "http://h"},
        {"url": "http://h"},
    ):
        with pytest.raises(InvalidRequest):
            made({"server_id": "t", "transport": "stdio", **body})
    with pytest.raises(InvalidRequest, match="stdio"):
        made({"server_id": "t", "url": "http://h", "command": "time"})


@pytest.mark.requirement("mcp.ssrf")
@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/mcp", "http://localhost:4000", "http://10.2.0.1", "http://169.254.169.254/latest"),
        *("http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::a00:1]/", "http://100.64.0.1"),
        *("file:///etc/passwd", "http://u:p@h/", "gopher://h", ""),
    ],
)
def test_an_address_that_only_the_gateway_can_reach_is_refused(url: str) -> None:
    for body in (
        {"url": url},
        {"url": "https://h", "auth_type": "oauth2", "auth": {"token_url": url, "client_id": "c", "client_secret": "s"}},
    ):
        with pytest.raises(InvalidRequest):
            made({"server_id": "a", **body})


@pytest.mark.parametrize("url", ["http://10.1.2.3/mcp", "http://inside:8080"])
def test_what_the_operator_has_named_is_allowed(url: str) -> None:
    assert made({"server_id": "a", "url": url}).url == url


@pytest.mark.parametrize(
    ("auth_type", "auth", "found"),
    [
        ("api_key", {"value": "v"}, AuthSettings(kind="api_key", value=Secret("v"))),
        ("api_key", {"value": "v", "header": "X-K"}, AuthSettings(kind="api_key", header="X-K", value=Secret("v"))),
        ("bearer_token", {"token": "v"}, AuthSettings(kind="bearer_token", value=Secret("v"))),
        ("oauth2", {"scopes": ["a"]}, AuthSettings(kind="oauth2", scopes=("a",), grant="authorization_code")),
        (
            "oauth2",
            {"client_id": "c", "client_secret": "s", "token_url": "https://h/t"},
            AuthSettings(kind="oauth2", client_id="c", client_secret=Secret("s"), token_url="https://h/t"),
        ),
    ],
)
def test_each_way_to_show_who_one_is_has_its_members(auth_type: str, auth: Any, found: AuthSettings) -> None:
    assert made({"server_id": "a", "url": "https://h", "auth_type": auth_type, "auth": auth}).auth == found


@pytest.mark.parametrize(
    "body",
    [
        {"alias": "a b"},
        {"tool_names": {"x": "dup", "y": "dup"}},
        {"tool_names": {"x": "a\u200b"}},
        {"server_id": "servers"},
        {"server_id": "a/b"},
        {"server_id": ""},
        {"transport": "websocket"},
        {"tools": "a"},
        {"tools": [""]},
        {"nonsense": 1},
        {"auth_type": "basic"},
        {"auth_type": "bearer_token"},
        {"auth_type": "bearer_token", "auth": {"value": "v"}},
        {"auth_type": "bearer_token", "auth": {"token": "a\r\nb: c"}},
        {"auth_type": "bearer_token", "auth": {"token": "os.environ/HOME"}},
        {"auth_type": "api_key", "auth": {"value": "v", "header": "host"}},
        {"auth_type": "api_key", "auth": {"value": "v", "strange": 1}},
        {"auth_type": "oauth2", "auth": {"grant": "client_credentials"}},
        {"auth": {"token": "t"}},
        {"static_headers": {"x y": "a"}},
        {"static_headers": {"x": "os.environ/HOME"}},
        {"extra_headers": ["Authorization"]},
        {"extra_headers": ["x-goog-api-key"]},
        {"extra_headers": ["x\n"]},
        {"cost_usd": {"a": "-1"}},
        {"cost_usd": {"a": "NaN"}},
        {"protocol_version": "2099-01-01"},
        {"timeout": 0},
        {"max_result_bytes": 1},
        {"isolation": "other"},
    ],
)
def test_what_makes_no_sense_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        made({"server_id": "a", "url": "https://h", **body})


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_body_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not what this path takes"):
        read_body(body)


# -- changes ----------------------------------------------------------------------------------------------------------


def test_a_change_leaves_what_it_does_not_name() -> None:
    before = made(SEED | {"cost_usd": {"*": 0.01}, "allowed_params": {"create_issue": ["title"]}, "alias": "hub"})
    after = made({"description": "Issues"}, before, is_change=True)
    assert after == msgspec.structs.replace(before, description="Issues")


def test_a_replacement_leaves_nothing_but_the_credentials() -> None:
    before = made(SEED | {"description": "x", "static_headers": {"x-key": "canary"}})
    after = made({"url": SEED["url"], "auth_type": "bearer_token"}, before)
    assert (after.description, after.tools, after.name) == ("", (), "github-mcp")
    assert after.auth == before.auth
    assert after.static_headers == {"x-key": "canary"}
    assert made({"url": SEED["url"], "static_headers": {}}, before).static_headers == {}


@pytest.mark.requirement("mcp.credentials")
@pytest.mark.parametrize("url", ["https://mcp-server:8080", "http://elsewhere:8080", "http://mcp-server:8081"])
def test_credentials_stay_with_the_place_that_they_were_given_for(url: str) -> None:
    before = made(SEED | {"static_headers": {"x-key": "canary"}})
    with pytest.raises(InvalidRequest, match="credentials"):
        made({"url": url}, before, is_change=True)
    after = made({"url": url, "auth": {"token": "new"}}, before, is_change=True)
    assert after.auth.value == Secret("new")
    assert after.static_headers == {}


def test_other_credentials_take_the_place_of_those_before() -> None:
    before = made(SEED)
    with pytest.raises(InvalidRequest, match="api_key"):
        made({"auth_type": "api_key"}, before, is_change=True)
    assert made({"auth_type": "none"}, before, is_change=True).auth == AuthSettings()
