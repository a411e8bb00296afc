"""The agents in force: see :mod:`pointsman.store.registry`."""

from __future__ import annotations

import logging
from typing import Final

from pointsman.a2a.settings import A2aSettings, AgentSettings
from pointsman.store import registry

Registry = registry.Registry[A2aSettings, AgentSettings]
AGENTS: Final = registry.Kind(
    table="agents",
    settings=A2aSettings,
    entry=AgentSettings,
    configured=lambda settings: settings.agents,
    not_stored=("allow_private",),
    noun="agent",
    is_double="the config has an agent with the same id",
    log=logging.getLogger(__name__),
)
