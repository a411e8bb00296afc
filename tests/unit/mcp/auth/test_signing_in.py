from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from unit.mcp.auth.authorities import (
    BASE,
    ISSUER,
    ME,
    METADATA,
    RESOURCE,
    TOKEN,
    URL,
    World,
    metadata,
    resource,
    secretly,
    server,
)

from pointsman.errors import UpstreamRejected
from pointsman.mcp.auth.signing_in import MAX_COOKIE, Begun, document, document_at
from pointsman.mcp.auth.tickets import JOURNEY_SECONDS, Journey, Stale
from pointsman.mcp.protocol.oauth import pkce_challenge
from pointsman.mcp.settings import ServerSettings
from pointsman.wire.oauth import Mistrusted

SERVER = server()


async def begin(world: World, settings: ServerSettings = SERVER, **told: Any) -> tuple[Begun, dict[str, str]]:
    ticket = msgspec.structs.replace(world.signing_in.ticket("far", ME), **told)
    begun = await world.signing_in.begin(settings, ME, ticket, BASE)
    return begun, dict(parse_qsl(urlsplit(begun.url).query))


async def come_back(world: World, begun: Begun, query: dict[str, str], settings: ServerSettings = SERVER) -> None:
    journey = world.signing_in.journey(query.get("state", ""), {begun.cookie: begun.value})
    await world.signing_in.finish(settings, journey, query)


@pytest.mark.requirement("mcp.sign-in")
async def test_a_user_goes_to_the_authorization_server_and_comes_back_with_a_code(world: World) -> None:
    world.net.tokens = [{"access_token": "canary-1", "refresh_token": "canary-r", "expires_in": 60}]
    begun, asked = await begin(world, scope="read")
    assert begun.url.startswith(f"{ISSUER}/authorize?")
    assert {name: asked[name] for name in ("response_type", "client_id", "redirect_uri", "resource", "scope")} == {
        "response_type": "code",
        "client_id": "made",
        "redirect_uri": f"{BASE}/mcp/oauth/callback",
        "resource": URL,
        "scope": "read",
    }
    assert asked["code_challenge_method"] == "S256"
    await come_back(world, begun, {"state": asked["state"], "code": "c", "iss": ISSUER})
    form = world.net.forms[0]
    assert (form["grant_type"], form["code"], form["redirect_uri"], form["resource"]) == (
        "authorization_code",
        "c",
        asked["redirect_uri"],
        URL,
    )
    assert pkce_challenge(form["code_verifier"]) == asked["code_challenge"]
    found = await world.grants.get(SERVER, ME)
    assert found is not None
    assert (found.access_token, found.refresh_token, found.scope) == ("canary-1", "canary-r", "read")
    assert found.client.client_secret == "canary-made"


async def test_many_scopes_are_asked_for_and_not_carried(world: World) -> None:
    many = " ".join(f"https://scopes.test/number/{number}" for number in range(300))
    world.net.pages[RESOURCE] = resource(scopes_supported=many.split())
    world.net.tokens = [{"access_token": "canary-1"}]
    begun, asked = await begin(world)
    assert asked["scope"] == many
    assert len(begun.value) < MAX_COOKIE
    await come_back(world, begun, {"state": asked["state"], "code": "c"})
    found = await world.grants.get(SERVER, ME)
    assert found is not None
    assert found.scope == ""


async def test_a_journey_that_no_browser_would_keep_is_not_begun(world: World) -> None:
    world.net.pages[METADATA] = metadata(token_endpoint=f"{TOKEN}/{'x' * MAX_COOKIE}")
    with pytest.raises(Mistrusted, match="longer than a browser"):
        await begin(world)


async def test_no_secret_goes_through_the_browser(world: World) -> None:
    begun, asked = await begin(world, secretly())
    carried = str(world.tickets.open(begun.value, Journey))
    assert asked["state"] in carried
    for text in (begun.url, carried):
        assert "canary" not in text
        assert world.tickets.verifier(asked["state"]) not in text


@pytest.mark.requirement("mcp.sign-in")
async def test_only_the_browser_that_was_sent_away_can_come_back(world: World) -> None:
    world.net.tokens = [{"access_token": "canary-1"}]
    begun, asked = await begin(world)
    other, _ = await begin(world)
    query = {"state": asked["state"], "code": "c"}
    for cookies in ({}, {other.cookie: other.value}, {begun.cookie: other.value}, {begun.cookie: begun.value + "x"}):
        with pytest.raises(Stale):
            world.signing_in.journey(query["state"], cookies)
    with pytest.raises(Stale):
        world.signing_in.journey(asked["state"][:12] + "x", {begun.cookie: begun.value})
    world.time += JOURNEY_SECONDS + 1
    with pytest.raises(Stale, match="too old"):
        await come_back(world, begun, query)
    assert world.net.forms == []


@pytest.mark.requirement("mcp.oauth-trust")
@pytest.mark.parametrize(
    ("promises", "iss", "is_good"),
    [
        (True, ISSUER, True),
        (True, None, False),
        (True, "https://evil.test", False),
        (True, ISSUER + "/", False),
        (False, None, True),
        (False, "https://evil.test", False),
        (False, ISSUER, True),
    ],
)
async def test_a_code_is_taken_only_from_whom_the_user_was_sent_to(
    world: World,
    promises: bool,
    iss: str | None,
    is_good: bool,
) -> None:
    world.net.tokens = [{"access_token": "canary-1"}]
    world.net.pages[METADATA] = metadata(authorization_response_iss_parameter_supported=promises)
    begun, asked = await begin(world)
    query = {"state": asked["state"], "code": "c"} | ({} if iss is None else {"iss": iss})
    if is_good:
        await come_back(world, begun, query)
    else:
        with pytest.raises(Mistrusted, match="the answer"):
            await come_back(world, begun, query)
    assert len(world.net.forms) == is_good


