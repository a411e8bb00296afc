from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from pointsman.a2a.settings import A2aSettings, AgentSettings, AuthSettings, StreamLimits
from pointsman.wire.secret import Secret

if TYPE_CHECKING:
    from unit.config.conftest import Build

DEMO = "model_list: [{model_name: m, litellm_params: {model: demo/small}}]\n"
FULL = """
agents:
  - agent_id: helper
    name: Helper
    description: Helps
    url: https://helper.example/a2a
    replicas: ["https://helper-2.example/a2a"]
    card_url: https://helper.example/card.json
    allowed_origins: ["https://cdn.example"]
    protocol_version: 0.3
    binding: HTTP+JSON
    capabilities: [chat, code]
    card: {version: "2"}
    rewrite_card: false
    signatures: require
    signing_keys: [{kty: EC, crv: P-256, x: a, y: b}]
    auth_type: bearer_token
    auth_value: os.environ/HELPER_TOKEN
    static_headers: {x-team: blue}
    extra_headers: [x-trace]
    push: relay
    adds: [push, list]
    public: true
    access_groups: [dev]
    allow_all_keys: true
    timeout: 5
    stream: {idle_timeout: 1, timeout: 2, max_bytes: 4096, max_event_bytes: 2048}
    max_result_bytes: 2048
    cost_per_message: 0.01
    health_check: false
    metadata: {owner: us}
  - {name: Plain Agent, url: "http://10.0.0.1/a"}
  - {agent_id: model, model: m}
  - {agent_id: gone, url: "http://h", enabled: false}
a2a:
  public_url: https://gate.example
  card_form: 1.0
  default_agent: helper
  hosts: {Helper.example: helper}
  allowed_hosts: [gateway.internal]
  allowed_private: [10.0.0.0/8]
  allowed_key_urls: ["https://keys.example/jwks.json"]
  signing_key: os.environ/SIGNING_KEY
  task_owner: team
  task_days: 7
  ping_interval: 5
  max_streams: 10
  public_rpm: 20
  card_ttl: 60
  health_interval: 30
"""
PEM = (
    r"-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgh8Pp/0/byDZOxaAz\n"
    r"qwvg+1heyMBUYKnN/Ri6BdvRThyhRANCAAR2ygUu+HLCCfsxr25POW604A8ZV4u8\n"
    r"cMgCQPm3G5YkCPFkDmhLUAZXm2+5AAM8PgWmHPZrAgz4jcAFqSdBwM7L\n-----END PRIVATE KEY-----"
)
ENVIRON = {"HELPER_TOKEN": "canary-token", "SIGNING_KEY": PEM}


def agents(build: Build, text: str, environ: dict[str, str] | None = None) -> dict[str, AgentSettings]:
    settings = build(DEMO + text, environ or {}).good.a2a
    assert settings is not None
    return {one.id: one for one in settings.agents}


def test_where_nothing_is_said_of_it_nothing_of_it_is_loaded(build: Build) -> None:
    assert build(DEMO).good.a2a is None
    code = "import sys, pointsman.app, pointsman.cli; print(*(m for m in sys.modules if 'a2a' in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"pointsman.config.a2a_agents", "pointsman.assembly.a2a"}


@pytest.mark.requirement("a2a.config")
def test_a_document_says_all_of_an_agent(build: Build) -> None:
    found = agents(build, FULL, ENVIRON)
    assert list(found) == ["helper", "Plain-Agent", "model"]
    assert found["helper"] == AgentSettings(
        id="helper",
        name="Helper",
        description="Helps",
        url="https://helper.example/a2a",
        replicas=("https://helper-2.example/a2a",),
        card_url="https://helper.example/card.json",
        allowed_origins=("https://cdn.example",),
        protocol_version="0.3",
        binding="rest",
        capabilities=("chat", "code"),
        card={"version": "2"},
        rewrites_card=False,
        signatures="require",
        signing_keys=({"kty": "EC", "crv": "P-256", "x": "a", "y": "b"},),
        auth=AuthSettings(kind="bearer_token", value=Secret("canary-token")),
        static_headers={"x-team": "blue"},
        forward_headers=("x-trace",),
        push="relay",
        adds=("push", "list"),
        is_public=True,
        access_groups=("dev",),
        allow_all_keys=True,
        timeout=5.0,
        stream=StreamLimits(idle_seconds=1.0, total_seconds=2.0, max_bytes=4096, max_event_bytes=2048),
        max_result_bytes=2048,
        cost_usd="0.01",
        health_check=False,
        allow_private=True,
        metadata={"owner": "us"},
    )
    assert (found["Plain-Agent"].name, found["Plain-Agent"].url) == ("Plain Agent", "http://10.0.0.1/a")
    assert (found["model"].model, found["model"].name) == ("m", "model")


