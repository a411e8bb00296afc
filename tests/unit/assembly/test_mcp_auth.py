from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from unit.mcp.auth.authorities import ME, URL, World, secretly, server

from pointsman.assembly.mcp_auth import Auth
from pointsman.errors import SignInNeeded
from pointsman.mcp.auth.client_credentials import ClientCredentials
from pointsman.mcp.settings import AuthSettings, McpSettings, ServerSettings
from pointsman.upstream.credentials.static import Static
from pointsman.wire.secret import Secret


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.tasks.close(1.0)


@pytest.fixture
def auth(world: World) -> Auth:
    return Auth(world.store.open, world.store.look, world.tasks, b"secret", lambda _: world.net)


def plain(**auth: Any) -> ServerSettings:
    return ServerSettings(id="far", name="Far", url=URL, auth=AuthSettings(**auth))


async def test_each_server_is_shown_what_its_settings_say(auth: Auth) -> None:
    assert auth.credential(plain()) is None
    for settings in (plain(kind="bearer_token", value=Secret("x")), plain(kind="api_key", value=Secret("x"))):
        assert isinstance(auth.credential(settings), Static)
    assert isinstance(auth.credential(secretly(grant="client_credentials")), ClientCredentials)


async def test_all_clients_of_a_server_share_the_token_of_the_gateway_until_its_settings_change(auth: Auth) -> None:
    settings = secretly(grant="client_credentials")
    first = auth.credential(settings)
    assert auth.credential(msgspec.structs.replace(settings, timeout=1.0)) is first
    moved = msgspec.structs.replace(settings, url="https://elsewhere.test/mcp")
    assert auth.credential(moved) is not first


async def test_links_are_paths_and_what_is_configured_of_the_gateway_is_known(auth: Auth) -> None:
    auth.configure(McpSettings(public_url="https://public.example", client_metadata_url="https://x.example/me.json"))
    credential = auth.credential(server())
    assert credential is not None
    with pytest.raises(SignInNeeded) as caught:
        await credential.renew(ME, 401, "Bearer")
    assert caught.value.link.startswith("/mcp/oauth/start?ticket=")
    assert auth.signing_in.document == "https://x.example/me.json"
    assert auth.clients.home == "https://public.example"
