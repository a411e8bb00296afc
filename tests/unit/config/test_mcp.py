from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pointsman.mcp.settings import AuthSettings, Limits, McpSettings, ServerSettings, UseLimits
from pointsman.wire.secret import Secret

if TYPE_CHECKING:
    from unit.config.conftest import Build

DEMO = "model_list: [{model_name: m, litellm_params: {model: demo/small}}]\n"
FULL = """
litellm_settings: {mcp_aliases: {short: plain}}
mcp_servers:
  github:
    server_id: hub
    alias: gh
    url: https://hub.example/mcp?tenant=1
    transport: http
    auth_type: bearer_token
    auth_value: os.environ/HUB_TOKEN
    description: Issues
    static_headers: {x-team: blue}
    extra_headers: [x-trace]
    allowed_tools: [list_issues, get_*]
    disallowed_tools: ["*_admin"]
    allowed_params: {list_issues: [repo]}
    tool_names: {list_issues: issues}
    resources: [readme]
    access_groups: [dev]
    allow_all_keys: true
    protocol_version: "2025-11-25"
    isolation: key
    timeout: 5
    max_result_bytes: 2048
    pinning: block
    mcp_info:
      server_name: GitHub
      logo_url: x
      mcp_server_cost_info: {default_cost_per_query: 0.01, tool_name_to_cost_per_query: {list_issues: 0.5}}
    metadata: {owner: us}
  plain: {url: "http://10.0.0.1/mcp"}
  time: {command: uvx, args: [mcp-server-time], env: {TZ: UTC, DEPTH: 3, LOUD: true}, cwd: /tmp}
mcp:
  allow_unauthenticated: true
  mode: search
  sse: true
  stdio_commands: {fetch: [uvx, mcp-server-fetch], one: prog}
  allowed_private: [10.0.0.0/8]
  allowed_hosts: [gateway.internal]
  authorization_servers: ["https://issuer.example"]
  public_url: https://gate.example
  client_metadata_url: https://gate.example/client.json
  list_timeout: 3
  max_stdio: 2
  max_rounds: 3
  tools_timeout: 30
  max_calls: 4
  max_tool_bytes: 500
  max_tools_bytes: 600
  allow_foreign_servers: true
"""


def servers(build: Build, text: str, environ: dict[str, str] | None = None) -> dict[str, ServerSettings]:
    settings = build(DEMO + text, environ or {}).good.mcp
    assert settings is not None
    return {one.id: one for one in settings.servers}


def auth(build: Build, text: str) -> AuthSettings:
    return servers(build, f"mcp_servers: {{a: {{url: 'https://h', {text}}}}}")["a"].auth


def test_where_nothing_is_said_of_it_nothing_of_it_is_loaded(build: Build) -> None:
    assert build(DEMO).good.mcp is None
    code = "import sys, pointsman.app, pointsman.cli; print(*(m for m in sys.modules if 'mcp' in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"pointsman.config.mcp_servers", "pointsman.assembly.mcp"}


@pytest.mark.requirement("mcp.config")
def test_a_document_as_litellm_has_it_says_all_of_a_server(build: Build) -> None:
    found = servers(build, FULL, {"HUB_TOKEN": "canary-token"})
    assert found["hub"] == ServerSettings(
        id="hub",
        name="GitHub",
        description="Issues",
        url="https://hub.example/mcp?tenant=1",
        auth=AuthSettings(kind="bearer_token", value=Secret("canary-token")),
        static_headers={"x-team": "blue"},
        forward_headers=("x-trace",),
        tools=("list_issues", "get_*"),
        resources=("readme",),
        denied_tools=("*_admin",),
        allowed_params={"list_issues": ("repo",)},
        renamed={"list_issues": "issues"},
        prefix="gh",
        access_groups=("dev",),
        allow_all_keys=True,
        revision="2025-11-25",
        isolation="key",
        timeout=5.0,
        max_result_bytes=2048,
        pinning="block",
        cost_usd={"*": "0.01", "list_issues": "0.5"},
        allow_private=True,
        metadata={"owner": "us"},
    )
    assert found["plain"].prefix == "short"
    time = found["time"]
    assert (time.transport, time.command, time.cwd) == ("stdio", ("uvx", "mcp-server-time"), "/tmp")
    assert time.env == {"TZ": "UTC", "DEPTH": "3", "LOUD": "true"}


