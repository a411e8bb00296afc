"""One path for every change: fetch, parse, validate, compare, build, swap.

Whoever asks, a signal, an endpoint, another worker or the watch, one change is made at a time. What cannot be used
changes nothing: the snapshot in force serves on, and the status, a metric and the log tell why. After a rollback what
the source had then is left alone until the source has something else, or somebody forces it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol

import msgspec

from pointsman.config.diff import changes
from pointsman.config.kept import earlier
from pointsman.config.loading import load_fetched
from pointsman.config.outcomes import MAX_ERRORS, Outcome, Refusal, cut, errors_of, if_possible, notes_of, safely
from pointsman.config.snapshot import Snapshot
from pointsman.config.sources.base import Fetched, Version
from pointsman.config.sources.file import LOOK_SECONDS, FileSource
from pointsman.config.sources.settings import replica_of
from pointsman.config.starting import Origin, fetch
from pointsman.config.telling import told_of
from pointsman.config.turns import Turns
from pointsman.telemetry.beside import beside
from pointsman.telemetry.counts import ConfigCounts

MAX_CHANGES = 200
"""That are told."""
NOTHING_BEFORE = "there is no earlier config to go back to: they are kept in the data directory once they are in force"
HELD = "somebody went back from what the source holds; it is left alone until it changes, or force_sync is true"
GIVEN_UP = "somebody went back meanwhile, so this was given up"
ALONE = "all other workers serve a config that could not be kept, and that the source does not have: reload, or restart"
UNCHECKED = "new deployments were not asked by the canary check, since this config has served before"

log = logging.getLogger(__name__)


class Peers(Protocol):
    """The other workers of this gateway."""

    pid: int

    def tell(self, state: Mapping[str, Any]) -> None: ...
    def states(self) -> list[Mapping[str, Any]]: ...
    async def ask(self, what: Mapping[str, Any]) -> list[Mapping[str, Any]]: ...


class Putting(Protocol):
    """Builds and swaps, and gives what is to be noted; where ``is_checked``, others have asked new deployments."""

    async def __call__(self, snapshot: Snapshot, *, is_checked: bool) -> list[str]: ...


class Reloader:
    """Puts what the source has in the place of what is in force.

    ``put`` raises :class:`~pointsman.config.outcomes.Refused` where a snapshot cannot be put in force, and then nothing
    has changed.
    ``complete`` gives a snapshot what only the process knows, or refuses it. ``now`` is Unix time.
    """

    def __init__(
        self,
        origin: Origin,
        first: Snapshot,
        put: Putting,
        peers: Peers,
        *,
        complete: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot,
        retiring: Callable[[], int] = lambda: 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.current = first
        self.loaded = now()
        """When the snapshot in force came to be it."""
        self.reloads = 0
        self.failures = 0
        self.errors: list[str] = []
        """Why what the source has is not in force."""
        self.failed_at: float | None = None
        self.asked_by = ""
        self._origin = origin
        self._put = put
        self._peers = peers
        self._complete = complete
        self._retiring = retiring
        self._now = now
        self._turns = Turns()
        fetched = self._first = origin.fetched
        is_of_source = fetched is not None and fetched.kind != "last good"
        self._synced = None if fetched is None or not is_of_source else fetched.version.fetched
        self._version = None if fetched is None else _judged(fetched, origin.refused)
        """Of the source, as it was judged last."""
        self._tried: Version | None = None
        """Of the source, as it is being judged, or was when that was given up."""
        self._refused = origin.refused
        """The version that somebody went back from."""
        self._left = frozenset(origin.left)
        """Hashes that were left by going back."""
        self._problem = origin.problem or ""
        """Why this process began with something else than what its source has, until it has that."""
        self._is_watching = False
        self._refusal = Refusal()
        if origin.problem is not None:
            self.errors = self._refusal.errors = [cut(origin.problem)]
            self.failed_at = now()
        self._tell()

    # -- changing -------------------------------------------------------------------------------------------------

    async def reload(self, who: str, *, has_to_fetch: bool = False) -> dict[str, Any]:
        """Take up what the source has, here and in all other workers."""
        outcome = await self._in_turn(who, self._reload(has_to_fetch=has_to_fetch))
        others = await self._peers.ask({"do": "reload", "who": who, "force": has_to_fetch})
        return self._told(outcome, others)

    async def rollback(self, who: str) -> dict[str, Any]:
        """Go back to what was in force before, here and in all other workers."""
        outcome = await self._in_turn(who, self._go_back(None), is_back=True)
        others: list[Mapping[str, Any]] = []
        if not outcome.errors:
            fact = {"hash": self.current.hash, "refused": self._refused, "left": sorted(self._left)}
            others = await self._peers.ask({"do": "rollback", "who": who, **fact})
        return self._told(outcome, others)

    async def answer(self, what: Mapping[str, Any]) -> dict[str, Any]:
        """Do what another worker asks for."""
        who = str(what.get("who", ""))
        if what.get("do") == "rollback":
            outcome = await self._in_turn(who, self._go_back(what), is_back=True)
        else:
            outcome = await self._in_turn(who, self._reload(has_to_fetch=bool(what.get("force"))))
        return {"status": "failed" if outcome.errors else "success", "errors": outcome.errors, **self._state()}

    async def watch(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Take up changes of the source as they come, until this is cancelled."""
        source, settings = self._origin.source, self._origin.settings
        if source is None:
            return
        if self._origin.is_heir:
            # By then the others are heard.
            await sleep(LOOK_SECONDS)
            await self._in_turn("sync", self._catch_up(), is_of_source=False)
            if not self.reloads and self._is_alone():
                await self._in_turn("sync", self._follow())
        is_due, is_wanted = False, settings.has_hot_reload and (settings.is_enabled or source.kind == "file")
        self._is_watching = is_wanted or bool(self._problem)
        try:
            # Whatever is wanted, a start without its source goes on until it has that.
            while is_wanted or self._problem:
                if not isinstance(source, FileSource):
                    await self._in_turn("sync", self._reload(is_asked=False))
                    await sleep(settings.interval)
                    continue
                if await source.look() or is_due:
                    # What was given up is looked at once more: it may have to be left alone from now on.
                    is_due = (await self._in_turn("file", self._reload())).errors == [GIVEN_UP]
                await sleep(LOOK_SECONDS)
        finally:
            self._is_watching = False

    async def _in_turn(
        self, who: str, step: Coroutine[Any, Any, Outcome], *, is_of_source: bool = True, is_back: bool = False
    ) -> Outcome:
        async with self._turns.turn(step, is_exit=is_back) as outcome:
            if who not in {"sync", "file"}:
                self.asked_by = who
            if outcome is None:
                return Outcome(errors=[GIVEN_UP])
            self._conclude(who, outcome)
            if is_of_source and not is_back:
                # Going back, or failing to, says nothing of what the source has.
                self._judge(outcome)
            self._tell()
            return outcome

    def _conclude(self, who: str, outcome: Outcome) -> None:
        if outcome.is_changed:
            self.reloads += 1
            self.loaded = self._now()
            count = len(outcome.changes)
            log.info(
                "config %d is in force (%s, %d changes, asked by %s)", self.current.number, self._short, count, who
            )

    def _judge(self, outcome: Outcome) -> None:
        if outcome.errors and not outcome.is_known:
            # Nobody needs to read every minute that the source is still down.
            if outcome.errors != self.errors:
                log.error("the config stays as it is: %s", "; ".join(outcome.errors))
            self.failures += 1
            self.failed_at = self._now()
        self.errors = outcome.errors

    # -- the steps ------------------------------------------------------------------------------------------------

    async def _reload(self, *, has_to_fetch: bool = False, is_asked: bool = True) -> Outcome:
        source, interval = self._origin.source, self._origin.settings.interval
        if source is None:
            return Outcome(notes=["there is no config file: what is served follows from the environment"])
        known = None if has_to_fetch or self._refusal.is_due(self._now(), is_asked=is_asked) else self._version
        fetched = await fetch(source, known)
        self._synced = self._now()
        version = self._version if fetched is None else fetched.version
        is_held = bool(self._refused) and version is not None and version.etag == self._refused and not has_to_fetch
        if is_held:
            self._version, self._problem = version, ""
            if self._refusal.etag != self._refused:
                self._refusal = Refusal()
        if fetched is None or is_held:
            return Outcome(errors=self._refusal.errors, notes=[HELD] if is_held else [], is_known=True)
        self._tried = fetched.version
        outcome = await safely(self._take(fetched, "", self._left))
        # Only now: what nobody has judged to the end has to be new to whoever looks next.
        self._version, self._tried = fetched.version, None
        self._refusal.note(fetched.version.etag, outcome.errors, self._now(), interval, is_asked=is_asked)
        return outcome

    async def _go_back(self, what: Mapping[str, Any] | None) -> Outcome:
        """To where another worker has gone; by itself, to the last one before this that nobody went back from."""
        # What was given up for this is gone back from too.
        version, self._tried = self._tried or self._version, None
        if what is None:
            refused = self._refused if version is None else version.etag
            hash_, left = None, self._left | {self.current.hash}
        else:
            refused, left = str(what.get("refused", "")), frozenset(what.get("left", ()))
            hash_ = str(what.get("hash", ""))
            if hash_ == self.current.hash:
                self._refused, self._left = refused, left
                return Outcome()
        kept = self._origin.kept
        history = [] if kept is None else await asyncio.to_thread(lambda: list(kept.history()))
        found = earlier(history, hash_, left)
        if found is None:
            return Outcome(errors=[NOTHING_BEFORE])
        if what is None:
            self._version = version
        return await self._take(found.fetched, refused, left & {one.hash for one in history}, is_back=True)

    async def _catch_up(self) -> Outcome:
        """Take up what came into force while this worker began, and could not be asked yet."""
        kept = self._origin.kept
        latest = None if kept is None else await asyncio.to_thread(kept.latest)
        if latest is None or (latest.hash, latest.refused) == (self.current.hash, self._refused):
            return Outcome()
        self._version = _judged(latest.fetched, latest.refused)
        return await self._take(latest.fetched, latest.refused, frozenset(latest.left))

    def _is_alone(self) -> bool:
        """Whether there are others, and all of them serve something else."""
        hashes = {one.get("hash") for one in self._peers.states()}
        return bool(hashes) and self.current.hash not in hashes

    async def _follow(self) -> Outcome:
        """Take up what others serve where what is kept is older: their disk was full, for one."""
        outcome = await safely(self._reload())
        if not outcome.errors and self._is_alone():
            return Outcome(errors=[ALONE])
        return outcome

    async def _take(self, fetched: Fetched, refused: str, left: frozenset[str], *, is_back: bool = False) -> Outcome:
        """Parse, validate, compare, build, swap, and remember; then what fails is noted, and no more than that."""
        loaded = await beside(load_fetched, fetched, self._origin.environ, self.current.number + 1)
        if loaded.snapshot is None:
            return Outcome(errors=errors_of(loaded.problems))
        snapshot = self._completed(loaded.snapshot)
        outcome, before = Outcome(notes=notes_of(loaded.problems)), self.current
        if snapshot.hash != before.hash:
            await self._keep_first()
            # Who goes back is in need, and has no use for a provider's health: it has served before.
            is_checked = is_back or any(one.get("hash") == snapshot.hash for one in self._peers.states())
            outcome.notes += [UNCHECKED] if is_back and snapshot.has_canary_check else []
            outcome.notes += await self._put(snapshot, is_checked=is_checked)
            self.current, outcome.is_changed = snapshot, True
            self._turns.commit()
        self._refused, self._left = refused, left - {snapshot.hash}
        if fetched.kind != "last good":
            self._problem = ""
        if outcome.is_changed:
            # Nobody who waits for the change waits for its description.
            tell = partial(_describe, before, snapshot, outcome)
            await if_possible(tell, "what has changed cannot be told", outcome)
        await self._keep(fetched, outcome)
        return outcome

    def _completed(self, snapshot: Snapshot) -> Snapshot:
        """With the key that the gateway has made, which stays the same."""
        key = self.current.access.master_key
        if snapshot.is_master_key_automatic and self.current.is_master_key_automatic and key is not None:
            snapshot = msgspec.structs.replace(snapshot.with_master_key(key), is_master_key_automatic=False)
            return msgspec.structs.replace(self._complete(snapshot), is_master_key_automatic=True)
        return self._complete(snapshot)

    async def _keep_first(self) -> None:
        """Keep the file that the process began with when another one is to take its place."""
        first, self._first = self._first, None
        if first is not None and first.kind == "file":
            await self._keep(first, Outcome())

    async def _keep(self, fetched: Fetched, outcome: Outcome) -> None:
        """Keep on disk what is in force now."""
        if self._origin.kept is not None:
            keep = partial(
                self._origin.kept.keep,
                fetched,
                self.current.hash,
                refused=self._refused,
                left=self._left,
                problem=self._problem,
            )
            what = "the config cannot be kept, so no start can do without its source"
            await if_possible(keep, what, outcome)

    # -- telling --------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What ``GET /config/sync/status`` tells: the seed's fields, and what else there is to know."""
        workers, replica = self._workers([]), replica_of(self._origin.environ)
        in_force = {"hash": self.current.hash, "number": self.current.number}
        return {
            **told_of(self._origin, self._version),
            "reload_count": self.reloads,
            "last_sync_time": self._synced,
            "running": self._is_watching,
            **in_force,
            "in_force_since": self.loaded,
            "retiring": self._retiring(),
            "is_held": bool(self._refused),
            "is_source_in_force": not self.errors and not self._refused,
            "failures": self.failures,
            "last_error": self._last_error(),
            "asked_by": self.asked_by or None,
            "workers": workers,
            "replica": replica,
            # Those of other machines are not known: nothing is shared between them.
            "replicas": [{"replica": replica, "is_this": True, **in_force, "workers": len(workers)}],
        }

    @property
    def counts(self) -> ConfigCounts:
        """What is told on ``/metrics``."""
        source = self._origin.source
        counts = None if source is None else source.counts
        return ConfigCounts(
            hash=self.current.hash,
            number=self.current.number,
            loaded=self.loaded,
            reloads=self.reloads,
            failures=self.failures,
            is_broken=bool(self.errors),
            retiring=self._retiring(),
            requests=0 if counts is None else counts.requests,
            unchanged=0 if counts is None else counts.unchanged,
            down=0 if counts is None else counts.failures,
        )

    @property
    def _short(self) -> str:
        return self.current.hash[:12]

    def _last_error(self) -> dict[str, Any] | None:
        return {"errors": self.errors, "at": self.failed_at} if self.errors else None

    def _state(self) -> dict[str, Any]:
        return {
            "pid": self._peers.pid,
            "hash": self.current.hash,
            "number": self.current.number,
            "reload_count": self.reloads,
            "is_held": bool(self._refused),
            "last_error": self._last_error(),
        }

    def _tell(self) -> None:
        self._peers.tell(self._state())

    def _workers(self, answers: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
        told: dict[int, dict[str, Any]] = {}
        for one in (*self._peers.states(), *answers):
            # Who did not answer is as he was last.
            told[one["pid"]] = told.get(one["pid"], {}) | dict(one)
        return [{**self._state(), "is_this": True}, *({**one, "is_this": False} for one in told.values())]

    def _told(self, outcome: Outcome, others: list[Mapping[str, Any]]) -> dict[str, Any]:
        failed = [one for one in others if one.get("status") == "failed"]
        errors = list(outcome.errors)
        errors += [f"worker {one['pid']}: {text}" for one in failed for text in one.get("errors", [])][:MAX_ERRORS]
        is_other = any(one.get("hash") != self.current.hash for one in others)
        status = "success"
        if outcome.errors:
            status = "failed"
        elif failed or is_other:
            status = "partial"
        return {
            "status": status,
            "reloaded": ["config"] if outcome.is_changed else [],
            "errors": errors,
            "notes": outcome.notes[:MAX_ERRORS],
            "changes": outcome.changes[:MAX_CHANGES],
            "hash": self.current.hash,
            "number": self.current.number,
            "workers": self._workers(others),
        }


def _judged(fetched: Fetched, refused: str) -> Version:
    """The version that the source had when it was judged last."""
    return msgspec.structs.replace(fetched.version, etag=refused or fetched.version.etag)


def _describe(before: Snapshot, after: Snapshot, outcome: Outcome) -> None:
    outcome.changes = [str(change) for change in changes(before, after)]
