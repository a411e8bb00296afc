"""The way from the endpoints of A2A to its gateway, of which nothing is loaded before somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pointsman.access.caller import Caller
from pointsman.errors import ResourceNotFound

if TYPE_CHECKING:
    from pointsman.a2a.base import Gateway
    from pointsman.a2a.cards.keeping import Keeper
    from pointsman.a2a.cards.serving import Publisher
    from pointsman.a2a.fronts.entry import Fronts
    from pointsman.a2a.push.notifications import Notifications
    from pointsman.a2a.registry import Registry
    from pointsman.a2a.settings import AgentSettings
    from pointsman.a2a.tasks import TaskLedger
    from pointsman.edge.context import Serving


class A2a(Protocol):
    """The A2A gateway of this process."""

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """What may stand in ``Host`` where clients need no key, lower-cased."""

    @property
    def public_url(self) -> str:
        """Where clients find the gateway; empty: where the client has found it."""

    async def is_public(self, agent_id: str) -> bool:
        """Whether clients of an agent need no key; not where there is none."""

    def drain(self) -> None:
        """End the streams in which nothing happens; nothing, where there are none."""

    async def gateway(self) -> Gateway:
        """What answers requests; it is made when somebody asks first."""

    async def fronts(self) -> Fronts:
        """What speaks the protocol to clients."""

    async def registry(self) -> Registry:
        """The agents, as they are at the moment."""

    async def cards(self) -> Keeper:
        """What they say of themselves."""

    async def ledger(self) -> TaskLedger:
        """Whose tasks there are."""

    async def publisher(self) -> Publisher:
        """What makes the cards that clients see."""

    async def push(self) -> Notifications:
        """What calls their webhooks."""

    async def models(self, caller: Caller) -> list[dict[str, Any]]:
        """Entries of ``/v1/models``: the agents that a caller may ask like models."""


def a2a_of(serving: Serving) -> A2a:
    """:raises ResourceNotFound: it is switched off"""
    if serving.a2a is None:
        raise ResourceNotFound("Feature not enabled")
    return serving.a2a


async def opened(serving: Serving) -> Registry:
    """The agents of the moment.

    :raises ResourceNotFound: the gateway is switched off
    """
    registry = await a2a_of(serving).registry()
    await registry.ready()
    return registry


def seen(registry: Registry, caller: Caller, agent_id: str) -> AgentSettings:
    """:raises Unseen: there is no such agent, or the caller may not use it, which is not told apart"""
    from pointsman.a2a.calls import write_unseen  # noqa: PLC0415  nothing of A2A is loaded before somebody asks
    from pointsman.a2a.permissions import missing, visible  # noqa: PLC0415  the same

    agent = registry.entries.get(agent_id)
    if agent is None or not visible(caller, agent):
        write_unseen(caller, agent_id, is_there=agent is not None)
        raise missing(agent_id)
    return agent
