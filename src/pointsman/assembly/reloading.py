"""What the edge asks for when something is to be read again: the config, or checkpoints of routed models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from pointsman.assembly import canary
from pointsman.assembly.serving import Assembled, Assembly
from pointsman.config.outcomes import Refused
from pointsman.config.reload import Reloader
from pointsman.config.snapshot import Snapshot
from pointsman.config.sources.base import SourceDown
from pointsman.edge.gateway import Gateway
from pointsman.edge.line import Peers
from pointsman.routing.registry import PREFIX
from pointsman.telemetry.tasks import Tasks

if TYPE_CHECKING:
    from pointsman.assembly.routed import Part

FETCH_PATIENCE = 20.0
"""Seconds that whoever asks for a checkpoint waits for somebody who is fetching the same."""


class Control:
    """Changes what serves. It has to be started before it is asked for anything."""

    def __init__(self, peers: Peers, tasks: Tasks) -> None:
        self._peers = peers
        self._tasks = tasks
        self._assembly: Assembly
        self._reloader: Reloader
        self._gateway: Gateway
        self.hear: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]] = _nothing
        """Takes what another worker tells of MCP sessions."""

    def start(self, assembly: Assembly, reloader: Reloader, gateway: Gateway) -> None:
        """Begin to listen to the source, to signals and to other workers."""
        self._assembly, self._reloader, self._gateway = assembly, reloader, gateway
        gateway.reload = self._begin_reload
        self._peers.serve(self._answer, self._tasks)
        self._tasks.start(reloader.watch(), "watch the config")

    async def put(self, snapshot: Snapshot, *, is_checked: bool) -> list[str]:
        """Put a snapshot in force; gives what is to be noted about it.

        ``is_checked``: another worker serves it, so that nobody has to ask its new deployments again.

        :raises Refused: it cannot be, and nothing has changed
        """
        before = self._assembly.current
        try:
            after = await self._assembly.prepare(snapshot)
        except (ValueError, OSError) as error:
            raise Refused(str(error)) from error
        try:
            notes = await self._check(after, before) if snapshot.has_canary_check and not is_checked else []
            await self._assembly.swap(after, self._gateway.swap)
        finally:
            if self._assembly.current is not after:
                await self._assembly.discard(after)
        return notes

    async def _check(self, after: Assembled, before: Assembled) -> list[str]:
        problems, asked = await canary.check(after, before, time.monotonic)
        if asked and len(problems) == asked:
            raise Refused(f"the canary check has failed for all new deployments: {'; '.join(problems)}")
        return [f"canary check: {problem}" for problem in problems]

    # -- for the edge ---------------------------------------------------------------------------------------------

    async def reload(self, who: str, *, has_to_fetch: bool = False) -> Mapping[str, Any]:
        """Take up what the source has."""
        return await self._whole(self._reloader.reload(who, has_to_fetch=has_to_fetch), "reload the config")

    async def rollback(self, who: str) -> Mapping[str, Any]:
        """Go back to what was in force before."""
        return await self._whole(self._reloader.rollback(who), "go back")

    def status(self) -> Mapping[str, Any]:
        """What is in force, and what came of others."""
        return self._reloader.status()

    async def reload_routers(self, who: str, strategy: str | None, *, has_to_fetch: bool = False) -> Mapping[str, Any]:
        """Read checkpoints again, of one strategy or routed model or of all, here and in all other workers."""
        change = self._reload_all_routers(who, strategy, has_to_fetch=has_to_fetch)
        return await self._whole(change, "read checkpoints again")

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _whole(self, change: Coroutine[Any, Any, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
        """What came of a change, which goes on to its end whether or not whoever asks for it stays."""
        return await asyncio.shield(self._tasks.start(change, name))

    async def _reload_all_routers(self, who: str, strategy: str | None, *, has_to_fetch: bool) -> dict[str, Any]:
        own = await self._reload_routers(strategy, has_to_fetch=has_to_fetch)
        what = {"do": "router", "who": who, "strategy": strategy}
        others = await self._peers.ask(what)
        errors = [f"worker {one['pid']}: {text}" for one in others for text in one.get("errors", [])]
        return _told(own["reloaded"], own["errors"] + errors)

    def _begin_reload(self, who: str) -> None:
        self._tasks.start(self._reloader.reload(who), f"reload the config ({who})")

    async def _answer(self, what: Mapping[str, Any]) -> Mapping[str, Any]:
        if what.get("do") == "router":
            return await self._reload_routers(what.get("strategy"))
        if what.get("do") == "mcp":
            return await self.hear(what["told"])
        return await self._reloader.answer(what)

    async def _reload_routers(self, strategy: str | None, *, has_to_fetch: bool = False) -> dict[str, Any]:
        routed = self._assembly.current.routed
        parts = {} if routed is None else routed.parts
        chosen = {name: part for name, part in parts.items() if strategy is None or _is_meant(name, part, strategy)}
        if strategy is not None and not chosen:
            return _told([], [f"no routed model goes by {strategy!r}; there are {', '.join(parts) or 'none'}"])
        reloaded, errors = [], []
        for name, part in chosen.items():
            try:
                if await _read_again(part, has_to_fetch=has_to_fetch):
                    reloaded.append(PREFIX + part.model.settings.strategy)
            except (ValueError, SourceDown) as error:
                errors.append(f"{name}: {error}")
        return _told(list(dict.fromkeys(reloaded)), errors)


async def _nothing(_told: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


async def _read_again(part: Part, *, has_to_fetch: bool) -> bool:
    """Whether there was something to read.

    :raises ValueError: it cannot be used, and what was there before serves on
    :raises SourceDown: it cannot be fetched
    """
    if part.fetching is not None and has_to_fetch:
        await part.fetching.fetch(FETCH_PATIENCE)
    if part.trial is not None:
        await part.trial.look()
    checkpoint = part.checkpoint
    if checkpoint is None:
        return False
    await checkpoint.reload()
    return True


def _is_meant(name: str, part: Part, strategy: str) -> bool:
    return strategy.removeprefix(PREFIX) == part.model.settings.strategy or strategy == name


def _told(reloaded: list[str], errors: list[str]) -> dict[str, Any]:
    """The body of the seed."""
    status = "success" if not errors else "partial" if reloaded else "failed"
    return {"status": status, "reloaded": reloaded, "errors": errors}
