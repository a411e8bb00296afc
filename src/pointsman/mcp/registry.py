"""The servers in force: see :mod:`pointsman.store.registry`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from pointsman.mcp.settings import McpSettings, ServerSettings
from pointsman.store import registry


def _admission(settings: McpSettings) -> Callable[[ServerSettings], ServerSettings]:
    """Servers have a command that may be started still, and no tools that begin like those of another one."""
    commands = settings.stdio_commands
    prefixes = {server.prefix or server.id for server in settings.servers}

    def admit(server: ServerSettings) -> ServerSettings:
        if server.transport == "stdio":
            if server.command_name not in commands:
                raise ValueError(f"mcp.stdio_commands has no {server.command_name!r}")
            server = msgspec.structs.replace(server, command=commands[server.command_name])
        prefix = server.prefix or server.id
        if prefix in prefixes:
            raise ValueError("the tools of another server begin in the same way")
        prefixes.add(prefix)
        return server

    return admit


Registry = registry.Registry[McpSettings, ServerSettings]
SERVERS: Final = registry.Kind(
    table="mcp_servers",
    settings=McpSettings,
    entry=ServerSettings,
    configured=lambda settings: settings.servers,
    not_stored=("command", "env", "allow_private"),
    admission=_admission,
    noun="MCP server",
    is_double="the config has a server with the same id",
    log=logging.getLogger(__name__),
)
