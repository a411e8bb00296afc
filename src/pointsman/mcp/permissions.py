"""Who may use which server, tool and resource: asked for what is listed and for what is called alike.

In this order, and the first that says no decides: the server, from the grants of the caller; the tool, from what the
operator has declared and denied, and from the grants; its arguments. To a caller all refusals look like something that
is not there; the reason is for the audit log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.access.caller import Caller
from pointsman.access.grants import is_any
from pointsman.access.policy import Refused, sees_all
from pointsman.mcp.settings import ServerSettings


def visible(caller: Caller, server: ServerSettings) -> bool:
    """Whether a caller may use a server at all."""
    grants = caller.grants
    if grants.has_none:
        return False
    if server.allow_all_keys:
        return True
    if not grants.layers:
        return sees_all(caller)
    return grants.has(server.id, server.access_groups)


def not_visible(server: str) -> str:
    """What is written where it was not."""
    return f"the caller may not use the server {server}"


def may_call(
    caller: Caller, server: ServerSettings, tool: str, arguments: Mapping[str, Any] | None = None
) -> Refused | None:
    """Why a tool, by its own name, is not to be shown or called; ``None``: it may be.

    ``arguments`` are those of a call; without them it is asked whether the tool is to be shown.
    """
    if not visible(caller, server):
        return Refused(not_visible(server.id))
    if is_any(server.denied_tools, tool):
        return Refused(f"{server.id} has {tool} denied")
    if server.tools and not is_any(server.tools, tool):
        return Refused(f"{server.id} does not declare {tool}")
    if not caller.grants.allows(server.id, tool):
        return Refused(f"the caller may not call {tool} of {server.id}")
    return _strange_argument(server, tool, arguments or {})


def may_read(caller: Caller, server: ServerSettings, uri: str, name: str | None = None) -> Refused | None:
    """Why a resource is not to be shown or read; ``None``: it may be. It may be declared by its name too."""
    if not visible(caller, server):
        return Refused(not_visible(server.id))
    declared = server.resources
    if declared and not (is_any(declared, uri) or (name is not None and is_any(declared, name))):
        return Refused(f"{server.id} does not declare {uri}")
    return None


def _strange_argument(server: ServerSettings, tool: str, arguments: Mapping[str, Any]) -> Refused | None:
    allowed = server.allowed_params.get(tool)
    strange = [] if allowed is None else [one for one in arguments if one not in allowed]
    return Refused(f"{tool} of {server.id} may not be given {strange[0][:100]!r}", strange[0]) if strange else None
