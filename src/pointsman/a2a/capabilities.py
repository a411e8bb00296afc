"""What an agent can be asked for here: what its card promises, and what the gateway adds or takes away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pointsman.a2a.base import LiveCard
from pointsman.a2a.protocol.operations import Operation
from pointsman.a2a.settings import AgentSettings

PUSHING: Final = frozenset(
    {Operation.SET_PUSH, Operation.GET_PUSH, Operation.LIST_PUSH, Operation.DELETE_PUSH},
)
"""What is asked about webhooks."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Whether it can be asked for it."""

    streaming: bool = False
    push: bool = False
    extended_card: bool = False


def extensions(card: Mapping[str, Any]) -> frozenset[str]:
    """The URIs of those that a card declares; agents may have written anything there."""
    found = card.get("capabilities")
    told = found.get("extensions") if isinstance(found, Mapping) else None
    uris = (one.get("uri") for one in told if isinstance(one, Mapping)) if isinstance(told, list) else ()
    return frozenset(uri for uri in uris if isinstance(uri, str))


def effective(settings: AgentSettings, live: LiveCard) -> Capabilities:
    """The capabilities of an agent as its clients see them."""
    found = live.card.get("capabilities")
    said = found if isinstance(found, Mapping) else {}
    adds_push = settings.push == "relay" and "push" in settings.adds
    return Capabilities(
        streaming=said.get("streaming") is True or "streaming" in settings.adds,
        push=settings.push != "off" and (said.get("pushNotifications") is True or adds_push),
        extended_card=said.get("extendedAgentCard") is True,
    )
