from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from pointsman.a2a.base import Health, Interface, LiveCard
from pointsman.a2a.registry import AGENTS, Registry
from pointsman.a2a.settings import A2aSettings, AgentSettings, AuthSettings
from pointsman.errors import UpstreamUnreachable
from pointsman.store.base import Change
from pointsman.store.sealing import Sealer
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.secret import Secret

Make = Callable[..., tuple[Any, Any]]
SEED = {
    "agent_id": "my-agent",
    "name": "My Agent",
    "description": "A helpful agent",
    "url": "http://agent-backend:8080",
    "capabilities": ["chat", "code"],
    "metadata": {"team": "a"},
}
CONFIG = A2aSettings(
    agents=(
        AgentSettings(
            id="house",
            name="House",
            url="http://house/a2a?key=canary-query",
            auth=AuthSettings(kind="bearer_token", value=Secret("canary-config")),
            access_groups=("dev",),
        ),
    ),
)
LIVE = LiveCard(
    card={"name": "Find Me", "skills": [{"id": "forecast", "tags": ["weather"]}]},
    interfaces=(Interface(url="http://agent-backend:8080/rpc", binding="jsonrpc", version="0.3"),),
    state="live",
    verdict="valid",
)


class Cards:
    """What agents say of themselves that only exist here."""

    def __init__(self) -> None:
        self.cards: dict[str, LiveCard] = {}
        self.healths: dict[str, Health] = {}
        self.looked: list[AgentSettings] = []

    def peek(self, agent: str) -> LiveCard | None:
        return self.cards.get(agent)

    def health(self, agent: str) -> Health:
        return self.healths.get(agent, Health())

    async def look(self, settings: AgentSettings) -> LiveCard:
        self.looked.append(settings)
        if settings.url != SEED["url"]:
            raise UpstreamUnreachable("nobody is there")
        return LIVE


class A2a:
    """The A2A gateway as far as its registry needs it."""

    allowed_hosts: frozenset[str] = frozenset()
    public_url = ""

    def __init__(self, admin: Any, settings: A2aSettings) -> None:
        self.tasks = Tasks(logging.getLogger("tests"), 100)
        self.known = Cards()
        self._admin = admin
        self._registry = Registry(AGENTS, self._feed, self.tasks, clock=asyncio.get_running_loop().time)
        self._registry.configure(settings)

    async def _feed(self) -> Any:
        return self._admin

    async def registry(self) -> Registry:
        return self._registry

    async def cards(self) -> Cards:
        return self.known

    async def is_public(self, _agent_id: str) -> bool:
        return False


@pytest.fixture
async def make_a2a(make_desk: Callable[..., Any]) -> AsyncIterator[Make]:
    """A desk, and the gateway behind its endpoints."""
    made: list[A2a] = []

    def make(settings: A2aSettings | None = None) -> tuple[Any, A2a]:
        desk = make_desk()
        desk.admin = replace(desk.admin, sealer=Sealer(Secret("a salt that is long enough")))
        a2a = A2a(desk.admin, settings or A2aSettings())
        made.append(a2a)
        desk.gateway.serving = replace(desk.gateway.serving, a2a=a2a)
        return desk, a2a

    yield make
    for one in made:
        await one.tasks.close(1.0)


@pytest.mark.requirement("a2a.registry")
async def test_an_agent_is_registered_shown_and_removed_as_the_seed_has_it(make_a2a: Make) -> None:
    desk, _ = make_a2a()
    assert await desk.get("/a2a/agents") == {"agents": []}
    assert await desk.post("/a2a/agents", SEED) == {"status": "registered", "agent_id": "my-agent"}
    (listed,) = (await desk.get("/a2a/agents"))["agents"]
    assert {name: listed[name] for name in SEED} == SEED
    shown = await desk.get("/a2a/agents/my-agent")
    assert {name: shown[name] for name in SEED} == SEED
    assert (shown["status"], shown["card_source"], shown["configured_in"]) == ("unknown", None, "api")
    gone = await desk.call("DELETE", "/a2a/agents/my-agent")
    assert (gone.status, gone.json) == (200, {"status": "unregistered", "agent_id": "my-agent"})
    for method in ("GET", "DELETE"):
        missing = await desk.call(method, "/a2a/agents/my-agent")
        assert (missing.status, missing.json) == (404, {"detail": "Agent my-agent not found"})


