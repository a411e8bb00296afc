from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pointsman.access.caller import MASTER
from pointsman.access.settings import AccessSettings
from pointsman.assembly.mcp_service import CAPABILITIES, Service
from pointsman.assembly.site import Site
from pointsman.errors import GatewayError
from pointsman.mcp.base import Client
from pointsman.mcp.servers.profile import Profile
from pointsman.mcp.settings import McpSettings, ServerSettings
from pointsman.mcp.transports.sse import Sse
from pointsman.mcp.transports.stdio import Stdio
from pointsman.mcp.transports.streamable_http import StreamableHttp
from pointsman.store.settings import RecordSettings
from pointsman.upstream.settings import UpstreamSettings
from pointsman.wire.secret import Secret

HTTP = ServerSettings(id="a", name="a", url="http://127.0.0.1:1/mcp")
PROGRAM = ServerSettings(id="p", name="p", transport="stdio", command=("no-such-program",))
SESSION = Client(
    caller=MASTER, era="legacy", revision="2025-11-25", session="s1", capabilities={"roots": {}}, info={"name": "c"}
)


@pytest.fixture
def site(rig: Any) -> Site:
    found: Site = rig.mcp._site
    return found


@pytest.fixture
async def service(rig: Any, site: Site) -> AsyncIterator[Service]:
    made = Service(site, AccessSettings(), lambda: None)
    made.configure(McpSettings(servers=(HTTP,)), UpstreamSettings())
    made.start()
    rig.sweeper.start()
    yield made
    await made.close()
    rig.sweeper.stop()


def parts(server: Any) -> tuple[Any, Profile]:
    return server._transport, server._profile


@pytest.mark.parametrize(
    ("settings", "kind", "has_headers"),
    [
        (HTTP, StreamableHttp, True),
        (msgspec.structs.replace(HTTP, transport="sse"), Sse, True),
        (PROGRAM, Stdio, False),
    ],
)
async def test_each_server_is_reached_as_its_settings_say(
    service: Service, settings: ServerSettings, kind: type, has_headers: bool
) -> None:
    transport, profile = parts(service.connect(settings, None, "modern"))
    assert isinstance(transport, kind)
    assert profile.has_headers is has_headers


async def test_the_session_of_a_client_is_spoken_for_in_its_words(service: Service) -> None:
    _, profile = parts(service.connect(HTTP, SESSION, "legacy"))
    assert (profile.capabilities, profile.info, profile.is_own) == ({"roots": {}}, {"name": "c"}, True)


async def test_for_all_together_the_gateway_speaks(service: Service) -> None:
    _, profile = parts(service.connect(HTTP, None, "legacy"))
    assert (profile.capabilities, profile.info["name"], profile.is_own) == (CAPABILITIES, "pointsman", False)


async def test_the_header_of_the_gateway_s_own_key_is_passed_on_to_nobody(service: Service) -> None:
    service.configure(McpSettings(), UpstreamSettings(), "X-House-Key")
    settings = msgspec.structs.replace(HTTP, forward_headers=("X-House-KEY", "x-user"))
    assert parts(service.connect(settings, None, "modern"))[1].forward == ("x-user",)


async def test_what_was_learnt_of_a_server_s_tools_is_known_to_all_connections(service: Service) -> None:
    first, second = (parts(service.connect(HTTP, None, "modern"))[1] for _ in range(2))
    assert first.mirrors is second.mirrors
    assert parts(service.connect(PROGRAM, None, "modern"))[1].mirrors is not first.mirrors


async def test_only_servers_that_the_operator_has_named_are_in_private_networks(service: Service) -> None:
    registered = msgspec.structs.replace(HTTP, source="api")
    for settings in (registered, HTTP):
        with pytest.raises(GatewayError) as caught:
            async with asyncio.timeout(10):
                await service.connect(settings, None, "modern").introduce()
        assert ("no public address" in str(caught.value.operator_detail)) is (settings is registered)


async def test_other_settings_of_upstreams_make_other_ways_to_them(service: Service) -> None:
    before = parts(service.connect(HTTP, None, "modern"))[0]._address.upstream
    service.configure(McpSettings(servers=(HTTP,), is_open=True), UpstreamSettings())
    assert parts(service.connect(HTTP, None, "modern"))[0]._address.upstream is before
    service.configure(McpSettings(servers=(HTTP,)), UpstreamSettings(keepalive=1.0))
    assert parts(service.connect(HTTP, None, "modern"))[0]._address.upstream is not before


async def test_the_secrets_of_all_servers_are_told(service: Service) -> None:
    auth = msgspec.structs.replace(HTTP.auth, kind="bearer_token", value=Secret("canary"))
    service.configure(McpSettings(servers=(msgspec.structs.replace(HTTP, auth=auth),)), UpstreamSettings())
    assert service.secrets() == {"canary"}


@pytest.mark.parametrize(
    ("environ", "is_shared", "key", "is_same"),
    [
        ({}, False, None, True),
        ({"POINTSMAN_SALT_KEY": "x" * 16}, True, None, True),
        ({}, True, "sk-master", True),
        ({}, True, None, False),
    ],
    ids=["by the data directory", "by the environment", "by the master key", "not at all"],
)
async def test_processes_know_each_other_s_sessions(
    site: Site, tmp_path: Path, environ: Any, is_shared: bool, key: str | None, is_same: bool
) -> None:
    database = RecordSettings(url=Secret("postgresql://x/y")) if is_shared else None
    stands = replace(site, environ=environ, data=tmp_path, database=database)
    access = AccessSettings(master_key=None if key is None else Secret(key))
    one, two = (Service(stands, access, lambda: None) for _ in range(2))
    tokens = [service.fronts._legacy._tokens for service in (one, two)]
    token = tokens[0].session(SESSION)
    if is_same:
        assert tokens[1].open_session(token, MASTER).session == "s1"
    else:
        with pytest.raises(ValueError):  # noqa: PT011  it says nothing
            tokens[1].open_session(token, MASTER)
    await one.close()
    await two.close()


async def test_what_a_request_has_named_is_called_from_outside_and_left_without_a_trace(service: Service) -> None:
    named = msgspec.structs.replace(HTTP, id="~1", source="request")
    visited = service.visit(named)
    with pytest.raises(GatewayError) as caught:
        async with asyncio.timeout(10):
            await visited.introduce()
    assert "no public address" in str(caught.value.operator_detail)
    before = parts(visited)[0]._address.upstream
    service.leave(named)
    assert parts(service.visit(named))[0]._address.upstream is not before
