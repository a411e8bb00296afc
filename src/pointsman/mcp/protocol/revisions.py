"""The revisions of the protocol, and what differs between them.

Source: ``docs/specification`` of https://github.com/modelcontextprotocol/modelcontextprotocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

LEGACY: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""With ``initialize`` and sessions; the newest first."""
MODERN: Final = ("2026-07-28",)
"""Where every request stands for itself; the newest first."""
UNSAID: Final = "2025-03-26"
"""What a legacy client speaks that does not say it: the header came later."""
BATCHES: Final = frozenset({"2025-03-26"})
"""Where several messages may come in one array."""

PREFIX: Final = "io.modelcontextprotocol/"
"""Of members of ``_meta`` that belong to the protocol."""
VERSION: Final = PREFIX + "protocolVersion"
INFO: Final = PREFIX + "clientInfo"
CAPABILITIES: Final = PREFIX + "clientCapabilities"
LOG_LEVEL: Final = PREFIX + "logLevel"
SERVER_INFO: Final = PREFIX + "serverInfo"
SUBSCRIPTION: Final = PREFIX + "subscriptionId"

HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022
CANCELLED: Final = -32800
"""Outside of what JSON-RPC reserves; the Language Server Protocol has the same."""

LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""Of log messages, from RFC 5424; the least first."""
RESUMABLE: Final = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Requests that may be answered by asking for something, from 2026-07-28 on."""
REMOVED: Final = frozenset(
    {
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/list",
        "tasks/result",
    }
)
"""Requests that are no more, from 2026-07-28 on."""
ADDED: Final = frozenset({"server/discover", "subscriptions/listen", "tasks/update"})
"""Requests that were not there before 2026-07-28."""
ASKED: Final[Mapping[str, str]] = {
    "sampling/createMessage": "sampling",
    "elicitation/create": "elicitation",
    "roots/list": "roots",
}
"""What a server may have a client do: the capability for it, by method."""


def negotiate(asked: object) -> str:
    """The revision for a legacy client that has named one: that, or else the newest with sessions."""
    return asked if isinstance(asked, str) and asked in LEGACY else LEGACY[0]


def missing(method: str, params: Mapping[str, Any], capabilities: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a client lacks to be asked for this, as an object of capabilities; ``None``: nothing."""
    name = ASKED.get(method)
    if name is None:
        return {"experimental": {method: {}}}
    has = capabilities.get(name)
    if not isinstance(has, dict):
        return {name: {}}
    if name == "elicitation":
        said = params.get("mode")
        mode = said if isinstance(said, str) else "form"
        # An empty object stands for forms, as it did before there was another mode.
        if mode not in has and not (mode == "form" and "url" not in has):
            return {name: {mode: {}}}
    if name == "sampling" and ("tools" in params or "toolChoice" in params) and "tools" not in has:
        return {name: {"tools": {}}}
    return None


def is_logged(level: object, least: str | None) -> bool:
    """Whether a log message of that level is wanted by whoever wants those from ``least`` on."""
    if least is None or level not in LEVELS or least not in LEVELS:
        return True
    return LEVELS.index(level) >= LEVELS.index(least)
