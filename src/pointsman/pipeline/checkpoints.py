"""The checkpoint of a routed model, kept while requests use it and replaced when another one is put in its place.

A new one is read, checked and built whole, away from the event loop, and takes effect by one assignment; requests
finish with what they began with. One that is broken changes nothing: the one before it serves on, and a warning, a
metric and ``GET /router/info`` tell of it.

Imports numpy: for whoever has a routed model only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pointsman.ml.checkpoint import RETRAIN, BadCheckpoint, Checkpoint, Manifest
from pointsman.ml.files import MANIFEST, TENSORS, read
from pointsman.telemetry.routed import CheckpointCounts

T = TypeVar("T")
Stamp = tuple[tuple[int, int, int], ...] | None

INTERVAL = 30.0
"""Seconds between two looks."""
LOOK = "it is looked at again after a while"
SHOWN = 12
"""Digits of an id that tell checkpoints apart."""

log = logging.getLogger(__name__)


class _Loaded(NamedTuple, Generic[T]):
    manifest: Manifest
    built: T
    at: float


class Kept(Generic[T]):
    """Holds what ``build`` makes of the checkpoint in ``directory``.

    ``now`` gives seconds since 1970. Where there are ``trusted_keys``, one of them has to have signed it.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        build: Callable[[Checkpoint], T],
        *,
        now: Callable[[], float],
        trusted_keys: Collection[str] = (),
        interval: float = INTERVAL,
    ) -> None:
        """``name`` is the routed model's, for logs and metrics."""
        self.name = name
        self.directory = directory
        self.interval = interval
        self.reloads = 0
        self.failures = 0
        self._build = build
        self._now = now
        self._trusted_keys = frozenset(trusted_keys)
        self._loaded: _Loaded[T] | None = None
        self._problem: BadCheckpoint | None = None
        self._seen: Stamp = None
        self._turn = asyncio.Lock()

    @property
    def is_loaded(self) -> bool:
        """Whether there is one yet."""
        return self._loaded is not None

    @property
    def current(self) -> T:
        """What is in force now; to be read once for each request. :meth:`load` has to have succeeded."""
        assert self._loaded is not None
        return self._loaded.built

    def load(self) -> T:
        """Read it for the first time.

        :raises BadCheckpoint: what is wrong with it, and what to do
        """
        self._seen = self._stamp()
        self._loaded = self._read()
        return self._loaded.built

    async def reload(self) -> bool:
        """Read it again; gives whether another one is in force now.

        :raises BadCheckpoint: it is broken, and the one before it serves on
        """
        async with self._turn:
            return await self._replace()

    async def look(self) -> None:
        """Read it again if its files have changed; nothing is raised."""
        async with self._turn:
            try:
                if await asyncio.to_thread(self._stamp) != self._seen:
                    await self._replace()
            except BadCheckpoint:
                # It has been told already, unless it is just being written.
                return
            except Exception as error:  # noqa: BLE001 - a look ends here; the next one has to be taken
                self.fail(BadCheckpoint(f"it cannot be looked at: {error!r}", LOOK, str(self.directory)))

    async def watch(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look every so many seconds, until this is cancelled."""
        while True:
            await sleep(self.interval)
            await self.look()

    def counts(self) -> CheckpointCounts:
        """What is told on ``/metrics``; of one that is not there yet, strategy and version are empty."""
        manifest = None if self._loaded is None else self._loaded.manifest
        return CheckpointCounts(
            routed_model=self.name,
            strategy="" if manifest is None else manifest.strategy,
            version="" if manifest is None else manifest.id[:SHOWN],
            loaded=0.0 if self._loaded is None else self._loaded.at,
            reloads=self.reloads,
            failures=self.failures,
        )

    def status(self) -> dict[str, Any]:
        """What ``GET /router/info`` tells."""
        problem = self._problem
        told: dict[str, Any] = {
            "path": str(self.directory),
            "reloads": self.reloads,
            "failures": self.failures,
            "problem": None if problem is None else {"what": problem.what, "hint": problem.hint},
        }
        if self._loaded is None:
            return told
        manifest = self._loaded.manifest
        return told | {
            "id": manifest.id,
            "strategy": manifest.strategy,
            "embedder": manifest.embedder,
            "created": manifest.created,
            "is_signed": manifest.signature is not None,
            "loaded_at": self._loaded.at,
        }

    async def _replace(self) -> bool:
        before = await asyncio.to_thread(self._stamp)
        try:
            found = await asyncio.to_thread(self._read)
        except BadCheckpoint as error:
            # What is being written at this moment is judged when it holds still.
            if await asyncio.to_thread(self._stamp) == before:
                self._seen = before
                self.fail(error)
            raise
        self._seen, self._problem = before, None
        if self._loaded is not None and found.manifest.id == self._loaded.manifest.id:
            return False
        self._loaded = found
        self.reloads += 1
        log.info("%s is routed by checkpoint %s now", self.name, found.manifest.id[:SHOWN])
        return True

    def fail(self, problem: BadCheckpoint) -> None:
        """What was found cannot be used: what is in force stays."""
        self._problem = problem
        self.failures += 1
        does = "keeps its checkpoint" if self.is_loaded else "goes on without a checkpoint"
        log.warning("%s %s, as the new one cannot be used: %s", self.name, does, problem)

    def _stamp(self) -> Stamp:
        """Tells whether files have changed; ``None`` where one is missing."""
        try:
            found = [(self.directory / name).stat() for name in (MANIFEST, TENSORS)]
        except OSError:
            return None
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)

    def _read(self) -> _Loaded[T]:
        try:
            checkpoint = read(self.directory, trusted_keys=self._trusted_keys)
            return _Loaded(checkpoint.manifest, self._build(checkpoint), self._now())
        except BadCheckpoint as error:
            raise error if error.where else error.at(str(self.directory)) from error
        except (Exception, SystemExit) as error:
            # An operator's own estimator can raise anything.
            raise BadCheckpoint(f"it cannot be used: {error!r}", RETRAIN, str(self.directory)) from error