@pytest.mark.requirement("a2a.credentials")
async def test_a_credential_goes_in_and_never_comes_out(make_a2a: Make) -> None:
    desk, a2a = make_a2a(CONFIG)
    given = {"auth_type": "bearer_token", "auth": {"token": "canary-token"}, "static_headers": {"x-key": "canary-head"}}
    await desk.post("/a2a/agents", SEED | given)
    told = [await desk.get(f"/a2a/agents{path}") for path in ("", "/my-agent", "/house")]
    told.append(await desk.call("PATCH", "/a2a/agents/my-agent", {"description": "x"}))
    told.append(await desk.get("/v1/agents"))
    (row,) = desk.records.tables["agents"].values()
    assert "canary" not in str([told, row.doc])
    assert (await a2a.registry()).entries["my-agent"].auth.value == Secret("canary-token")
    await desk.call("DELETE", "/a2a/agents/my-agent")
    assert "canary" not in str(desk.records.log)
    assert [one.what for one in desk.records.log][-3:] == ["agent.new", "agent.update", "agent.delete"]
    assert told[1]["static_headers"] == ["x-key"]


@pytest.mark.requirement("a2a.ids")
async def test_an_id_is_taken_by_another_agent_of_the_config_too(make_a2a: Make) -> None:
    desk, _ = make_a2a(CONFIG)
    await desk.post("/a2a/agents", SEED)
    for name in ("my-agent", "house"):
        taken = await desk.call("POST", "/a2a/agents", SEED | {"agent_id": name})
        assert (taken.status, taken.json["error"]["param"]) == (409, "agent_id")


