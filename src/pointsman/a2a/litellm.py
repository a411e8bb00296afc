"""Agents as LiteLLM writes them, in ``agents`` of its config and at ``/v1/agents``: a name, and a card of version 0.3.

Of the card, what says where the agent is becomes its address; what it says of itself is kept, in the form of 1.0, which
these members have in both versions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pointsman.a2a.settings import AgentSettings

CARD: Final = "agent_card_params"
KEPT: Final = (
    "version",
    "provider",
    "documentationUrl",
    "iconUrl",
    "capabilities",
    "defaultInputModes",
    "defaultOutputModes",
    "skills",
)
"""Members of a card that are served as they are given."""
CAPABILITIES: Final = frozenset({"streaming", "pushNotifications", "extensions"})
NOT_OF_SKILLS: Final = frozenset({"security", "securityRequirements"})
"""Whom an agent lets in is the gateway's to say."""
TAKEN: Final = ("agent_id", "static_headers", "extra_headers")
"""Members beside the card that are called alike here."""
PARAMS: Final = {"is_public": "public", "make_public": "public", "cost_per_query": "cost_per_message"}
"""Members of ``litellm_params`` that something is made of, and what."""
_ODD = re.compile(r"[^A-Za-z0-9_-]+")


class NotTaken(Exception):
    """A member says something of which nothing can be made; the text is its name."""


def id_of(name: str) -> str:
    """An id for an agent that has a name only: the name, without what cannot stand in a path."""
    return _ODD.sub("-", name).strip("-_")[:64]


def from_card(card: Mapping[str, Any]) -> dict[str, Any]:
    """``url``, ``name``, ``description`` and ``card`` of an agent, as far as its card in LiteLLM's form says them."""
    found = {name: card[name] for name in ("url", "name", "description") if isinstance(card.get(name), str)}
    kept = {name: card[name] for name in KEPT if card.get(name) is not None}
    if isinstance(kept.get("capabilities"), Mapping):
        kept["capabilities"] = {
            name: value for name, value in kept["capabilities"].items() if name in CAPABILITIES and value is not None
        }
    if isinstance(kept.get("skills"), list):
        kept["skills"] = [_without(NOT_OF_SKILLS, skill) for skill in kept["skills"]]
    return found | ({"card": kept} if kept else {})


def told(agent: AgentSettings, *, is_whole: bool) -> dict[str, Any]:
    """An agent as LiteLLM tells it; ``is_whole`` to whoever may know where it is."""
    card = {"name": agent.name, "description": agent.description, **agent.card}
    if is_whole:
        card["url"] = agent.url.partition("?")[0]
    return {
        "agent_id": agent.id,
        "agent_name": agent.name,
        CARD: card,
        "litellm_params": {"is_public": agent.is_public},
        "extra_headers": list(agent.forward_headers),
        "enabled": True,
    }


def _without(names: frozenset[str], value: Any) -> Any:
    return {name: one for name, one in value.items() if name not in names} if isinstance(value, Mapping) else value


def body_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """What ``POST /a2a/agents`` takes, of what ``POST /v1/agents`` does; members that say nothing are left out.

    :raises NotTaken: it asks for something that this gateway does not do
    """
    said = {name: value for name, value in given.items() if value not in (None, False, "", [], {})}
    name, card = said.pop("agent_name", ""), said.pop(CARD, {})
    params = said.pop("litellm_params", {})
    for member, value, kind in (("agent_name", name, str), (CARD, card, Mapping), ("litellm_params", params, Mapping)):
        if not isinstance(value, kind):
            raise NotTaken(member)
    body = from_card(card) | ({"name": name} if name else {})
    body |= {member: said.pop(member) for member in TAKEN if member in said}
    body |= {PARAMS[member]: value for member, value in params.items() if member in PARAMS}
    said.pop("enabled", None)
    for member in (*said, *(f"litellm_params.{one}" for one in params if one not in PARAMS)):
        raise NotTaken(member[:100])
    return body
