"""As whom the gateway speaks with a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pointsman.access.places import OURS
from pointsman.mcp.base import Client
from pointsman.mcp.joining import Joint
from pointsman.mcp.protocol.mirrors import Mirrors

NEVER_FORWARDED: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "last-event-id",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "mcp-session-id",
        "transfer-encoding",
    }
)
"""What belongs to one connection or one message."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """How one server is spoken with."""

    name: str
    """Of the server, for the operator."""
    info: Mapping[str, Any]
    """``clientInfo`` where no client gives its own."""
    capabilities: Mapping[str, Any] = {}
    """What a legacy server is told that can be asked."""
    forward: tuple[str, ...] = ()
    """Names of the client's headers that are passed on."""
    revision: str | None = None
    """``None``: it is found out."""
    has_headers: bool = True
    """Whether messages go over HTTP, where the end of a request's connection says that it is cancelled."""
    mirrors: dict[str, Mirrors] = {}
    """By tool: which arguments a modern server wants in headers, too. Filled when tools are listed; one for all
    connections to a server."""
    is_own: bool = False
    """Whether it is for one session of one client, so that whatever the server says is for that."""
    joint: Joint | None = None
    """Where other processes may speak with the server in the same session."""

    def forwarded(self, client: Client) -> dict[str, str]:
        """Those headers of the client that are passed on."""
        found = {}
        for name in self.forward:
            lower = name.lower()
            value = client.headers.get(lower.encode("latin-1", "replace"))
            if value is not None and lower not in NEVER_FORWARDED | OURS and not lower.startswith("mcp-param-"):
                found[lower] = value.decode("latin-1")
        return found
