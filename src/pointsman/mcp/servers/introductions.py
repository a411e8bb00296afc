"""What a server says of itself, read from its answer to ``initialize`` or ``server/discover``."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from pointsman.errors import UpstreamBroken
from pointsman.mcp.base import Introduction
from pointsman.mcp.protocol.lint import visible
from pointsman.mcp.protocol.revisions import LEGACY, MODERN, SERVER_INFO


class _Initialized(msgspec.Struct, rename="camel"):
    protocol_version: str = ""
    capabilities: dict[str, Any] = {}
    server_info: dict[str, Any] = {}
    instructions: str | None = None


class _Meta(msgspec.Struct):
    info: dict[str, Any] = msgspec.field(name=SERVER_INFO, default_factory=dict)


class _Discovered(msgspec.Struct, rename="camel"):
    supported_versions: list[str] = []
    capabilities: dict[str, Any] = {}
    instructions: str | None = None
    server_info: dict[str, Any] = {}
    meta: _Meta = msgspec.field(name="_meta", default_factory=_Meta)


def of_initialize(result: Raw, *, has_session: bool) -> Introduction:
    """That of a legacy server.

    :raises UpstreamBroken: it is none, or of a revision that nobody here speaks
    """
    try:
        found = msgspec.json.decode(result, type=_Initialized)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UpstreamBroken("The MCP server's answer to 'initialize' is none", operator_detail=str(error)) from error
    if found.protocol_version not in LEGACY:
        raise UpstreamBroken(f"The MCP server speaks revision {found.protocol_version[:40]!r}, which is not known here")
    return Introduction(
        era="legacy",
        revision=found.protocol_version,
        capabilities=found.capabilities,
        info=found.server_info,
        instructions=visible(found.instructions),
        raw=result,
        has_session=has_session,
    )


def of_discover(result: Raw) -> Introduction | None:
    """That of a modern server; ``None``: what it says is that it is no modern one."""
    try:
        found = msgspec.json.decode(result, type=_Discovered)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    revision = next((one for one in MODERN if one in found.supported_versions), None)
    if revision is None:
        return None
    return Introduction(
        era="modern",
        revision=revision,
        capabilities=found.capabilities,
        info=found.meta.info or found.server_info,
        instructions=visible(found.instructions),
        raw=result,
    )
