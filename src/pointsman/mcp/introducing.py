"""What several servers say of themselves, as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pointsman import __version__
from pointsman.mcp.base import Client, Introduction
from pointsman.mcp.protocol.listings import merged
from pointsman.mcp.settings import ServerSettings
from pointsman.wire.jsonrpc import raw

NAME: Final = "pointsman"
INFO: Final = {"name": NAME, "version": __version__}
"""As whom the gateway introduces itself, to clients and to servers."""
MAX_INSTRUCTIONS: Final = 16_000
"""Characters that servers together may tell a model."""


def together(client: Client, known: Iterable[tuple[ServerSettings, Introduction | None]]) -> Introduction:
    """What several servers say of themselves, as one; ``None``: one has not said anything yet."""
    every = list(known)
    said = [(settings, one) for settings, one in every if one is not None]
    capabilities = merged([one.capabilities for _, one in said])
    for name in ("tools", "prompts", "resources"):
        # They may come and go with servers and permissions.
        if name in capabilities or len(said) < len(every) or not every:
            capabilities[name] = {**capabilities.get(name, {}), "listChanged": True}
    parts = [f"{settings.id}: {one.instructions}" for settings, one in said if one.instructions]
    instructions = "\n\n".join(parts)[:MAX_INSTRUCTIONS] or None
    whole: dict[str, Any] = {"capabilities": capabilities, "serverInfo": INFO}
    if instructions is not None:
        whole["instructions"] = instructions
    return Introduction(
        era=client.era,
        revision=client.revision,
        capabilities=capabilities,
        info=INFO,
        instructions=instructions,
        raw=raw(whole),
    )
