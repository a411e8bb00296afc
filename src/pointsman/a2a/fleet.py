"""The agents that are called: one object for each, as long as its settings are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from pointsman.a2a.base import Agent
from pointsman.a2a.settings import AgentSettings
from pointsman.errors import Overloaded
from pointsman.telemetry.tasks import Tasks


class _Kept:
    __slots__ = ("agent", "is_retired", "settings", "users")

    def __init__(self, settings: AgentSettings, agent: Agent) -> None:
        self.settings = settings
        self.agent = agent
        self.users = 0
        self.is_retired = False


class Fleet:
    """Makes them when somebody asks first; its methods belong to the event loop."""

    def __init__(self, make: Callable[[AgentSettings], Agent], tasks: Tasks) -> None:
        self._make = make
        self._tasks = tasks
        self._kept: dict[str, _Kept] = {}

    @contextmanager
    def using(self, settings: AgentSettings) -> Iterator[Agent]:
        """The agent of these settings; it is not closed before the end of this, whatever changes."""
        kept = self._kept.get(settings.id)
        if kept is None or (kept.settings is not settings and kept.settings != settings):
            if kept is not None:
                self._retire(kept)
            kept = self._kept[settings.id] = _Kept(settings, self._make(settings))
        kept.users += 1
        try:
            yield kept.agent
        finally:
            kept.users -= 1
            if kept.is_retired:
                self._close(kept)

    def keep_only(self, agents: Mapping[str, AgentSettings]) -> None:
        """Others are called now; what goes on with those that went comes to its end."""
        for agent_id, kept in list(self._kept.items()):
            if agents.get(agent_id) != kept.settings:
                del self._kept[agent_id]
                self._retire(kept)

    def renew(self) -> None:
        """Make all of them anew, each when somebody asks for it."""
        self.keep_only({})

    async def close(self) -> None:
        """End everything; what is in progress fails."""
        kept, self._kept = self._kept, {}
        for one in kept.values():
            await one.agent.close()

    def _retire(self, kept: _Kept) -> None:
        kept.is_retired = True
        self._close(kept)

    def _close(self, kept: _Kept) -> None:
        if kept.users == 0:
            # Where the process ends, nobody is left to do so.
            with suppress(Overloaded):
                self._tasks.start(kept.agent.close(), "leave an agent")