@pytest.mark.parametrize("query", [{"error": "access_denied"}, {}, {"error": "x", "code": "c"}, {"code": ""}])
async def test_a_user_who_says_no_is_not_signed_in(world: World, query: dict[str, str]) -> None:
    begun, asked = await begin(world)
    with pytest.raises(Mistrusted, match="said no"):
        await come_back(world, begun, query | {"state": asked["state"]})
    assert await world.grants.get(SERVER, ME) is None


async def test_tokens_are_not_got_for_a_server_that_is_somewhere_else_by_now(world: World) -> None:
    begun, asked = await begin(world)
    moved = msgspec.structs.replace(SERVER, url="https://evil.test/mcp")
    with pytest.raises(Mistrusted, match="not where it was"):
        await come_back(world, begun, {"state": asked["state"], "code": "c"}, moved)
    with pytest.raises(Mistrusted, match="not where it was"):
        await world.signing_in.finish(
            None, world.signing_in.journey(asked["state"], {begun.cookie: begun.value}), {"code": "c"}
        )


@pytest.mark.parametrize(
    ("auth", "pages", "told", "scope"),
    [
        ({}, {}, {}, None),
        ({}, {RESOURCE: resource(scopes_supported=["a", "b"])}, {}, "a b"),
        ({}, {RESOURCE: resource(scopes_supported=["a", "b"])}, {"scope": "c"}, "c"),
        ({}, {}, {"scope": "write", "held": "read"}, "read write"),
        ({"scopes": ("z",)}, {RESOURCE: resource(scopes_supported=["a"])}, {}, "z"),
        ({"scopes": ("z",)}, {}, {"scope": "c"}, "z c"),
        ({}, {METADATA: metadata(scopes_supported=["offline_access"])}, {"scope": "c"}, "c offline_access"),
        ({}, {METADATA: metadata(scopes_supported=["offline_access"])}, {}, None),
    ],
)
async def test_scopes_are_those_of_the_operator_and_those_that_the_server_asks_for(
    world: World, auth: Any, pages: dict[str, Any], told: dict[str, str], scope: str | None
) -> None:
    world.net.pages |= pages
    _, asked = await begin(world, server(**auth), **told)
    assert asked.get("scope") == scope
    assert asked.get("prompt") == ("consent" if "offline_access" in (scope or "") else None)


@pytest.mark.requirement("mcp.oauth-trust")
@pytest.mark.parametrize("methods", [None, ["plain"]])
async def test_nobody_signs_in_where_codes_are_not_protected(world: World, methods: Any) -> None:
    world.net.pages[METADATA] = metadata(code_challenge_methods_supported=methods)
    with pytest.raises(Mistrusted, match="PKCE"):
        await begin(world)
    world.net.pages[METADATA] = metadata(authorization_endpoint=None)
    with pytest.raises(Mistrusted, match="no authorization endpoint"):
        await begin(world)


@pytest.mark.requirement("mcp.registration")
async def test_after_the_server_has_changed_its_issuer_everything_is_done_anew(world: World) -> None:
    world.net.tokens = [{"access_token": "canary-1"}]
    begun, asked = await begin(world)
    await come_back(world, begun, {"state": asked["state"], "code": "c"})
    other = "https://other.test"
    world.net.pages[RESOURCE] = resource(authorization_servers=[other])
    world.net.pages[f"{other}/.well-known/oauth-authorization-server"] = metadata(other)
    world.net.registered = {"client_id": "anew", "client_secret": "canary-anew"}
    world.net.tokens = [{"access_token": "canary-2"}]
    begun, asked = await begin(world)
    assert asked["client_id"] == "anew"
    await come_back(world, begun, {"state": asked["state"], "code": "c"})
    assert world.net.asked[-1] == f"{other}/token"
    found = await world.grants.get(SERVER, ME)
    assert found is not None
    assert (found.access_token, found.token_endpoint) == ("canary-2", f"{other}/token")


async def test_a_code_that_is_not_taken_has_the_gateway_registered_again(world: World) -> None:
    world.net.tokens = [(401, {"error": "invalid_client"})]
    begun, asked = await begin(world)
    with pytest.raises(UpstreamRejected):
        await come_back(world, begun, {"state": asked["state"], "code": "c"})
    assert world.net.asked[-1] == TOKEN
    await begin(world)
    assert len(world.net.registrations) == 2


async def test_a_document_about_the_gateway_is_named_where_others_can_read_it(world: World) -> None:
    world.net.pages[METADATA] = metadata(client_id_metadata_document_supported=True)
    _, asked = await begin(world)
    assert asked["client_id"] == document_at(BASE) == f"{BASE}/mcp/oauth/client-metadata.json"
    assert document_at("http://localhost:4000") == ""
    found = document(BASE)
    assert (found["client_id"], found["redirect_uris"]) == (asked["client_id"], [asked["redirect_uri"]])
    world.signing_in.document = "https://elsewhere.test/gateway.json"
    _, asked = await begin(world)
    assert asked["client_id"] == "https://elsewhere.test/gateway.json"


def test_a_link_says_what_was_put_into_it(world: World) -> None:
    ticket = world.signing_in.ticket("far", ME)
    assert world.signing_in.read(world.tickets.sign(ticket)) == ticket
    with pytest.raises(Stale):
        world.signing_in.read("x")
