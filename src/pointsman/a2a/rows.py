"""Agents of the registry as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pointsman.a2a.settings import AgentSettings
from pointsman.store import entries
from pointsman.store.sealing import Sealer

TABLE: Final = "agents"
_NOT_STORED: Final = ("allow_private",)
"""What comes from the config."""


def to_doc(agent: AgentSettings, sealer: Sealer | None) -> dict[str, Any]:
    """:raises CannotUnseal: there are secrets, and nothing to seal them with"""
    return entries.to_doc(TABLE, agent, sealer, but=_NOT_STORED)


def from_doc(agent_id: str, doc: Mapping[str, Any], sealer: Sealer | None) -> AgentSettings:
    """An agent again.

    :raises CannotUnseal: its credentials cannot be read
    :raises ValueError: somebody else has written it
    """
    return entries.from_doc(TABLE, agent_id, doc, AgentSettings, sealer, but=_NOT_STORED)