def test_what_is_said_of_the_gateway_is_taken_as_it_stands(build: Build) -> None:
    settings = build(DEMO + FULL, ENVIRON).good.a2a
    assert settings is not None
    assert msgspec.structs.replace(settings, agents=()) == A2aSettings(
        public_url="https://gate.example",
        card_form="1.0",
        default_agent="helper",
        hosts={"helper.example": "helper"},
        allowed_hosts=("gateway.internal",),
        allowed_private=("10.0.0.0/8",),
        allowed_key_urls=("https://keys.example/jwks.json",),
        signing_key=Secret(PEM.replace("\\n", "\n")),
        task_owner="team",
        task_days=7,
        ping_seconds=5.0,
        max_streams=10,
        public_rpm=20,
        card_seconds=60.0,
        health_seconds=30.0,
    )
    assert {PEM.replace("\\n", "\n"), "canary-token"} == set(settings.secrets())


@pytest.mark.requirement("a2a.litellm-config")
@pytest.mark.parametrize("section", ["agents", "agent_list"])
def test_an_agent_as_litellm_has_it(build: Build, section: str) -> None:
    text = f"""
{section}:
  - agent_name: hello world
    agent_card_params:
      protocolVersion: '1.0'
      name: Hello World Agent
      description: Says hello
      url: http://agent:9999/
      version: 1.0.0
      capabilities: {{streaming: true, stateTransitionHistory: true}}
      skills: [{{id: hi, name: Hi, description: x, tags: [hello]}}]
    litellm_params: {{is_public: true, cost_per_query: 0.5, custom_llm_provider: langgraph}}
    static_headers: {{Authorization: Bearer canary}}
    tpm_limit: 5
"""
    built = build(DEMO + text)
    agent = agents(build, text)["hello-world"]
    assert (agent.name, agent.description, agent.url) == ("hello world", "Says hello", "http://agent:9999/")
    assert (agent.is_public, agent.cost_usd) == (True, "0.5")
    assert agent.card["capabilities"] == {"streaming": True}
    assert agent.card["skills"] == [{"id": "hi", "name": "Hi", "description": "x", "tags": ["hello"]}]
    said = " ".join(built.said("notice"))
    assert f"{section}[0].tpm_limit" in said
    assert f"{section}[0].litellm_params.custom_llm_provider" in said
    assert "agent_card_params" not in built.all()


def test_what_an_entry_says_itself_goes_before_litellms_members(build: Build) -> None:
    text = (
        "agents: [{agent_id: a, name: Mine, url: 'http://mine', card: {version: '2'}, "
        "agent_card_params: {name: Other, url: 'http://other', version: '1', skills: []}}]"
    )
    agent = agents(build, text)["a"]
    assert (agent.name, agent.url, agent.card) == ("Mine", "http://mine", {"version": "2", "skills": []})


def test_agents_go_before_agent_list(build: Build) -> None:
    text = "agents: [{agent_id: a, url: 'http://h'}]\nagent_list: [{agent_id: b, url: 'http://h'}]"
    assert list(agents(build, text)) == ["a"]


@pytest.mark.parametrize(
    ("text", "environ", "is_enabled"),
    [
        ("a2a: {}", {}, True),
        ("agents: []", {}, True),
        ("", {"A2A_GATEWAY_ENABLED": "true"}, True),
        ("", {"A2A_GATEWAY_ENABLED": "false"}, False),
        ("a2a: {enabled: false}", {}, False),
        ("a2a: {enabled: true}", {"A2A_GATEWAY_ENABLED": "0"}, True),
        ("agents: [{agent_id: a, url: 'http://h'}]", {"A2A_GATEWAY_ENABLED": "No"}, False),
    ],
)
def test_the_document_goes_before_the_switch_of_the_environment(
    build: Build, text: str, environ: dict[str, str], is_enabled: bool
) -> None:
    built = build(DEMO + text, environ).good
    assert built.a2a is not None
    assert built.a2a.is_enabled is is_enabled


