from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from unit.a2a.cards.pretending import Site as Agents
from unit.a2a.cards.pretending import card_of

from pointsman.a2a.cards.keeping import Keeper
from pointsman.a2a.cards.serving import Publisher
from pointsman.a2a.settings import A2aSettings, AgentSettings
from pointsman.access.settings import AccessSettings
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.secret import Secret

MASTER_KEY = "sk-master-canary"
HOST = b"localhost:4000"
HERE = "http://localhost:4000/a2a/agents"
SECRET = AgentSettings(id="secret", name="Secret", url="https://secret.internal", access_groups=("few",))
OPEN = AgentSettings(id="open", name="Open", url="https://open.internal", is_public=True, capabilities=("chat",))


class A2a:
    """Agents that only exist here, and their cards."""

    allowed_hosts: frozenset[str] = frozenset({"gate.example"})
    public_url = ""

    def __init__(self) -> None:
        self.entries = {one.id: one for one in (SECRET, OPEN)}
        self.site = Agents()
        self.tasks = Tasks(logging.getLogger("tests"), 100)
        self.keeper = Keeper(lambda: self.entries, lambda _: self.site, self.shown, self.tasks, clock=lambda: 0.0)
        self.made = Publisher(self.keeper, lambda: 1e9)
        self.configure()
        for one in self.entries.values():
            self.site.put(f"{one.url}/.well-known/agent-card.json", card_of(one.url, name=one.name))

    def configure(self, **more: Any) -> None:
        self.made.configure(A2aSettings(**more), AccessSettings(master_key=Secret(MASTER_KEY)))

    async def shown(self, _settings: AgentSettings) -> Mapping[str, str]:
        return {}

    async def is_public(self, agent_id: str) -> bool:
        return agent_id in self.entries and self.entries[agent_id].is_public

    async def registry(self) -> Any:
        return self

    async def ready(self) -> None: ...

    async def publisher(self) -> Publisher:
        return self.made


