from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from unit.store.registries import World

from pointsman.mcp.registry import SERVERS
from pointsman.mcp.settings import AuthSettings, McpSettings, ServerSettings
from pointsman.store.entries import SEALED
from pointsman.store.sealing import CannotUnseal, Sealer
from pointsman.wire.secret import Secret

SEALER = Sealer(Secret("a salt that is long enough"))
PLAIN = ServerSettings(
    id="s",
    name="S",
    url="https://h/mcp",
    tools=("a",),
    allowed_params={"a": ("x",)},
    cost_usd={"*": "0.1"},
    metadata={"k": [1]},
    source="api",
)
SECRET = msgspec.structs.replace(
    PLAIN,
    auth=AuthSettings(kind="oauth2", client_id="c", client_secret=Secret("canary-1"), scopes=("x",)),
    static_headers={"x-key": "canary-2"},
)
STDIO = msgspec.structs.replace(PLAIN, transport="stdio", url="", command_name="t", command=("old",), env={"A": "b"})


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World(SERVERS)
    yield made
    await made.tasks.close(1.0)


def stored(server: ServerSettings, sealer: Sealer | None = SEALER) -> dict[str, Any]:
    """As the store gives it back."""
    doc: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(SERVERS.to_doc(server, sealer)))
    return doc


@pytest.mark.parametrize("server", [PLAIN, SECRET])
def test_what_is_stored_comes_back(server: ServerSettings) -> None:
    assert SERVERS.from_doc("s", stored(server), SEALER) == server


@pytest.mark.requirement("mcp.credentials")
def test_what_is_secret_cannot_be_read_in_the_store_and_belongs_to_its_row() -> None:
    doc = stored(SECRET)
    assert "canary" not in str(doc)
    with pytest.raises(CannotUnseal):
        SERVERS.from_doc("t", doc, SEALER)
    with pytest.raises(CannotUnseal):
        SERVERS.from_doc("s", doc, None)
    with pytest.raises(CannotUnseal):
        SERVERS.to_doc(SECRET, None)


def test_what_has_no_secrets_needs_no_key() -> None:
    assert SERVERS.from_doc("s", stored(PLAIN, None), None) == PLAIN


@pytest.mark.requirement("mcp.stdio-commands")
def test_a_command_is_what_the_config_says_at_the_moment_and_never_what_the_row_says() -> None:
    doc = stored(STDIO) | {"command": ["rm"], "env": {"X": "y"}, "allow_private": True, "source": "config"}
    row = SERVERS.from_doc("s", doc, SEALER)
    found = SERVERS.admission(McpSettings(stdio_commands={"t": ("new", "arg")}))(row)
    assert (found.command, found.env, found.allow_private, found.source) == (("new", "arg"), {}, False, "api")
    with pytest.raises(ValueError, match="stdio_commands"):
        SERVERS.admission(McpSettings(stdio_commands={"u": ("new",)}))(row)


@pytest.mark.parametrize("doc", [{}, {"name": 5}, {"name": "n", "auth": {"value": "not sealed"}}])
def test_what_somebody_else_has_written_is_refused(doc: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SERVERS.from_doc("s", doc, SEALER)


def test_members_that_a_later_version_has_are_left_alone() -> None:
    assert SERVERS.from_doc("s", stored(PLAIN) | {"later": 1, "created_at": "x"}, SEALER) == PLAIN
    assert SEALED not in stored(PLAIN)


async def test_a_command_that_the_config_takes_back_ends_its_server(world: World) -> None:
    world.registry.configure(McpSettings(stdio_commands={"t": ("prog",)}))
    await world.store.write(STDIO)
    await world.registry.ready()
    assert world.registry.entries["s"].command == ("prog",)
    world.registry.configure(McpSettings())
    assert world.ids == []
    assert "stdio_commands" in world.registry.faults["s"]


async def test_of_servers_whose_tools_would_begin_in_the_same_way_one_is_in_force(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("b", "c"):
        await world.store.write(msgspec.structs.replace(PLAIN, id=name, prefix="hub"))
    await world.registry.ready()
    assert (world.ids, set(world.registry.faults)) == (["b"], {"c"})
    what = "the registered MCP server c is not in force: the tools of another server begin in the same way"
    assert caplog.record_tuples == [("pointsman.mcp.registry", logging.WARNING, what)]
    world.registry.configure(McpSettings(servers=(ServerSettings(id="hub", name="hub"),)))
    assert (world.ids, set(world.registry.faults)) == (["hub"], {"b", "c"})