def test_what_is_said_of_the_gateway_is_taken_as_it_stands(build: Build) -> None:
    settings = build(DEMO + FULL, {"HUB_TOKEN": "t"}).good.mcp
    assert settings is not None
    assert msgspec.structs.replace(settings, servers=()) == McpSettings(
        stdio_commands={"fetch": ("uvx", "mcp-server-fetch"), "one": ("prog",)},
        serves_sse=True,
        mode="search",
        is_open=True,
        allowed_private=("10.0.0.0/8",),
        allowed_hosts=("gateway.internal",),
        authorization_servers=("https://issuer.example",),
        public_url="https://gate.example",
        client_metadata_url="https://gate.example/client.json",
        limits=Limits(list_seconds=3.0, max_stdio=2),
        use=UseLimits(rounds=3, seconds=30.0, calls=4, result_bytes=500, total_bytes=600),
        allows_foreign=True,
    )


@pytest.mark.parametrize("name", ["public_url", "client_metadata_url"])
def test_an_address_of_the_gateway_has_to_be_one(build: Build, name: str) -> None:
    built = build(DEMO + f"mcp: {{{name}: gate.example}}")
    assert any(f"mcp.{name}: must be an address" in one for one in built.said("error")), built.all()


@pytest.mark.parametrize(
    ("text", "environ", "is_enabled"),
    [
        ("mcp: {}", {}, True),
        ("mcp_servers: {}", {}, True),
        ("", {"MCP_GATEWAY_ENABLED": "true"}, True),
        ("", {"MCP_GATEWAY_ENABLED": "false"}, False),
        ("mcp: {enabled: false}", {}, False),
        ("mcp: {enabled: true}", {"MCP_GATEWAY_ENABLED": "0"}, True),
        ("mcp_servers: {a: {url: 'http://h'}}", {"MCP_GATEWAY_ENABLED": "No"}, False),
    ],
)
def test_the_document_goes_before_the_switch_of_the_environment(
    build: Build, text: str, environ: dict[str, str], is_enabled: bool
) -> None:
    built = build(DEMO + text, environ).good
    assert built.mcp is not None
    assert built.mcp.is_enabled is is_enabled


