"""What the A2A gateway consists of, put together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from random import random
from typing import Final
from uuid import uuid4

from msgspec.structs import replace

from pointsman.a2a.agents.remote import RemoteAgent
from pointsman.a2a.auth.credentials import credential_of, lines_for
from pointsman.a2a.base import Agent
from pointsman.a2a.cards.keeping import Keeper
from pointsman.a2a.cards.serving import Publisher
from pointsman.a2a.fleet import Fleet
from pointsman.a2a.fronts.entry import Fronts
from pointsman.a2a.gateway import Gateway
from pointsman.a2a.published.memory import Memory
from pointsman.a2a.published.model import AskModel, PublishedModel
from pointsman.a2a.push.deliveries import Deliveries
from pointsman.a2a.push.hooks import Holder
from pointsman.a2a.push.notifications import Notifications
from pointsman.a2a.push.watching import Watching
from pointsman.a2a.push.webhooks import Webhooks
from pointsman.a2a.registry import AGENTS, Registry
from pointsman.a2a.settings import A2aSettings, AgentSettings, secrets_of
from pointsman.a2a.tasks import TaskLedger
from pointsman.access.caller import MASTER, NOBODY, Caller, caller_of
from pointsman.access.keys import Key
from pointsman.access.settings import AccessSettings
from pointsman.assembly.pools import Pools
from pointsman.assembly.site import Site
from pointsman.errors import Overloaded, ResourceNotFound, Unauthenticated
from pointsman.pipeline.agent_metering import AgentMetering
from pointsman.store.base import StoreDown
from pointsman.store.sealing import Sealer
from pointsman.store.tasks import MemoryTasks, TaskRecords
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.addresses import Carrier, Credential
from pointsman.upstream.guard import Guard, GuardedResolver
from pointsman.upstream.settings import UpstreamSettings
from pointsman.upstream.web import Web
from pointsman.wire.secret import Secret

MAX_TASKS: Final = 50_000
"""Cards being read, streams, webhooks being called."""
MAX_WEB_BYTES: Final = 1_000_000
"""Of a card."""
TIDY_SECONDS: Final = 3_600.0
CLOSE_PATIENCE: Final = 2.0


class Service:
    """All of it. Its methods belong to the event loop."""

    def __init__(self, site: Site, on_secrets: Callable[[], None], ask_model: AskModel) -> None:
        self._site = site
        self._ask_model = ask_model
        self._tasks = Tasks(logging.getLogger("pointsman.a2a"), MAX_TASKS)
        self._pools: Pools | None = None
        self._credentials: dict[str, tuple[AgentSettings, Credential | None]] = {}
        self._memory = MemoryTasks()
        self._memories: dict[str, Memory] = {}
        """Of models that are published, by agent: whatever else is changed of one, its tasks stay."""
        loop = asyncio.get_running_loop()
        self.registry = Registry(AGENTS, site.feed, site.tasks, clock=loop.time)
        self.cards = Keeper(lambda: self.registry.entries, self._web, self._lines, self._tasks, clock=loop.time)
        self.publisher = Publisher(self.cards, now=time.time)
        self.ledger = TaskLedger(self._rows, self._tasks)
        self._fleet = Fleet(self._agent, self._tasks)
        self._access = AccessSettings()
        self._own_sealer: Sealer | None = None
        self._webhooks: Webhooks | None = None
        self.notifications = Notifications(
            self.ledger,
            self.cards,
            Deliveries(lambda: self._pools_now().hooks, self._tasks, now=time.time, chance=random),
            Watching(lambda: self.gateway, self._tasks),
            self._webhooks_now,
            self._sealer,
            agents=lambda: self.registry.entries,
            caller=self._caller,
            now=time.time,
        )
        self.gateway = Gateway(
            self.registry,
            self.cards,
            self._fleet,
            self.ledger,
            meter=AgentMetering(site.till, lambda: self.registry.entries, lambda: self.registry.settings.public_rpm),
            counting=site.metrics.agents.bind,
            push=self.notifications,
            extend=self.publisher.extended,
            sealer=self._sealer,
            now=time.time,
        )
        self.fronts = Fronts(self.gateway, self.cards, A2aSettings(), self._tasks)
        self.registry.on_change += [self.cards.forget, self._changed, on_secrets]

    def configure(self, settings: A2aSettings | None, upstream: UpstreamSettings, access: AccessSettings) -> None:
        """Go by these settings from now on; ``None``: the config says nothing."""
        settings = settings or A2aSettings()
        # Each stream holds a connection, and all of them may be to one agent.
        most = upstream.max_connections_per_host + settings.max_streams
        upstream = replace(upstream, max_connections_per_host=most)
        if self._pools is None or not self._pools.serve(settings.allowed_private, upstream):
            old, self._pools = self._pools, Pools(settings.allowed_private, upstream, self._site)
            if old is not None:
                self._credentials.clear()
                self._fleet.renew()
                old.retire()
        guard = Guard(settings.allowed_private)
        self._webhooks = Webhooks(guard, GuardedResolver(asyncio.get_running_loop(), guard))
        self._access = access
        self.notifications.configure(settings)
        self.gateway.key_header = (access.key_header or "").lower()
        self.fronts.configure(settings)
        self.cards.configure(settings)
        self.publisher.configure(settings, access)
        self.registry.configure(settings)

    def start(self) -> None:
        """Begin what goes on as long as the process."""
        self.cards.start()
        self._tasks.start(self._keep_tidy(), "delete old tasks of agents")

    async def close(self) -> None:
        """End all that goes on."""
        self.fronts.close()
        await self._fleet.close()
        if running := [one for memory in self._memories.values() for one in memory.stop()]:
            await asyncio.wait(running, timeout=CLOSE_PATIENCE)
        await self.ledger.flush()
        await self._tasks.close(CLOSE_PATIENCE)
        if self._pools is not None:
            await self._pools.close()

    def secrets(self) -> frozenset[str]:
        """What must not stand in any log line."""
        return frozenset(text for one in self.registry.entries.values() for text in secrets_of(one))

    # -- ways to agents -------------------------------------------------------------------------------------------

    def _agent(self, settings: AgentSettings) -> Agent:
        if settings.model:
            memory = self._memories.setdefault(settings.id, Memory())
            return PublishedModel(
                settings,
                self._ask_model,
                self.ledger,
                memory,
                self._tasks,
                unique=lambda: str(uuid4()),
                now=time.time,
            )

        def host(url: str) -> Carrier:
            return self._pools_now().calls(is_trusted=_is_trusted(settings)).host(url)

        return RemoteAgent(settings, self.cards, host, self._credential(settings))

    def _credential(self, settings: AgentSettings) -> Credential | None:
        """One as long as an agent has the same settings: it may have a token already."""
        known = self._credentials.get(settings.id)
        if known is None or known[0] != settings:
            made = credential_of(settings, self._web, self._tasks, time.time)
            known = self._credentials[settings.id] = (settings, made)
        return known[1]

    def _web(self, settings: AgentSettings) -> Web:
        own = (settings.url, *settings.replicas, settings.card_url, settings.auth.token_url or "")
        own = (*own, *settings.allowed_origins)
        return self._pools_now().web(own, is_trusted=_is_trusted(settings), max_bytes=MAX_WEB_BYTES)

    async def _lines(self, settings: AgentSettings) -> Mapping[str, str]:
        return await lines_for(settings, self._credential(settings))

    def _pools_now(self) -> Pools:
        assert self._pools is not None
        return self._pools

    def _changed(self) -> None:
        agents = self.registry.entries
        self._fleet.keep_only(agents)
        for agent_id in self._credentials.keys() - agents.keys():
            del self._credentials[agent_id]
        for agent_id in self._memories.keys() - {one.id for one in agents.values() if one.model}:
            self._memories.pop(agent_id).stop()

    # -- webhooks -------------------------------------------------------------------------------------------------

    def _webhooks_now(self) -> Webhooks:
        assert self._webhooks is not None
        return self._webhooks

    async def _sealer(self) -> Sealer:
        """That of the store, or else one with what all workers of this host have in common."""
        feed = await self._site.feed()
        if feed is not None and feed.sealer is not None:
            return feed.sealer
        if self._own_sealer is None:
            self._own_sealer = Sealer(Secret(self._site.secret(self._access).hex()))
        return self._own_sealer

    async def _caller(self, holder: Holder) -> Caller:
        """Who a holder of webhooks is now.

        :raises GatewayError: nobody any more
        :raises Overloaded: that cannot be known at the moment
        """
        if holder.name in {NOBODY.name, MASTER.name}:
            return MASTER if holder.name else NOBODY
        keys = await self._site.accounts.look()
        if keys is None:
            raise Unauthenticated
        try:
            key = Key(user_id=holder.user, team_id=holder.team)
            found = await keys.row("keys", holder.key, Key) if holder.key else key
            if found is None:
                raise Unauthenticated
            caller = caller_of(await keys.family_of(holder.key, found), time.time())
        except StoreDown as error:
            raise Overloaded from error
        # A token has a role of its own.
        return caller if holder.key else replace(caller, role=holder.role)

    # -- tasks ----------------------------------------------------------------------------------------------------

    async def _rows(self) -> TaskRecords:
        """Where tasks are remembered: in memory only where nothing can be kept."""
        try:
            return (await self._site.accounts.opened()).records.tasks
        except ResourceNotFound:
            return self._memory

    async def _keep_tidy(self, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        while True:
            await sleep(TIDY_SECONDS)
            await self.ledger.tidy(self.registry.settings.task_days, time.time())


def _is_trusted(settings: AgentSettings) -> bool:
    """Whether the operator has named it, or has let somebody else do so."""
    return settings.source == "config" or settings.allow_private
