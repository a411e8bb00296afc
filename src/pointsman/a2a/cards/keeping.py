"""The cards of all agents, kept up to date away from the requests that need them.

What is known of an agent is used until something newer is known: a look at it goes on beside the requests when its time
has come, when it behaves otherwise than its card says, and every now and then to see whether it is well. Only the first
request for an agent of which nothing is known waits for a look, and not for long.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from random import random
from typing import Final
from urllib.parse import urlsplit

import msgspec

from pointsman.a2a.base import Health, LiveCard
from pointsman.a2a.cards.fetching import Fetcher, LinesOf, NoCard, Page, WebOf, place_of
from pointsman.a2a.cards.reading import declared, live_card
from pointsman.a2a.cards.trusting import Trust
from pointsman.a2a.settings import A2aSettings, AgentSettings
from pointsman.errors import Overloaded, Unseen, UpstreamBroken, UpstreamUnreachable
from pointsman.telemetry.tasks import Tasks

log = logging.getLogger(__name__)

PATIENCE: Final = 3.0
"""Seconds that the first look at an agent has, until requests wait for it no longer."""
AT_LEAST: Final = 10.0
"""Seconds for which a card is good, whatever it says itself."""
AT_MOST: Final = 86_400.0
REST: Final = 5.0
"""Seconds between two looks at an agent that has no card; more each time."""

AgentsOf = Callable[[], Mapping[str, AgentSettings]]


class Known:
    """What is known of an agent."""

    def __init__(self, settings: AgentSettings) -> None:
        self.settings = settings
        self.page: Page | None = None
        self.card: LiveCard | None = None
        self.health = Health()
        self.due = 0.0
        self.looked = float("-inf")
        self.failures = 0
        self.flight: asyncio.Task[None] | None = None


class Keeper:
    """See :class:`~pointsman.a2a.base.Cards`; its methods belong to the event loop."""

    def __init__(
        self,
        agents: AgentsOf,
        web: WebOf,
        lines: LinesOf,
        tasks: Tasks,
        *,
        clock: Callable[[], float],
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``web`` is the way to an agent, and ``lines`` are what it is shown; ``chance`` gives numbers up to 1."""
        self._agents = agents
        self._fetcher = Fetcher(web, lines)
        self._trust = Trust(web, clock)
        self._tasks = tasks
        self._clock = clock
        self._now = now
        self._chance = chance
        self._sleep = sleep
        self._settings = A2aSettings()
        self._known: dict[str, Known] = {}

    def configure(self, settings: A2aSettings) -> None:
        """Go by these settings from now on."""
        self._settings = settings
        self._trust.allowed = settings.allowed_key_urls

    def start(self) -> None:
        """Begin to look whether the agents are well."""
        self._tasks.start(self._watch(), "look after agents")

    def forget(self) -> None:
        """The agents are others: of those that are not there any more nothing is kept."""
        for agent in self._known.keys() - self._agents().keys():
            del self._known[agent]

    async def live(self, agent: str) -> LiveCard:
        """See :class:`~pointsman.a2a.base.Cards`."""
        known = self._of(agent)
        if known.card is None:
            flight = self._begin(known)
            if flight is not None:
                # Not ``await flight``: cancelling one who waits must not cancel it for the others.
                await asyncio.wait((flight,), timeout=max(0.0, known.looked + PATIENCE - self._clock()))
        elif self._clock() >= known.due:
            self._begin(known)
        return known.card or declared(known.settings)

    def peek(self, agent: str) -> LiveCard | None:
        """See :class:`~pointsman.a2a.base.Cards`."""
        with suppress(Unseen):
            return self._of(agent).card
        return None

    def page(self, agent: str) -> bytes | None:
        """An agent's card as it has served it; ``None``: it is not known."""
        with suppress(Unseen):
            found = self._of(agent).page
            return None if found is None else found.body
        return None

    def health(self, agent: str) -> Health:
        """See :class:`~pointsman.a2a.base.Cards`."""
        known = self._known.get(agent)
        return Health() if known is None else known.health

    def changed(self, agent: str) -> None:
        """See :class:`~pointsman.a2a.base.Cards`."""
        with suppress(Unseen):
            known = self._of(agent)
            if self._clock() >= known.looked + REST:
                self._begin(known)

    async def look(self, settings: AgentSettings) -> LiveCard:
        """The card of an agent that is not registered.

        :raises GatewayError: there is none that could be used
        """
        try:
            return (await self._read(settings, None))[1]
        except NoCard as error:
            if error.is_there:
                raise UpstreamBroken(f"No card that can be used was found there: {error}") from None
            raise UpstreamUnreachable("The agent cannot be reached", operator_detail=str(error)) from None

    def _of(self, agent: str) -> Known:
        """:raises Unseen: it is not registered"""
        settings = self._agents().get(agent)
        if settings is None:
            raise Unseen(f"Agent {agent[:100]} not found")
        known = self._known.get(agent)
        if known is None or (known.settings is not settings and known.settings != settings):
            known = self._known[agent] = Known(settings)
        return known

    def _begin(self, known: Known) -> asyncio.Task[None] | None:
        """A look at an agent, which all who want one share; ``None``: the gateway ends, or has too much to do."""
        if known.settings.model:
            known.card = declared(known.settings)
            known.due = float("inf")
            return None
        if known.flight is None:
            with suppress(Overloaded):
                known.looked = self._clock()
                known.flight = self._tasks.start(self._look(known), "look at the card of an agent")
        return known.flight

    async def _look(self, known: Known) -> None:
        try:
            known.page, card = await self._read(known.settings, known.page)
        except NoCard as error:
            known.failures += 1
            if known.card is None:
                known.card = declared(known.settings)
            elif known.card.state == "live":
                known.card = msgspec.structs.replace(known.card, state="stale")
            known.due = self._clock() + min(REST * 2 ** min(known.failures, 10), self._settings.card_seconds)
            self._note(known, Health(state="healthy" if error.is_there else "unhealthy", error=str(error)), error.plain)
        else:
            known.failures = 0
            # Who has made something of a card goes by whether it is the same object.
            known.card = card if card != known.card else known.card
            seconds = known.page.seconds
            wanted = self._settings.card_seconds if seconds is None else seconds
            known.due = self._clock() + min(max(wanted, AT_LEAST), AT_MOST)
            self._note(known, Health(state="healthy"))
        finally:
            known.flight = None

    async def _read(self, settings: AgentSettings, before: Page | None) -> tuple[Page, LiveCard]:
        """:raises NoCard: there is none that may be used"""
        page = await self._fetcher.fetch(settings, before)
        judged = await self._trust.judge(page.document, settings)
        why = judged.refusal(settings)
        if why is not None:
            raise _unusable(page, why)
        try:
            return page, live_card(judged.document, settings, verdict=judged.verdict)
        except ValueError as error:
            raise _unusable(page, str(error)) from error

    def _note(self, known: Known, health: Health, why: str = "") -> None:
        agent, before = known.settings.id, known.health
        known.health = msgspec.structs.replace(health, checked_at=self._now())
        if health.state == before.state and (health.error is None) is (before.error is None):
            return
        if health.state == "unhealthy":
            log.warning("the agent %s does not answer as it should: %s", agent, why)
        elif health.error is not None:
            log.warning("the agent %s has no card that is used: %s", agent, why)
        elif before.error is not None:
            log.info("the agent %s is well again", agent)

    async def _watch(self) -> None:
        """Look at one agent after the other, so that each has its turn about once in the time that is set."""
        while True:
            watched = [one.id for one in self._agents().values() if one.health_check and one.url]
            pause = self._settings.health_seconds / max(1, len(watched))
            for agent in watched:
                with suppress(Unseen):
                    self._begin(self._of(agent))
                await self._sleep(pause * (0.5 + self._chance()))
            if not watched:
                await self._sleep(pause)


def _unusable(page: Page, why: str) -> NoCard:
    return NoCard(f"{urlsplit(page.url).path}: {why}", f"{place_of(page.url)}: {why}", is_there=True)
