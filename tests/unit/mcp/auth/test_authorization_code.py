from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from unit.mcp.auth.authorities import AWAY, ME, NOW, OTHER, URL, World, grant, secretly, server

from pointsman.access.caller import NOBODY, Caller
from pointsman.errors import Forbidden, SignInNeeded, UpstreamTimeout, UpstreamUnreachable
from pointsman.mcp.auth import authorization_code
from pointsman.mcp.auth.authorization_code import DOUBT_SECONDS, TURN_SECONDS, AuthorizationCode
from pointsman.mcp.auth.clients import Client
from pointsman.mcp.auth.tickets import Ticket
from pointsman.mcp.auth.vault import TOKENS, TURN
from pointsman.store.base import Change

SERVER = server()
MORE = 'Bearer error="insufficient_scope", scope="write"'


def credential(world: World) -> AuthorizationCode:
    return AuthorizationCode(SERVER, world.grants, world.tickets)


async def give(world: World, caller: Caller = ME, **members: Any) -> None:
    await world.grants.put(SERVER, caller.name, None, grant(**members))


async def asked(world: World, status: int = 401, challenge: str = "Bearer", caller: Caller = ME) -> Ticket:
    """What the link says that the caller is given."""
    with pytest.raises(SignInNeeded) as caught:
        await credential(world).renew(caller, status, challenge)
    assert caught.value.link in caught.value.message
    assert caught.value.link.startswith("/mcp/oauth/start?ticket=")
    return world.tickets.open(parse_qs(urlsplit(caught.value.link).query)["ticket"][0], Ticket)


@pytest.mark.requirement("mcp.user-tokens")
async def test_each_caller_is_spoken_for_with_his_own_token(world: World) -> None:
    await give(world)
    assert await credential(world).lines(ME) == {"authorization": "Bearer canary-1"}
    assert await credential(world).lines(OTHER) == {}


async def test_who_has_not_signed_in_gets_a_link_that_says_what_the_server_wants(world: World) -> None:
    ticket = await asked(world, challenge='Bearer resource_metadata="https://mcp.test/m", scope="read"')
    assert (ticket.server, ticket.caller, ticket.scope, ticket.metadata, ticket.held) == (
        "far",
        "key:1",
        "read",
        "https://mcp.test/m",
        "",
    )


async def test_whoever_has_no_key_cannot_sign_in(world: World) -> None:
    with pytest.raises(Forbidden, match="needs a key"):
        await credential(world).renew(NOBODY, 401, "Bearer")


@pytest.mark.requirement("mcp.user-tokens")
async def test_a_token_is_not_shown_to_another_address_than_it_was_got_for(world: World) -> None:
    await give(world)
    moved = msgspec.structs.replace(SERVER, url="https://evil.test/mcp")
    assert await AuthorizationCode(moved, world.grants, world.tickets).lines(ME) == {}
    assert not await world.grants.doubt(moved, ME)


@pytest.mark.requirement("mcp.refresh")
async def test_a_token_that_ends_is_refreshed_once_for_all_who_need_it(world: World) -> None:
    await give(world, expires_at=NOW)
    world.net.tokens = [{"access_token": "canary-2", "expires_in": 60, "refresh_token": "r2"}]
    lines = await asyncio.gather(*(credential(world).lines(ME) for _ in range(5)))
    assert lines == [{"authorization": "Bearer canary-2"}] * 5
    assert len(world.net.forms) == 1
    there, _ = world.process()
    found = await there.get(SERVER, ME)
    assert found is not None
    assert (found.access_token, found.refresh_token) == ("canary-2", "r2")


async def test_a_token_is_refreshed_with_the_secret_that_is_configured_by_now(world: World) -> None:
    mine = Client(issuer="x", client_id="mine", client_secret="canary-old", method="client_secret_post")
    await give(world, expires_at=NOW, client=mine)
    world.net.tokens = [{"access_token": "canary-2"}]
    assert await AuthorizationCode(secretly(), world.grants, world.tickets).lines(ME)
    assert world.net.forms[0]["client_secret"] == "canary-client"


async def test_another_process_that_was_quicker_has_refreshed_it(world: World) -> None:
    there, _ = world.process()
    await give(world, expires_at=NOW)
    assert (await world.grants.known(SERVER, ME)) is not None
    await there.put(SERVER, ME.name, None, grant(access_token="canary-9"))
    assert await credential(world).lines(ME) == {"authorization": "Bearer canary-9"}
    assert world.net.forms == []


@pytest.mark.requirement("mcp.refresh")
async def test_a_token_is_refreshed_once_for_all_processes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorization_code, "POLL", 0.0)
    there, _ = world.process()
    await give(world, expires_at=NOW)
    answer, asked = asyncio.Event(), asyncio.Event()
    post = world.net.post_form

    async def slowly(*what: Any) -> Any:
        asked.set()
        await answer.wait()
        return await post(*what)

    monkeypatch.setattr(world.net, "post_form", slowly)
    world.net.tokens = [{"access_token": "canary-2", "expires_in": 60, "refresh_token": "r2"}, (400, {"error": "used"})]
    first = asyncio.create_task(world.grants.get(SERVER, ME))
    await asked.wait()
    second = asyncio.create_task(there.get(SERVER, ME))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not second.done()
    answer.set()
    found = await asyncio.gather(first, second)
    assert [one is not None and one.access_token for one in found] == ["canary-2"] * 2
    assert len(world.net.forms) == 1