class World:
    """The endpoints, as clients reach them."""

    def __init__(self, desk: Any, make_exchange: Any, wire: Any) -> None:
        self.desk = desk
        self.a2a = A2a()
        self.desk.gateway.serving = replace(desk.gateway.serving, a2a=self.a2a)
        self._make_exchange = make_exchange
        self._wire = wire

    async def get(
        self, path: str, query: str = "", *, key: str | None = MASTER_KEY, method: str = "GET", **headers: bytes
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and body."""
        self._wire.sent = b""
        given = {b"host": HOST} | {name.replace("_", "-").encode(): value for name, value in headers.items()}
        if key is not None:
            given[b"authorization"] = b"Bearer " + key.encode()
        exchange = self._make_exchange(method, path, query=query, headers=given)
        await self.desk.gateway.handle(exchange)
        body = self._wire.sent.partition(b"\r\n\r\n")[2]
        return self._wire.status, self._wire.headers, msgspec.json.decode(body) if body else None

    async def plain_key(self) -> str:
        """One that may use only what is open to all."""
        found = await self.desk.post("/key/generate", {})
        return str(found["key"])


@pytest.fixture
async def world(make_desk: Callable[..., Any], make_exchange: Any, wire: Any) -> AsyncIterator[World]:
    made = World(make_desk(), make_exchange, wire)
    yield made
    await made.a2a.tasks.close(1.0)


WELL_KNOWN = [
    f"/a2a/{agents}secret/.well-known/{name}.json" for agents in ("agents/", "") for name in ("agent-card", "agent")
]


@pytest.mark.requirement("a2a.cards")
@pytest.mark.parametrize("path", ["/a2a/agents/secret/card", *WELL_KNOWN])
async def test_a_card_is_found_wherever_clients_look_for_it(world: World, path: str) -> None:
    status, headers, card = await world.get(path, a2a_version=b"1.0")
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert headers["x-card-source"] == "live"
    assert headers["vary"] == "A2A-Version, Authorization"
    assert headers["last-modified"] == "Sun, 09 Sep 2001 01:46:40 GMT"
    assert headers["cache-control"] == "private, max-age=300"
    assert card["supportedInterfaces"][0]["url"] == f"{HERE}/secret"
    assert "internal" not in str(card)


@pytest.mark.requirement("a2a.card-forms")
@pytest.mark.parametrize(
    ("path", "query", "version", "form"),
    [
        ("card", "", b"", "hybrid"),
        ("card", "", b"1.0", "1.0"),
        ("card", "", b"0.3", "0.3"),
        ("card", "", b"9.9", "hybrid"),
        ("card", "A2A-Version=1.0", b"", "1.0"),
        ("card", "version=0.3", b"1.0", "0.3"),
        ("card", "version=hybrid", b"1.0", "hybrid"),
        (".well-known/agent-card.json", "", b"", "hybrid"),
        (".well-known/agent-card.json", "a2a-version=0.3", b"", "0.3"),
        (".well-known/agent.json", "", b"", "0.3"),
        (".well-known/agent.json", "", b"1.0", "1.0"),
    ],
)
async def test_a_card_has_the_form_of_the_version_that_the_client_speaks(
    world: World, path: str, query: str, version: bytes, form: str
) -> None:
    _, _, card = await world.get(f"/a2a/agents/secret/{path}", query, a2a_version=version)
    found = (
        "hybrid" if {"url", "supportedInterfaces"} <= card.keys() else "1.0" if "supportedInterfaces" in card else "0.3"
    )
    assert found == form


@pytest.mark.requirement("a2a.card-caching")
async def test_a_client_that_knows_the_card_is_not_sent_it_again(world: World) -> None:
    _, headers, _ = await world.get("/a2a/agents/secret/card")
    for known in (headers["etag"], f'"x", W/{headers["etag"]}', "*"):
        status, again, body = await world.get("/a2a/agents/secret/card", if_none_match=known.encode())
        assert (status, body) == (304, None)
        assert again["etag"] == headers["etag"]
    status, _, body = await world.get("/a2a/agents/secret/card", if_none_match=b'"other"')
    assert (status, body["name"]) == (200, "Secret")
    status, again, body = await world.get("/a2a/agents/secret/card", method="HEAD")
    assert (status, again["etag"], body) == (200, headers["etag"], None)
    assert world.a2a.site.asked == ["https://secret.internal/.well-known/agent-card.json"]


async def test_the_card_of_the_registration_can_be_seen_beside_that_of_the_agent(world: World) -> None:
    _, headers, card = await world.get("/a2a/agents/open/card", "source=declared&version=1.0")
    assert headers["x-card-source"] == "declared"
    assert [skill["id"] for skill in card["skills"]] == ["chat"]


@pytest.mark.parametrize("query", ["version=2", "version=x", "source=x"])
async def test_a_form_or_source_that_is_none_is_refused(world: World, query: str) -> None:
    assert (await world.get("/a2a/agents/open/card", query))[0] == 400


async def test_a_card_of_an_agent_that_is_not_there_or_not_for_the_caller_is_not_found(world: World) -> None:
    key = await world.plain_key()
    for agent in ("secret", "nobody"):
        for path in ("card", ".well-known/agent-card.json"):
            status, _, body = await world.get(f"/a2a/agents/{agent}/{path}", key=key)
            assert (status, body) == (404, {"detail": f"Agent {agent} not found"})


@pytest.mark.requirement("a2a.public-agents")
async def test_the_card_of_a_public_agent_needs_no_key(world: World) -> None:
    status, headers, card = await world.get("/a2a/agents/open/.well-known/agent-card.json", key=None)
    assert (status, card["name"]) == (200, "Open")
    assert headers["cache-control"] == "public, max-age=300"
    assert (await world.get("/a2a/agents/secret/.well-known/agent-card.json", key=None))[0] == 401


@pytest.mark.requirement("a2a.root-card")
@pytest.mark.parametrize("path", ["/.well-known/agent-card.json", "/.well-known/agent.json"])
async def test_one_agent_has_its_card_at_the_root_of_a_host(world: World, path: str) -> None:
    assert (await world.get(path))[0] == 404
    world.a2a.configure(default_agent="open", hosts={"secret.localhost": "secret"})
    status, _, card = await world.get(path, key=None)
    assert (status, card["name"]) == (200, "Open")
    assert card["url"] == f"{HERE}/open"
    status, _, card = await world.get(path, host=b"secret.localhost:4000")
    assert (status, card["name"]) == (200, "Secret")
    assert (await world.get(path, key=await world.plain_key(), host=b"secret.localhost:4000"))[0] == 404


@pytest.mark.requirement("a2a.public-agents")
@pytest.mark.parametrize("path", ["/.well-known/agent-card.json", "/.well-known/api-catalog"])
async def test_a_page_that_reaches_the_gateway_by_another_name_is_told_nothing_without_a_key(
    world: World, path: str
) -> None:
    world.a2a.configure(default_agent="open")
    assert (await world.get(path, key=None, host=b"evil.example"))[0] == 421
    assert (await world.get(path, key=None, host=b"gate.example"))[0] == 200
    assert (await world.get(path, host=b"evil.example"))[0] == 200


async def test_whoever_has_no_key_is_not_told_of_an_agent_that_needs_one(world: World) -> None:
    world.a2a.configure(default_agent="secret")
    assert (await world.get("/.well-known/agent-card.json", key=None))[0] == 401
    assert (await world.get("/.well-known/agent-card.json", key="sk-wrong"))[0] == 401


async def test_the_agents_are_listed_for_whoever_may_use_them(world: World) -> None:
    async def listed(key: str | None) -> list[str]:
        status, headers, found = await world.get("/.well-known/api-catalog", key=key)
        assert status == 200
        assert headers["content-type"].startswith("application/linkset+json;")
        return [one["href"] for one in found["linkset"][0]["item"]]

    assert await listed(None) == await listed(await world.plain_key()) == [f"{HERE}/open"]
    assert await listed(MASTER_KEY) == [f"{HERE}/secret", f"{HERE}/open"]


async def test_a_key_for_other_paths_is_told_of_no_agents(world: World) -> None:
    found = await world.desk.post("/key/generate", {"allowed_routes": ["/v1/models"]})
    assert (await world.get("/.well-known/api-catalog", key=found["key"]))[0] == 403


@pytest.mark.requirement("a2a.card-signatures")
async def test_the_keys_that_cards_are_signed_with_are_found_by_anybody(world: World) -> None:
    assert (await world.get("/.well-known/jwks.json", key=None))[0] == 404
    from cryptography.hazmat.primitives.asymmetric import ec
    from unit.a2a.cards.keys import pem

    world.a2a.configure(signing_key=pem(ec.generate_private_key(ec.SECP256R1())))
    status, _, found = await world.get("/.well-known/jwks.json", key=None)
    assert status == 200
    assert [one["kty"] for one in found["keys"]] == ["EC"]
    assert "d" not in found["keys"][0]


async def test_what_is_switched_off_is_not_there(world: World) -> None:
    world.desk.gateway.serving = replace(world.desk.gateway.serving, a2a=None)
    for path in ("/a2a/agents/open/card", "/.well-known/agent-card.json", "/.well-known/jwks.json"):
        status, _, body = await world.get(path)
        assert (status, body) == (404, {"detail": "Feature not enabled"})