def test_the_switch_of_the_environment_makes_another_config(build: Build) -> None:
    hashes = {build(DEMO, {"MCP_GATEWAY_ENABLED": text}).good.hash for text in ("true", "false")}
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("auth_type: none", AuthSettings()),
        ("auth_type: api_key, auth_value: v", AuthSettings(kind="api_key", value=Secret("v"))),
        (
            "auth_type: api_key, authentication_token: v, auth_header: X-K",
            AuthSettings(kind="api_key", header="X-K", value=Secret("v")),
        ),
        (
            "auth_type: basic, auth_value: 'u:p'",
            AuthSettings(kind="api_key", header="authorization", value=Secret("Basic dTpw")),
        ),
        (
            "auth_type: authorization, auth_value: 'Custom x'",
            AuthSettings(kind="api_key", header="authorization", value=Secret("Custom x")),
        ),
        (
            "auth_type: token, auth_value: v",
            AuthSettings(kind="api_key", header="authorization", value=Secret("token v")),
        ),
        ("auth_type: oauth2", AuthSettings(kind="oauth2", grant="authorization_code")),
        (
            "auth_type: oauth2, client_id: c, client_secret: s, token_url: 'https://h/t', scopes: [x]",
            AuthSettings(
                kind="oauth2", client_id="c", client_secret=Secret("s"), token_url="https://h/t", scopes=("x",)
            ),
        ),
        (
            "auth_type: oauth2, client_id: c, client_secret: s, oauth2_flow: authorization_code",
            AuthSettings(kind="oauth2", client_id="c", client_secret=Secret("s"), grant="authorization_code"),
        ),
    ],
)
def test_each_way_to_show_who_the_gateway_is(build: Build, text: str, found: AuthSettings) -> None:
    assert auth(build, text) == found


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("servers: {url: 'http://h'}", "mcp_servers.servers: the id servers is reserved"),
        ("a b: {url: 'http://h'}", "the id of a server has 1 to 64"),
        ("a: {}", "mcp_servers.a: has neither a url nor a command"),
        ("a: {transport: stdio}", "mcp_servers.a: has no command"),
        ("a: {transport: carrier-pigeon, url: 'http://h'}", "mcp_servers.a.transport: must be"),
        ("a: {url: 'ftp://h'}", "mcp_servers.a.url: must be an address"),
        ("a: {url: 'http://u:canary-pw@h'}", "mcp_servers.a.url: must not hold a user or password"),
        ("a: {url: 'http://h', auth_type: magic}", "mcp_servers.a.auth_type: must be one of"),
        ("a: {url: 'http://h', auth_type: api_key}", "mcp_servers.a: has no auth_value"),
        ("a: {url: 'http://h', auth_type: bearer_token, auth_value: os.environ/NO}", "variable NO is not set"),
        ("a: {url: 'http://h', auth_type: oauth2, oauth2_flow: x}", "mcp_servers.a.oauth2_flow: must be one of"),
        ("a: {url: 'http://h', auth_type: oauth2, token_url: x}", "mcp_servers.a.token_url: must be an address"),
        ("a: {url: 'http://h', allowed_params: {t: 1}}", "mcp_servers.a.allowed_params.t: must be a list"),
        ("a: {command: x, env: {A: [1]}}", "mcp_servers.a.env.A: must be text"),
        ("a: {command: x, env: {A: os.environ/NO}}", "variable NO is not set"),
        ("a: {url: 'http://h', protocol_version: '2099'}", "mcp_servers.a.protocol_version: must be one of auto"),
        ("a: {url: 'http://h', alias: a b__c d}", "mcp_servers.a.alias: has 1 to 64"),
        ("a: {url: 'http://h', tool_names: {x: dup, y: dup}}", "mcp_servers.a.tool_names: two tools are called dup"),
        ("a: {url: 'http://h', tool_names: {x: a b}}", "mcp_servers.a.tool_names: the name 'a b' has other"),
        ("a: {url: 'http://h', extra_headers: [Bad Header]}", "mcp_servers.a.extra_headers: 'Bad Header' is no"),
        ("a: {url: 'http://h', extra_headers: [Host]}", "mcp_servers.a.extra_headers: 'Host' is no"),
        ("a: {url: 'http://h', command: x}", "mcp_servers.a: has a url and a command"),
        ("a: text", "mcp_servers.a: must be a mapping"),
        ("a: {url: 'http://h'}, b: {url: 'http://h', server_id: a}", "mcp_servers.b: is the second server with the id"),
        ("a: {url: 'http://h'}, b: {url: 'http://h', alias: a}", "whose tools begin with a"),
        (
            "a: {url: 'http://h', mcp_info: {mcp_server_cost_info: {default_cost_per_query: -1}}}",
            "default_cost_per_query: must not be below 0",
        ),
        (
            "a: {url: 'http://h', mcp_info: {mcp_server_cost_info: {tool_name_to_cost_per_query: {t: x}}}}",
            "tool_name_to_cost_per_query.t: must be a number",
        ),
    ],
)
def test_what_makes_no_sense_is_said_with_its_place(build: Build, entry: str, said: str) -> None:
    built = build(DEMO + f"mcp_servers: {{{entry}}}")
    assert built.snapshot is None
    assert any(said in one for one in built.said("error")), built.said("error")
    assert "canary" not in built.all()


@pytest.mark.parametrize(
    "text",
    [
        "{stdio_commands: {t: []}}",
        "{max_stdio: 0}",
        "{allowed_private: [10.0.0.0/99]}",
        "{max_rounds: 0}",
        "{mode: all-of-them}",
        "5",
    ],
)
def test_a_setting_that_makes_no_sense_is_said(build: Build, text: str) -> None:
    built = build(DEMO + f"mcp: {text}")
    assert built.snapshot is None
    assert built.said("error")[0].startswith("mcp")


def test_off_may_be_written_without_quotes(build: Build) -> None:
    assert servers(build, "mcp_servers: {a: {url: 'http://h', pinning: off}}")["a"].pinning == "off"


def test_what_is_not_acted_on_is_named(build: Build) -> None:
    built = build(DEMO + "mcp_servers: {a: {url: 'http://h', rpm: 5, surl: x}}")
    assert any("mcp_servers.a.rpm" in one for one in built.said("notice"))
    assert any("mcp_servers.a.surl" in one for one in built.said("warning"))


def test_a_server_that_is_left_empty_says_what_is_missing(build: Build) -> None:
    found: Any = build(DEMO + "mcp_servers: {a: }")
    assert "mcp_servers.a: must be a mapping, not text" in found.said("error")


def test_a_header_that_may_hold_our_own_key_is_not_passed_on_and_that_is_said(build: Build) -> None:
    built = build(DEMO + "mcp_servers: {a: {url: 'http://h', extra_headers: [x-trace, Authorization]}}")
    assert built.good.mcp is not None
    assert "mcp_servers.a.extra_headers: names a header" in built.said("warning")[0]