@pytest.mark.requirement("a2a.registration-guard")
@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"agent_id": "tasks"}, "agent_id"),
        ({"agent_id": "a/b"}, "agent_id"),
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": "http://169.254.169.254/"}, "url"),
        ({"url": "nonsense"}, "url"),
        ({"auth_type": "api_key"}, "auth"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(make_a2a: Make, members: Any, param: str) -> None:
    desk, _ = make_a2a(CONFIG)
    answered = await desk.call("POST", "/a2a/agents", SEED | members)
    assert (answered.status, answered.json["error"]["param"]) == (400, param)
    assert desk.records.tables["agents"] == {}


async def test_what_is_named_is_changed_or_all_is_replaced(make_a2a: Make) -> None:
    desk, _ = make_a2a()
    await desk.post("/a2a/agents", SEED | {"auth_type": "bearer_token", "auth": {"token": "t"}})
    changed = await desk.call("PATCH", "/a2a/agents/my-agent", {"capabilities": [], "access_groups": ["dev"]})
    assert changed.status == 200
    assert (changed.json["capabilities"], changed.json["name"], changed.json["access_groups"]) == (
        [],
        SEED["name"],
        ["dev"],
    )
    replaced = await desk.call("PUT", "/a2a/agents/my-agent", {"url": "http://elsewhere"})
    assert (replaced.json["name"], replaced.json["auth_type"], replaced.json["metadata"]) == ("my-agent", "none", {})
    assert (await desk.get("/a2a/agents/my-agent"))["url"] == "http://elsewhere"
    other = await desk.call("PATCH", "/a2a/agents/my-agent", {"agent_id": "b"})
    assert (other.status, other.json["error"]["param"]) == (400, "agent_id")
    assert (await desk.call("PATCH", "/a2a/agents/nobody", {})).status == 404


async def test_the_agents_of_the_config_are_changed_there(make_a2a: Make) -> None:
    desk, _ = make_a2a(CONFIG)
    for method, path in (("PUT", "/a2a"), ("PATCH", "/a2a"), ("DELETE", "/a2a"), ("DELETE", "/v1")):
        answered = await desk.call(method, f"{path}/agents/house", {"url": "http://h"})
        assert answered.status == 400
        assert "config" in answered.json["error"]["message"]


@pytest.mark.requirement("a2a.search")
async def test_agents_are_found_by_what_they_can_do_page_by_page(make_a2a: Make) -> None:
    desk, a2a = make_a2a()
    for name, more in (("a", {"capabilities": ["chat"]}), ("b", {"description": "Books flights"}), ("c", {})):
        await desk.post("/a2a/agents", {"agent_id": name, "url": "http://h", **more})
    a2a.known.cards["c"] = LIVE
    a2a.known.healths["c"] = Health(state="healthy", checked_at=5.0)

    async def found(query: str) -> list[str]:
        return [one["agent_id"] for one in (await desk.get("/a2a/agents", query))["agents"]]

    assert await found("capability=chat") == ["a"]
    assert await found("skill=forecast") == await found("tag=weather") == await found("healthy=true") == ["c"]
    assert await found("q=book%20a%20flight") == ["b"]
    first = await desk.get("/a2a/agents", "limit=2")
    assert [one["agent_id"] for one in first["agents"]] == ["a", "b"]
    rest = await desk.get("/a2a/agents", f"limit=2&cursor={first['next_cursor']}")
    assert ([one["agent_id"] for one in rest["agents"]], "next_cursor" in rest) == (["c"], False)
    shown = await desk.get("/a2a/agents/c")
    assert (shown["status"], shown["checked_at"], shown["card_source"], shown["card_signature"]) == (
        "healthy",
        5.0,
        "live",
        "valid",
    )
    assert shown["protocol_versions"] == ["0.3"]
    assert (await desk.call("GET", "/a2a/agents", query="limit=x")).status == 400


@pytest.mark.requirement("a2a.permissions")
async def test_a_key_sees_the_agents_that_it_may_ask_without_where_they_are(make_a2a: Make) -> None:
    desk, a2a = make_a2a(CONFIG)
    a2a.known.healths["house"] = Health(state="unhealthy", error="no route to http://house")
    await desk.post("/a2a/agents", SEED)
    granted = await desk.key(object_permission={"agent_access_groups": ["dev"]})
    (seen,) = (await desk.get("/a2a/agents", key=granted))["agents"]
    assert (seen["agent_id"], seen["url"], seen["last_error"]) == ("house", "", "the agent cannot be reached")
    a2a.known.healths["house"] = Health(state="healthy", error="http://house/card is no JSON")
    shown = await desk.get("/a2a/agents/house", key=granted)
    assert "replicas" not in shown
    assert shown["last_error"] == "its card cannot be used"
    assert (await desk.get("/a2a/agents/house"))["last_error"] == "http://house/card is no JSON"
    assert "http" not in str([seen, shown, await desk.get("/v1/agents", key=granted)])
    plain = await desk.key()
    assert await desk.get("/a2a/agents", key=plain) == {"agents": []}
    hidden, missing = [await desk.call("GET", f"/a2a/agents/{name}", key=plain) for name in ("house", "nobody")]
    assert (hidden.status, missing.status) == (404, 404)
    assert hidden.json == {"detail": "Agent house not found"}
    assert (await desk.call("POST", "/a2a/agents", SEED, key=granted)).status == 403


@pytest.mark.requirement("a2a.grants")
async def test_a_key_grants_no_agents_that_it_may_not_ask(make_a2a: Make) -> None:
    desk, _ = make_a2a(CONFIG)
    maker = await desk.key(object_permission={"agents": ["house"]}, user_id="u")
    more = {"user_id": "u", "object_permission": {"agents": ["house", "my-agent"]}}
    assert (await desk.call("POST", "/key/generate", more, key=maker)).status == 403
    same = {"user_id": "u", "object_permission": {"agents": ["house"]}}
    assert (await desk.call("POST", "/key/generate", same, key=maker)).status == 200


async def test_a_row_that_cannot_be_used_is_told_and_can_be_removed(make_a2a: Make) -> None:
    desk, _ = make_a2a()
    await desk.records.change([Change("agents", "broken", {"name": 5})])
    (told,) = (await desk.get("/a2a/agents"))["agents"]
    assert (told["agent_id"], told["status"]) == ("broken", "unhealthy")
    assert "name" in told["last_error"]
    assert await desk.get("/a2a/agents", key=await desk.key()) == {"agents": []}
    assert (await desk.call("PATCH", "/a2a/agents/broken", {"name": "x"})).status == 400
    assert (await desk.call("POST", "/a2a/agents", SEED | {"agent_id": "broken"})).status == 409
    assert (await desk.call("DELETE", "/a2a/agents/broken")).status == 200


@pytest.mark.requirement("a2a.discover")
async def test_what_an_agent_says_of_itself_is_shown_and_not_registered(make_a2a: Make) -> None:
    desk, a2a = make_a2a()
    found = await desk.post("/a2a/agents:discover", {"url": SEED["url"]})
    assert (found["agent_id"], found["card"], found["card_signature"]) == ("Find-Me", LIVE.card, "valid")
    assert found["interfaces"] == [
        {"url": "http://agent-backend:8080/rpc", "binding": "jsonrpc", "protocol_version": "0.3"}
    ]
    assert (a2a.known.looked[0].source, a2a.known.looked[0].allow_private) == ("api", False)
    assert desk.records.tables["agents"] == {}
    inside = await desk.call("POST", "/a2a/agents:discover", {"url": "http://127.0.0.1:1/"})
    assert (inside.status, len(a2a.known.looked)) == (400, 1)
    assert (await desk.call("POST", "/a2a/agents:discover", {"url": "http://elsewhere"})).status == 502
    for body in ({}, {"model": "m"}):
        assert (await desk.call("POST", "/a2a/agents:discover", body)).status == 400
    assert (await desk.call("POST", "/a2a/agents:discover", SEED, key=await desk.key())).status == 403


@pytest.mark.requirement("a2a.litellm-registry")
async def test_agents_are_registered_and_told_as_litellm_does(make_a2a: Make) -> None:
    desk, a2a = make_a2a(CONFIG)
    card = {"name": "Hello", "url": "http://agent:9999/", "version": "1.0.0", "skills": [], "protocolVersion": "1.0"}
    made = await desk.post("/v1/agents", {"agent_name": "hello agent", "agent_card_params": card, "litellm_params": {}})
    assert (made["agent_id"], made["agent_name"]) == ("hello-agent", "hello agent")
    assert (made["agent_card_params"]["url"], made["agent_card_params"]["version"]) == ("http://agent:9999/", "1.0.0")
    assert (await a2a.registry()).entries["hello-agent"].url == "http://agent:9999/"
    listed = await desk.get("/v1/agents")
    assert [one["agent_id"] for one in listed] == ["house", "hello-agent"]
    assert await desk.get("/v1/agents/hello-agent") == listed[1]
    refused = await desk.call("POST", "/v1/agents", {"agent_name": "b", "agent_card_params": card, "tpm_limit": 3})
    assert (refused.status, refused.json["error"]["param"]) == (400, "tpm_limit")
    assert (await desk.call("POST", "/v1/agents", [1])).status == 400
    renamed = await desk.call("PATCH", "/v1/agents/hello-agent", {"agent_name": "other"})
    assert (renamed.status, renamed.json["agent_name"], renamed.json["agent_card_params"]["version"]) == (
        200,
        "other",
        "1.0.0",
    )
    moved = await desk.call("PATCH", "/v1/agents/hello-agent", {"agent_card_params": {"url": "http://moved"}})
    assert (moved.json["agent_name"], moved.json["agent_card_params"]["url"]) == ("other", "http://moved")
    whole = {"agent_name": "third", "agent_card_params": {"url": "http://third"}}
    replaced = await desk.call("PUT", "/v1/agents/hello-agent", whole)
    assert replaced.json["agent_card_params"] == {"name": "third", "description": "", "url": "http://third"}
    gone = await desk.call("DELETE", "/v1/agents/hello-agent")
    assert (gone.status, gone.json) == (200, {"message": "Agent hello-agent deleted successfully"})
    assert (await desk.call("GET", "/v1/agents/hello-agent")).status == 404


@pytest.mark.requirement("a2a.off")
async def test_where_it_is_switched_off_nothing_is_there(desk: Any) -> None:
    for method, path in (
        ("GET", "/a2a/agents"),
        ("POST", "/a2a/agents"),
        ("GET", "/a2a/agents/a"),
        ("POST", "/a2a/agents:discover"),
        ("GET", "/v1/agents"),
    ):
        answered = await desk.call(method, path, {} if method == "POST" else None)
        assert (answered.status, answered.json) == (404, {"detail": "Feature not enabled"})
