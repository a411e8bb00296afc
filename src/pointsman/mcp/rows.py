"""Servers of the registry as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pointsman.mcp.settings import ServerSettings
from pointsman.store import entries
from pointsman.store.sealing import Sealer

TABLE: Final = "mcp_servers"
_NOT_STORED: Final = ("command", "env", "allow_private")
"""What comes from the config."""


def to_doc(server: ServerSettings, sealer: Sealer | None) -> dict[str, Any]:
    """:raises CannotUnseal: there are secrets, and nothing to seal them with"""
    return entries.to_doc(TABLE, server, sealer, but=_NOT_STORED)


def from_doc(
    server_id: str, doc: Mapping[str, Any], sealer: Sealer | None, commands: Mapping[str, tuple[str, ...]]
) -> ServerSettings:
    """A server again; ``commands`` are those that may be started, by name.

    :raises CannotUnseal: its credentials cannot be read
    :raises ValueError: somebody else has written it, or its command may not be started any more
    """
    server = entries.from_doc(TABLE, server_id, doc, ServerSettings, sealer, but=_NOT_STORED)
    if server.transport != "stdio":
        return server
    if server.command_name not in commands:
        raise ValueError(f"mcp.stdio_commands has no {server.command_name!r}")
    return msgspec.structs.replace(server, command=commands[server.command_name])