@pytest.mark.parametrize("is_kept", [True, False])
async def test_who_signs_out_while_a_token_is_refreshed_is_signed_out(
    world: World, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    world.store.is_away, world.store.is_there = not is_kept, is_kept
    await give(world, expires_at=NOW)
    post = world.net.post_form

    async def slowly(*what: Any) -> Any:
        await world.grants.drop(SERVER, ME)
        return await post(*what)

    monkeypatch.setattr(world.net, "post_form", slowly)
    world.net.tokens = [{"access_token": "canary-2"}]
    assert await credential(world).lines(ME) == {}
    assert await world.grants.known(SERVER, ME) is None


@pytest.mark.requirement("mcp.refresh")
async def test_a_process_that_has_failed_is_waited_for_as_long_as_its_turn_lasts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorization_code, "POLL", 0.0)
    await give(world, expires_at=NOW)
    (row,) = await world.store.records.find(TOKENS, {})
    await world.store.records.change([Change(TOKENS, row.id, row.doc | {TURN: NOW + TURN_SECONDS})])
    world.net.tokens = [{"access_token": "canary-2"}]
    with pytest.raises(UpstreamTimeout):
        await credential(world).lines(ME)
    assert world.net.forms == []
    world.time += TURN_SECONDS
    assert await credential(world).lines(ME) == {"authorization": "Bearer canary-2"}


@pytest.mark.parametrize(("status", "challenge"), [(401, "Bearer"), (403, MORE)])
async def test_a_user_who_came_back_to_another_process_is_not_asked_again(
    world: World, status: int, challenge: str
) -> None:
    there, _ = world.process()
    assert await credential(world).lines(ME) == {}
    await there.put(SERVER, ME.name, None, grant())
    assert await credential(world).renew(ME, status, challenge)
    assert await credential(world).lines(ME) == {"authorization": "Bearer canary-1"}


@pytest.mark.parametrize("answer", [(400, {"error": "invalid_grant"}), {"access_token": "x", "token_type": "mac"}])
async def test_what_is_over_is_begun_again_by_the_user(world: World, answer: Any) -> None:
    await give(world, expires_at=NOW)
    world.net.tokens = [answer]
    assert await credential(world).lines(ME) == {}
    await asked(world)
    await give(world, expires_at=NOW, refresh_token=None)
    assert await credential(world).lines(ME) == {}


async def test_while_the_authorization_server_is_away_nothing_is_given_up(world: World) -> None:
    await give(world, expires_at=NOW)
    world.net.tokens = [AWAY]
    with pytest.raises(UpstreamUnreachable):
        await credential(world).lines(ME)
    world.net.tokens = [{"access_token": "canary-2"}]
    assert await credential(world).lines(ME) == {"authorization": "Bearer canary-2"}


@pytest.mark.requirement("mcp.refresh")
async def test_a_token_that_is_refused_is_refreshed_once_and_then_the_user_is_asked(world: World) -> None:
    await give(world)
    world.net.tokens = [{"access_token": "canary-2"}]
    assert await credential(world).renew(ME, 401, "Bearer")
    await asked(world)
    assert len(world.net.forms) == 1
    world.time += DOUBT_SECONDS
    assert await credential(world).renew(ME, 401, "Bearer")
    await give(world)
    assert await credential(world).renew(ME, 401, "Bearer")


@pytest.mark.requirement("mcp.step-up")
async def test_for_more_scopes_the_user_is_asked_for_those_that_he_has_given_too(world: World) -> None:
    await give(world)
    ticket = await asked(world, 403, MORE)
    assert (ticket.scope, ticket.held) == ("write", "read")


@pytest.mark.requirement("mcp.step-up")
async def test_who_has_given_what_is_wanted_is_not_asked_again(world: World) -> None:
    await give(world, scope="read write")
    assert not await credential(world).renew(ME, 403, MORE)
    assert not await credential(world).renew(ME, 403, "Bearer")


async def test_whoever_waits_for_a_user_hears_of_him(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorization_code, "POLL", 0.0)
    await give(world)
    with pytest.raises(SignInNeeded) as caught:
        await credential(world).renew(ME, 403, MORE)
    arrived = caught.value.arrived
    assert arrived is not None
    assert not await arrived(0.0)
    waited, _ = await asyncio.gather(arrived(5.0), give(world, access_token="canary-2"))
    assert waited
    assert await arrived(0.0)


async def test_who_signs_in_and_out_is_written_down_and_told(world: World) -> None:
    told: list[tuple[str, str]] = []
    world.grants.on_change = lambda *what: told.append(what)
    await give(world)
    await world.grants.drop(SERVER, ME)
    assert await credential(world).lines(ME) == {}
    assert told == [("far", "key:1")] * 2
    audits = await world.store.records.audits()
    assert [one.what for one in audits] == ["mcp_token.delete", "mcp_token.new"]
    assert "canary" not in str(audits)
    assert URL not in str(audits)