def test_the_switch_of_the_environment_makes_another_config(build: Build) -> None:
    hashes = {build(DEMO, {"A2A_GATEWAY_ENABLED": text}).good.hash for text in ("true", "false")}
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("auth_type: none", AuthSettings()),
        ("auth_type: api_key, auth_value: v", AuthSettings(kind="api_key", value=Secret("v"))),
        (
            "auth_type: api_key, auth_value: v, auth_header: X-K",
            AuthSettings(kind="api_key", header="X-K", value=Secret("v")),
        ),
        (
            "auth_type: oauth2, client_id: c, client_secret: s, token_url: 'https://h/t', scopes: [x]",
            AuthSettings(
                kind="oauth2", client_id="c", client_secret=Secret("s"), token_url="https://h/t", scopes=("x",)
            ),
        ),
    ],
)
def test_each_way_to_show_who_the_gateway_is(build: Build, text: str, found: AuthSettings) -> None:
    assert agents(build, f"agents: [{{agent_id: a, url: 'https://h', {text}}}]")["a"].auth == found


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{agent_id: agents, url: 'http://h'}", "agents[0].agent_id: the id agents is reserved"),
        ("{agent_id: a b, url: 'http://h'}", "the id of an agent has 1 to 64"),
        ("{url: 'http://h'}", "the id of an agent has 1 to 64"),
        ("{agent_id: a}", "agents[0]: has neither a url nor a model"),
        ("{agent_id: a, url: 'http://h', model: m}", "agents[0]: has a model and an address"),
        ("{agent_id: a, url: 'ftp://h'}", "agents[0].url: must be an address"),
        ("{agent_id: a, url: 'http://u:canary-pw@h'}", "agents[0].url: must not hold a user or password"),
        ("{agent_id: a, url: 'http://h', card_url: x}", "agents[0].card_url: must be an address"),
        ("{agent_id: a, url: 'http://h', replicas: [x]}", "agents[0].replicas: must be an address"),
        ("{agent_id: a, url: 'http://h', allowed_origins: [x]}", "agents[0].allowed_origins: must be an address"),
        ("{agent_id: a, url: 'http://h', auth_type: magic}", "agents[0].auth_type: must be one of"),
        ("{agent_id: a, url: 'http://h', auth_type: api_key}", "agents[0]: has no auth_value"),
        ("{agent_id: a, url: 'http://h', auth_type: oauth2, client_id: c}", "agents[0]: has no client_secret"),
        (
            "{agent_id: a, url: 'http://h', auth_type: oauth2, client_id: c, client_secret: s, token_url: x}",
            "agents[0].token_url: must be an address",
        ),
        (
            "{agent_id: a, url: 'http://h', auth_type: bearer_token, auth_value: os.environ/NO}",
            "variable NO is not set",
        ),
        ("{agent_id: a, url: 'http://h', protocol_version: 2}", "agents[0].protocol_version: must be auto or 1.0"),
        ("{agent_id: a, url: 'http://h', binding: grpc}", "agents[0].binding: must be"),
        ("{agent_id: a, url: 'http://h', adds: [wings]}", "agents[0].adds: must be of streaming, push, list"),
        ("{agent_id: a, url: 'http://h', push: shove}", "agents[0].push: must be"),
        ("{agent_id: a, url: 'http://h', signing_keys: [x]}", "agents[0].signing_keys: a key is a mapping"),
        ("{agent_id: a, url: 'http://h', signing_keys: [{kty: EC, d: x}]}", "agents[0].signing_keys: a private key"),
        ("{agent_id: a, url: 'http://h', extra_headers: [Host]}", "agents[0].extra_headers: 'Host' is no"),
        ("{agent_id: a, url: 'http://h', static_headers: {A2A-Version: x}}", "agents[0].static_headers: 'A2A-Version'"),
        ("{agent_id: a, url: 'http://h', stream: {idle_timeout: 0}}", "agents[0].stream.idle_timeout: must be"),
        ("{agent_id: a, url: 'http://h', cost_per_message: -1}", "agents[0].cost_per_message: must not be below 0"),
        ("{agent_id: a, url: 'http://h'}, {agent_id: a, url: 'http://h'}", "agents[1]: is the second agent"),
        ("{agent_id: a, model: a2a/b}", "agents[0].model: is an agent"),
        ("text", "agents[0]: must be a mapping"),
        ("", "agents[0]: must be a mapping"),
    ],
)
def test_what_makes_no_sense_is_said_with_its_place(build: Build, entry: str, said: str) -> None:
    built = build(DEMO + f"agents: [{entry or 'null'}]")
    assert built.snapshot is None
    assert any(said in one for one in built.said("error")), built.said("error")
    assert "canary" not in built.all()


@pytest.mark.parametrize(
    "text",
    [
        "{task_days: 0}",
        "{public_url: gate.example}",
        "{allowed_private: [10.0.0.0/99]}",
        "{allowed_key_urls: [x]}",
        "{card_form: 2}",
        "{task_owner: world}",
        "{signing_key: canary}",
        r'{signing_key: "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----"}',
        "5",
    ],
)
def test_a_setting_that_makes_no_sense_is_said(build: Build, text: str) -> None:
    built = build(DEMO + f"a2a: {text}")
    assert built.snapshot is None
    assert built.said("error")[0].startswith("a2a")
    assert "canary" not in built.all()


def test_what_probably_is_not_meant_so_is_said(build: Build) -> None:
    text = "agents: [{agent_id: a, url: 'http://h', rewrite_card: false, extra_headers: [Authorization], surl: x}]\n"
    built = build(DEMO + text + "a2a: {default_agent: b, hosts: {h: c}}")
    said = built.said("warning")
    for start in ("agents[0].rewrite_card", "agents[0].extra_headers", "agents[0].surl", "a2a.default_agent"):
        assert any(one.startswith(start) for one in said), said
    assert any(one.startswith("a2a.hosts.h") for one in said), said


def test_a_model_that_is_published_to_everybody_is_probably_not_meant_so(build: Build) -> None:
    built = build(DEMO + "agents: [{agent_id: a, model: m, public: true}]\na2a: {as_mcp_tools: true}")
    assert any(one.startswith("agents[0].public: lets anybody use the model") for one in built.said("warning"))
    assert built.snapshot is not None
    assert built.snapshot.a2a is not None
    assert built.snapshot.a2a.as_mcp_tools
