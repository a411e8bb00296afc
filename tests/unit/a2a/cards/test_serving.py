from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from unit.a2a.cards.keys import pem
from unit.a2a.cards.pretending import Site, card_of

from pointsman.a2a.base import Call
from pointsman.a2a.cards.keeping import Keeper
from pointsman.a2a.cards.serving import MAX_SHOWN, Publisher
from pointsman.a2a.cards.signing import Covers, signatures_of
from pointsman.a2a.protocol.operations import Operation, Version
from pointsman.a2a.settings import A2aSettings, AgentSettings, CardForm
from pointsman.access.caller import NOBODY
from pointsman.access.settings import AccessSettings, TokenSettings
from pointsman.errors import Unseen, UpstreamBroken
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.secret import Secret

URL = "https://agent.example"
PLACE = f"{URL}/.well-known/agent-card.json"
BASE = "https://gate.example"
CLOSED = AccessSettings(master_key=Secret("sk-x"))
KEY = pem(ec.generate_private_key(ec.SECP256R1()))


class World:
    """A publisher and what it stands on."""

    def __init__(self) -> None:
        self.site = Site()
        self.time = 1e9
        self.agent = AgentSettings(id="a", name="A", url=URL)
        self.tasks = Tasks(logging.getLogger("tests"), 100)
        self.keeper = Keeper(
            lambda: {"a": self.agent}, lambda _: self.site, self.shown, self.tasks, clock=lambda: self.time
        )
        self.publisher = Publisher(self.keeper, lambda: self.time)
        self.configure()
        self.site.put(PLACE, card_of(f"{URL}/rpc"))

    async def shown(self, _settings: AgentSettings) -> Mapping[str, str]:
        return {}

    def configure(self, access: AccessSettings = CLOSED, **more: Any) -> None:
        self.publisher.configure(A2aSettings(**more), access)

    async def card(self, form: CardForm | None = None, base: str = BASE) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((await self.publisher.card(self.agent, form, base)).body)
        return found

    async def again(self) -> None:
        """Have the card fetched anew."""
        self.time += 100_000
        await self.keeper.live("a")
        await self.tasks.settle(1.0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.tasks.close(1.0)


@pytest.mark.requirement("a2a.card-forms")
async def test_a_card_is_given_in_the_form_that_is_asked_for_or_the_one_that_is_set(world: World) -> None:
    assert "url" not in await world.card("1.0")
    assert "supportedInterfaces" not in await world.card("0.3")
    assert (await world.card()).keys() >= {"url", "supportedInterfaces"}
    world.configure(card_form="1.0")
    assert "url" not in await world.card()


@pytest.mark.requirement("a2a.card-caching")
async def test_a_card_that_has_not_changed_is_the_same_bytes_with_the_same_tag(world: World) -> None:
    first = await world.publisher.card(world.agent, "1.0", BASE)
    assert (first.cache, first.source) == ("private, max-age=300", "live")
    assert first.modified == "Sun, 09 Sep 2001 01:46:40 GMT"
    assert await world.publisher.card(world.agent, "1.0", BASE) is first
    world.agent = AgentSettings(id="a", name="A", url=URL)
    again = await world.publisher.card(world.agent, "1.0", BASE)
    assert again == first
    assert (await world.publisher.card(world.agent, "0.3", BASE)).etag != first.etag
    assert (await world.publisher.card(world.agent, "1.0", "https://other.example")).etag != first.etag


@pytest.mark.requirement("a2a.card-caching")
async def test_a_card_that_has_changed_has_another_tag_and_date(world: World) -> None:
    first = await world.publisher.card(world.agent, "1.0", BASE)
    world.site.put(PLACE, card_of(f"{URL}/rpc", name="New"))
    await world.again()
    second = await world.publisher.card(world.agent, "1.0", BASE)
    assert json.loads(second.body)["name"] == "New"
    assert second.etag != first.etag
    assert second.modified != first.modified


async def test_where_a_card_comes_from_is_told_and_how_long_it_is_good(world: World) -> None:
    await world.card()
    world.site.is_away = True
    await world.again()
    stale = await world.publisher.card(world.agent, None, BASE)
    assert (stale.source, stale.cache) == ("stale", "private, max-age=30")
    declared = await world.publisher.card(world.agent, None, BASE, "declared")
    assert (declared.source, json.loads(declared.body)["name"]) == ("declared", "A")


async def test_what_is_kept_is_bounded(world: World) -> None:
    first = await world.publisher.card(world.agent, "1.0", BASE)
    for index in range(MAX_SHOWN):
        await world.publisher.card(world.agent, "1.0", f"http://{index}")
    assert await world.publisher.card(world.agent, "1.0", BASE) is not first
    last = await world.publisher.card(world.agent, "1.0", f"http://{MAX_SHOWN - 1}")
    assert await world.publisher.card(world.agent, "1.0", f"http://{MAX_SHOWN - 1}") is last


@pytest.mark.parametrize(
    ("access", "is_public", "names"),
    [
        (AccessSettings(), False, None),
        (CLOSED, True, None),
        (CLOSED, False, ["bearer", "apiKey"]),
        (
            AccessSettings(
                master_key=Secret("k"),
                key_header="x-our-key",
                tokens=TokenSettings(key_urls=(), issuers=("https://login.example/", "https://b.example")),
            ),
            False,
            ["bearer", "apiKey", "oidc", "oidc1"],
        ),
    ],
)
async def test_a_card_says_how_clients_are_let_in(
    world: World, access: AccessSettings, is_public: bool, names: list[str] | None
) -> None:
    world.configure(access)
    world.agent = AgentSettings(id="a", name="A", url=URL, is_public=is_public)
    found = await world.card("1.0")
    assert (list(found["securitySchemes"]) if names else found.get("securitySchemes")) == names
    shown = await world.publisher.card(world.agent, "1.0", BASE)
    assert shown.cache.startswith("private" if names else "public")
    if access.key_header:
        assert found["securitySchemes"]["apiKey"]["apiKeySecurityScheme"]["name"] == "x-our-key"
        issuer = found["securitySchemes"]["oidc"]["openIdConnectSecurityScheme"]
        assert issuer == {"openIdConnectUrl": "https://login.example/.well-known/openid-configuration"}


async def test_a_card_that_is_not_to_be_rewritten_is_passed_on_as_it_is(world: World) -> None:
    world.agent = AgentSettings(id="a", name="A", url=URL, rewrites_card=False)
    body = json.dumps({**card_of(URL), "x": 1}, indent=2).encode()
    world.site.put(PLACE, body)
    assert (await world.publisher.card(world.agent, "0.3", BASE)).body == body
    declared = await world.publisher.card(world.agent, "1.0", BASE, "declared")
    assert URL not in declared.body.decode()


@pytest.mark.requirement("a2a.card-signatures")
@pytest.mark.parametrize("form", ["1.0", "0.3", "hybrid"])
async def test_a_card_is_signed_with_the_gateways_key(world: World, form: CardForm) -> None:
    world.configure(signing_key=KEY)
    keys = world.publisher.keys()
    assert keys is not None
    card = await world.card(form)
    found = signatures_of(card)
    assert {one.jku for one in found} == {f"{BASE}/.well-known/jwks.json"}
    for one in found:
        part = Covers(card).by(one, keys["keys"][0])
        assert part is not None
        assert HERE_OF[form](part)
    shown = await world.publisher.card(world.agent, form, BASE)
    assert shown.etag.startswith('W/"')
    unsigned = Publisher(world.keeper, lambda: 0.0)
    unsigned.configure(A2aSettings(), CLOSED)
    assert (await unsigned.card(world.agent, form, BASE)).etag[1:-1] in shown.etag


HERE_OF = {
    "1.0": lambda part: part["supportedInterfaces"][0]["url"] == f"{BASE}/a2a/agents/a",
    "hybrid": lambda part: part["supportedInterfaces"][0]["url"] == f"{BASE}/a2a/agents/a",
    "0.3": lambda part: part["url"] == f"{BASE}/a2a/agents/a",
}


async def test_a_key_that_is_none_is_told_of_and_cards_go_on(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.configure(signing_key=Secret("canary"))
    assert "cards are not signed: the key that cards are signed with cannot be read" in caplog.text
    assert "canary" not in caplog.text
    assert world.publisher.keys() is None
    assert "signatures" not in await world.card()


async def test_an_agent_that_is_gone_has_no_card(world: World) -> None:
    with pytest.raises(Unseen):
        await world.publisher.card(AgentSettings(id="b", name="B", url=URL), None, BASE)


@pytest.mark.parametrize(
    ("host", "agent"),
    [
        ("gate.example", "default"),
        ("Demo.Example", "demo"),
        ("demo.example:4000", "demo"),
        ("other.example:4000", "other"),
        ("other.example", "default"),
        ("[::1]:4000", "six"),
        ("", "default"),
    ],
)
def test_a_host_can_stand_for_an_agent(world: World, host: str, agent: str) -> None:
    hosts = {"demo.example": "demo", "other.example:4000": "other", "[::1]": "six"}
    world.configure(default_agent="default", hosts=hosts)
    assert world.publisher.agent_at(host) == agent


def test_the_gateway_is_where_it_says_or_where_a_client_has_found_it(world: World) -> None:
    assert world.publisher.base({b"host": b"found:4000"}) == "http://found:4000"
    world.configure(public_url="https://said.example/")
    assert world.publisher.base({b"host": b"found:4000"}) == "https://said.example"


def extended(version: Version) -> Call:
    return Call(
        caller=NOBODY,
        agent="a",
        operation=Operation.EXTENDED_CARD,
        version=version,
        params=b"{}",
        headers={b"host": b"gate.example"},
    )


@pytest.mark.requirement("a2a.leaks")
@pytest.mark.parametrize("version", ["1.0", "0.3"])
def test_an_extended_card_leads_to_the_gateway_too(world: World, version: Version) -> None:
    told = card_of(f"{URL}/rpc", name="More", description=f"At {URL}")
    if version == "0.3":
        del told["supportedInterfaces"]
        told |= {"url": f"{URL}/rpc", "protocolVersion": "0.3.0"}
    found = json.loads(world.publisher.extended(extended(version), world.agent, json.dumps(told).encode()))
    assert found["name"] == "More"
    assert ("url" in found) is (version == "0.3")
    assert "agent.example" not in json.dumps(found)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"skills": [1]}', b"\xff"])
def test_an_extended_card_that_is_none_is_the_agents_fault(world: World, body: bytes) -> None:
    with pytest.raises(UpstreamBroken, match="extended card"):
        world.publisher.extended(extended("1.0"), world.agent, body)


def test_the_agents_are_listed_for_whoever_looks_for_apis(world: World) -> None:
    here = f"{BASE}/a2a/agents/a"
    assert world.publisher.catalog([world.agent], BASE)["linkset"] == [
        {"anchor": f"{BASE}/.well-known/api-catalog", "item": [{"href": here}]},
        {
            "anchor": here,
            "service-desc": [{"href": f"{here}/.well-known/agent-card.json", "type": "application/json"}],
        },
    ]
