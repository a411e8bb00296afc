from __future__ import annotations

import asyncio
from typing import Any

import pytest
from unit.mcp.auth.authorities import (
    ISSUER,
    ME,
    METADATA,
    OTHER,
    RESOURCE,
    TOKEN,
    URL,
    World,
    metadata,
    resource,
    secretly,
)

from pointsman.errors import UpstreamRejected, UpstreamUnreachable
from pointsman.mcp.auth.client_credentials import PAUSE, ClientCredentials


def credential(world: World, **auth: Any) -> ClientCredentials:
    settings = secretly(grant="client_credentials", **auth)
    return ClientCredentials(settings, world.clients, lambda _: world.net, world.tasks, world.now)


@pytest.mark.requirement("mcp.client-credentials")
async def test_one_token_is_got_for_all_callers_and_renewed_before_it_ends(world: World) -> None:
    world.net.tokens = [{"access_token": "canary-1", "expires_in": 3600}, {"access_token": "canary-2"}]
    mine = credential(world, token_url=TOKEN, scopes=("a", "b"))
    assert await mine.lines(ME) == await mine.lines(OTHER) == {"authorization": "Bearer canary-1"}
    assert world.net.forms == [{"grant_type": "client_credentials", "scope": "a b"}]
    assert world.net.headers[0]["authorization"].startswith("Basic ")
    world.time += 3590
    assert await mine.lines(ME) == {"authorization": "Bearer canary-2"}


@pytest.mark.requirement("mcp.client-credentials")
async def test_who_gives_tokens_is_found_out_when_the_server_asks_for_one(world: World) -> None:
    world.net.tokens = [{"access_token": "canary-1"}]
    world.net.pages[METADATA] = metadata(
        scopes_supported=["offline_access"], token_endpoint_auth_methods_supported=["client_secret_post"]
    )
    mine = credential(world)
    assert await mine.lines(ME) == {}
    assert await mine.renew(ME, 401, f'Bearer scope="read", resource_metadata="{RESOURCE}"')
    assert await mine.lines(ME) == {"authorization": "Bearer canary-1"}
    assert world.net.forms == [
        {
            "grant_type": "client_credentials",
            "scope": "read",
            "resource": URL,
            "client_id": "mine",
            "client_secret": "canary-client",
        }
    ]
    assert world.net.asked == [RESOURCE, METADATA, TOKEN]


async def test_those_who_come_first_together_wait_for_one_discovery(world: World) -> None:
    world.net.tokens = [{"access_token": "canary-1"}]
    mine = credential(world)

    async def one() -> Any:
        assert await mine.renew(ME, 401, "Bearer")
        return await mine.lines(ME)

    assert await asyncio.gather(*(one() for _ in range(2))) == [{"authorization": "Bearer canary-1"}] * 2
    assert world.net.asked == [RESOURCE, METADATA, TOKEN]


async def test_a_secret_is_shown_in_the_other_way_where_the_first_is_not_liked(world: World) -> None:
    refused = (401, {"error": "invalid_client"})
    world.net.tokens = [refused, {"access_token": "canary-1", "expires_in": 60}, {"access_token": "canary-2"}]
    mine = credential(world, token_url=TOKEN)
    assert await mine.lines(ME) == {"authorization": "Bearer canary-1"}
    assert [("client_secret" in form) for form in world.net.forms] == [False, True]
    world.time += 60
    assert await mine.lines(ME) == {"authorization": "Bearer canary-2"}
    assert len(world.net.forms) == 3
    assert "client_secret" in world.net.forms[-1]
    world.net.tokens = [refused]
    with pytest.raises(UpstreamRejected, match="invalid_client"):
        await credential(world, token_url=TOKEN).lines(ME)


async def test_however_many_are_refused_another_token_is_asked_for_now_and_then(world: World) -> None:
    world.net.tokens = [{"access_token": "canary"}]
    mine = credential(world, token_url=TOKEN)
    await mine.lines(ME)
    for _ in range(3):
        assert await mine.renew(ME, 401, "Bearer")
        await mine.lines(ME)
    assert len(world.net.forms) == 2
    world.time += PAUSE
    assert await mine.renew(ME, 401, "Bearer")
    await mine.lines(ME)
    assert len(world.net.forms) == 3


@pytest.mark.requirement("mcp.step-up")
async def test_more_scopes_are_asked_for_once(world: World) -> None:
    world.net.tokens = [{"access_token": "canary"}]
    mine = credential(world, token_url=TOKEN, scopes=("read",))
    assert await mine.renew(ME, 403, 'Bearer error="insufficient_scope", scope="write"')
    await mine.lines(ME)
    assert world.net.forms[-1]["scope"] == "read write"
    assert not await mine.renew(ME, 403, 'Bearer error="insufficient_scope", scope="write"')


async def test_who_is_not_to_be_believed_gets_no_secret(world: World) -> None:
    world.net.pages[RESOURCE] = resource(authorization_servers=["https://other.test"])
    world.net.pages["https://other.test/.well-known/oauth-authorization-server"] = metadata(ISSUER)
    with pytest.raises(UpstreamRejected) as caught:
        await credential(world).renew(ME, 401, "Bearer")
    assert "another issuer" in (caught.value.operator_detail or "")
    assert world.net.forms == []


@pytest.mark.requirement("mcp.oauth-trust")
async def test_the_secret_of_the_operator_is_not_shown_to_the_issuer_that_a_server_names_next(world: World) -> None:
    world.net.tokens = [{"access_token": "canary-1"}]
    mine = credential(world)
    assert await mine.renew(ME, 401, "Bearer")
    await mine.lines(ME)
    evil = "https://evil.test"
    world.net.pages[RESOURCE] = resource(authorization_servers=[evil])
    world.net.pages[f"{evil}/.well-known/oauth-authorization-server"] = metadata(evil)
    world.time += PAUSE
    for one in (mine, credential(world)):
        with pytest.raises(UpstreamRejected) as caught:
            await one.renew(ME, 401, "Bearer")
        assert "get another client_id there" in (caught.value.operator_detail or "")
        await one.lines(ME)
    assert not [url for url in world.net.asked if url.startswith(f"{evil}/token")]


async def test_while_nobody_answers_there_is_no_token(world: World) -> None:
    world.net.tokens = [(503, None)]
    with pytest.raises(UpstreamUnreachable):
        await credential(world, token_url=TOKEN).lines(ME)
    world.net.tokens = [{"access_token": "x", "token_type": "mac"}]
    with pytest.raises(UpstreamRejected):
        await credential(world, token_url=TOKEN).lines(ME)
