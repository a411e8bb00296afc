from __future__ import annotations

from typing import Any

import msgspec
import pytest
from unit.mcp.auth.authorities import AWAY, ISSUER, ME, URL, World, metadata, secretly, server

from pointsman.errors import UpstreamUnreachable
from pointsman.mcp.auth.clients import MAX_ADDRESSES, Client, configured
from pointsman.mcp.auth.tickets import Journey
from pointsman.mcp.auth.vault import CLIENTS
from pointsman.mcp.protocol.oauth import Issuer
from pointsman.mcp.settings import ServerSettings
from pointsman.wire.oauth import Mistrusted

BACK = "https://gateway.test/back"
DOCUMENT = "https://gateway.test/document.json"


def issuer(name: str = ISSUER, **members: Any) -> Issuer:
    return msgspec.convert(metadata(name, **members), Issuer)


def journey(client: Client, redirect_uri: str = BACK) -> Journey:
    return Journey(
        state="s",
        server="far",
        url=URL,
        caller=ME.name,
        user=None,
        expires=0,
        issuer=client.issuer,
        token_endpoint="",
        names_issuer=False,
        redirect_uri=redirect_uri,
        client_id=client.client_id,
        method=client.method,
        scope=None,
        resource=URL,
    )


async def get(world: World, settings: ServerSettings, found: Issuer, document: str = "") -> Client:
    return await world.clients.of(settings, found, world.net, BACK, document)


@pytest.mark.requirement("mcp.registration")
async def test_the_gateway_is_registered_once_with_each_issuer(world: World) -> None:
    first = await get(world, server(), issuer())
    assert (first.client_id, first.client_secret, first.method) == ("made", "canary-made", "client_secret_basic")
    _, others = world.process()
    assert await others.of(server(), issuer(), world.net, BACK, "") == first
    [(url, told)] = world.net.registrations
    assert url == f"{ISSUER}/register"
    assert (told["redirect_uris"], told["application_type"]) == ([BACK], "web")
    world.net.registered = (201, {"client_id": "another"})
    other = issuer("https://other.test", token_endpoint_auth_methods_supported=["none"])
    assert (await get(world, server(), other)).client_id == "another"
    assert await world.clients.again(server(), journey(first)) == first
    for row in await world.store.records.find(CLIENTS, {}):
        assert "canary" not in str(row.doc)


async def test_a_document_is_enough_where_it_is_known_what_that_is(world: World) -> None:
    knows = issuer(client_id_metadata_document_supported=True)
    client = await get(world, server(), knows, DOCUMENT)
    assert (client.client_id, client.method) == (DOCUMENT, "none")
    assert await world.clients.again(server(), journey(client)) == client
    assert world.net.registrations == []
    assert (await get(world, server(), issuer(), DOCUMENT)).client_id == "made"
    assert (await get(world, server(), knows, "")).client_id == "made"


@pytest.mark.requirement("mcp.oauth-trust")
async def test_what_an_operator_has_got_from_one_issuer_is_not_shown_to_another(world: World) -> None:
    client = await get(world, secretly(), issuer())
    assert (client.client_id, client.client_secret) == ("mine", "canary-client")
    assert await world.clients.again(secretly(), journey(client)) == client
    with pytest.raises(Mistrusted, match="is not for"):
        await get(world, secretly(), issuer("https://evil.test"))
    assert (await get(world, server(client_id="fresh"), issuer("https://evil.test"))).client_id == "fresh"
    assert world.net.registrations == []


@pytest.mark.parametrize(
    ("methods", "secret", "method"),
    [
        (None, True, "client_secret_basic"),
        (["client_secret_post", "none"], True, "client_secret_post"),
        (["none"], True, "none"),
        (None, False, "none"),
        (["client_secret_basic"], False, "none"),
    ],
)
def test_a_client_shows_who_it_is_as_its_issuer_wants(methods: Any, secret: bool, method: str) -> None:
    settings = secretly() if secret else server(client_id="mine")
    found = configured(settings.auth, issuer(token_endpoint_auth_methods_supported=methods))
    assert found.method == method


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((400, {"error": "invalid_redirect_uri"}), "does not register the gateway: invalid_redirect_uri"),
        ({"client_id": "x", "token_endpoint_auth_method": "private_key_jwt"}, "not possible"),
        ({"client_id": "x", "token_endpoint_auth_method": "client_secret_post"}, "not possible"),
    ],
)
async def test_a_registration_that_is_of_no_use_is_told_so_and_not_kept(world: World, answer: Any, why: str) -> None:
    world.net.registered = answer
    with pytest.raises(Mistrusted, match=why):
        await get(world, server(), issuer())
    assert await world.store.records.count(CLIENTS) == 0


async def test_where_nobody_is_registered_by_itself_a_client_has_to_be_configured(world: World) -> None:
    with pytest.raises(Mistrusted, match="configure it"):
        await get(world, server(), issuer(registration_endpoint=None))


async def test_whoever_is_away_is_asked_again(world: World) -> None:
    world.net.registered = (503, None)
    with pytest.raises(UpstreamUnreachable):
        await get(world, server(), issuer())
    world.net.registered = AWAY
    with pytest.raises(UpstreamUnreachable):
        await get(world, server(), issuer())


async def test_a_client_that_is_not_known_there_any_more_is_made_again(world: World) -> None:
    client = await get(world, server(), issuer())
    await world.clients.forget(journey(client))
    with pytest.raises(Mistrusted, match="begin again"):
        await world.clients.again(server(), journey(client))
    world.net.registered = {"client_id": "newer", "client_secret": "canary"}
    assert (await get(world, server(), issuer())).client_id == "newer"
    with pytest.raises(Mistrusted, match="begin again"):
        await world.clients.again(server(), journey(client))


@pytest.mark.requirement("mcp.registration")
async def test_however_many_names_clients_have_for_the_gateway_it_is_registered_by_some_of_them(world: World) -> None:
    async def at(host: str) -> Client:
        return await world.clients.of(server(), issuer(), world.net, f"https://{host}/back", "")

    for number in range(MAX_ADDRESSES):
        await at(f"{number}.test")
    with pytest.raises(Mistrusted, match="public_url"):
        await at("more.test")
    assert len(world.net.registrations) == await world.store.records.count(CLIENTS) == MAX_ADDRESSES
    # What there is goes on, and is made again; the configured address is no client's to choose.
    first = await at("0.test")
    await world.clients.forget(journey(first, "https://0.test/back"))
    await at("0.test")
    world.clients.home = "https://gate.test"
    await at("gate.test")
    assert len(world.net.registrations) == MAX_ADDRESSES + 2
