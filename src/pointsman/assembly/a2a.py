"""The A2A gateway of a process. Nothing of it is loaded before a config names an agent, or somebody asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from pointsman.access.caller import Caller
from pointsman.access.policy import may_speak
from pointsman.access.settings import AccessSettings
from pointsman.assembly.site import Site
from pointsman.errors import Overloaded
from pointsman.pipeline.call import Call
from pointsman.pipeline.catalog import CREATED
from pointsman.pipeline.serve import AGENT, Pipeline
from pointsman.pipeline.stream import HOLD_SECONDS
from pointsman.upstream.beats import Beats
from pointsman.upstream.settings import UpstreamSettings
from pointsman.wire.operations import Operation

if TYPE_CHECKING:
    from pointsman.a2a.cards.keeping import Keeper
    from pointsman.a2a.cards.serving import Publisher
    from pointsman.a2a.fronts.entry import Fronts
    from pointsman.a2a.gateway import Gateway
    from pointsman.a2a.push.notifications import Notifications
    from pointsman.a2a.registry import Registry
    from pointsman.a2a.settings import A2aSettings
    from pointsman.a2a.tasks import TaskLedger
    from pointsman.assembly.a2a_service import Service
    from pointsman.config.snapshot import Snapshot


def _none() -> Pipeline:
    raise Overloaded


class A2a:
    """See :class:`~pointsman.edge.a2a.A2a`; it lasts as long as the process."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._service: Service | None = None
        self._is_closed = False
        self._settings: A2aSettings | None = None
        self._allowed_hosts = frozenset[str]()
        self._upstream = UpstreamSettings()
        self._access = AccessSettings()
        self._beats: Beats | None = None
        self.on_secrets: Callable[[], None] = lambda: None
        """Called when :meth:`secrets` are others."""
        self.pipeline: Callable[[], Pipeline] = _none
        """What models are asked through, at the moment."""

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """See :class:`~pointsman.edge.a2a.A2a`."""
        return self._allowed_hosts

    @property
    def public_url(self) -> str:
        """See :class:`~pointsman.edge.a2a.A2a`."""
        return "" if self._settings is None else self._settings.public_url

    def configure(self, snapshot: Snapshot) -> None:
        """Go by this snapshot from now on."""
        settings = snapshot.a2a
        self._settings, self._upstream, self._access = settings, snapshot.upstream, snapshot.access
        hosts = (
            () if settings is None else (urlsplit(settings.public_url).netloc, *settings.hosts, *settings.allowed_hosts)
        )
        self._allowed_hosts = frozenset(one.lower() for one in hosts if one)
        if self._service is not None:
            self._service.configure(settings, self._upstream, self._access)

    def warm(self) -> None:
        """Begin to look after the agents, if the config names any."""
        settings = self._settings
        if settings is not None and settings.is_enabled and settings.agents:
            self._site.tasks.start(self._warm(), "look for agents")

    def secrets(self) -> frozenset[str]:
        """What must not stand in any log line."""
        return frozenset() if self._service is None else self._service.secrets()

    async def is_public(self, agent_id: str) -> bool:
        """See :class:`~pointsman.edge.a2a.A2a`."""
        agent = (await self.registry()).entries.get(agent_id)
        return agent is not None and agent.is_public

    def drain(self) -> None:
        """See :class:`~pointsman.edge.a2a.A2a`."""
        if self._service is not None:
            self._service.fronts.drain()

    async def gateway(self) -> Gateway:
        """See :class:`~pointsman.edge.a2a.A2a`."""
        return (await self._ready()).gateway

    async def fronts(self) -> Fronts:
        """See :class:`~pointsman.edge.a2a.A2a`."""
        return (await self._ready()).fronts

    async def registry(self) -> Registry:
        """See :class:`~pointsman.edge.a2a.A2a`."""
        return (await self._ready()).registry

    async def cards(self) -> Keeper:
        """See :class:`~pointsman.edge.a2a.A2a`."""
        return (await self._ready()).cards

    async def publisher(self) -> Publisher:
        """See :class:`~pointsman.edge.a2a.A2a`."""
        return (await self._ready()).publisher

    async def push(self) -> Notifications:
        """See :class:`~pointsman.edge.a2a.A2a`."""
        return (await self._ready()).notifications

    async def ledger(self) -> TaskLedger:
        """See :class:`~pointsman.edge.a2a.A2a`."""
        return (await self._ready()).ledger

    async def use_agents(
        self, call: Call, body: bytes, shape: Operation, model: str, deadline: float, clock: Callable[[], float]
    ) -> None:
        """Answer a request to a model that is an agent.

        :raises GatewayError: as long as nothing was sent to the client
        """
        from pointsman.pipeline.a2a_use.serving import Means, Request, serve_with_agent  # noqa: PLC0415  as above

        self._beats = self._beats or Beats(HOLD_SECONDS)
        means = Means(gateway=await self.gateway(), beats=self._beats, unique=lambda: uuid4().hex, now=time.time)
        request = Request(call, body, shape, model.removeprefix(AGENT), model, deadline, clock)
        await serve_with_agent(request, means)

    async def models(self, caller: Caller) -> list[dict[str, Any]]:
        """See :class:`~pointsman.edge.a2a.A2a`."""
        settings = self._settings
        has_any = self._service is not None or self._site.database is not None or (settings and settings.agents)
        if not has_any:
            return []
        from pointsman.a2a.permissions import may_ask  # noqa: PLC0415  as above
        from pointsman.a2a.protocol.operations import Operation as Asked  # noqa: PLC0415  the same

        if not may_speak(caller):
            return []
        agents = (await self.registry()).entries.values()
        return [_entry(one.id) for one in agents if may_ask(caller, one, Asked.SEND) is None]

    async def close(self) -> None:
        """End all that goes on."""
        self._is_closed = True
        if self._beats is not None:
            self._beats.close()
        service, self._service = self._service, None
        if service is not None:
            await service.close()

    async def _warm(self) -> None:
        await self._ready()

    async def _ready(self) -> Service:
        """:raises Overloaded: the gateway ends"""
        if self._is_closed:
            raise Overloaded
        service = self._service
        if service is None:
            from pointsman.assembly.a2a_models import Models  # noqa: PLC0415  as the docstring of this module says
            from pointsman.assembly.a2a_service import Service  # noqa: PLC0415  the same

            models = Models(lambda: self.pipeline())  # noqa: PLW0108
            service = self._service = Service(self._site, lambda: self.on_secrets(), models)  # noqa: PLW0108
            service.configure(self._settings, self._upstream, self._access)
            service.start()
        await service.registry.ready()
        return service


def _entry(agent_id: str) -> dict[str, Any]:
    name = f"{AGENT}{agent_id}"
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "a2a", "mode": "chat"}
