"""Vectors of prompts that others make: an embeddings model of this gateway, or an encoder in a thread.

Whoever routes waits only so long. What comes too late, or not at all, is answered with nothing, and the prompt is
routed by what is known without it; after a few failures in a row nobody is asked for a while, so that a model that is
down does not hold up every request.

Imports numpy: for whoever has a routed model only.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from pointsman.errors import GatewayError
from pointsman.ml.base import Embedder, Floats
from pointsman.ml.embedders.base import NoEmbedder
from pointsman.ml.embedders.remote import Remote, request_of, vectors_in
from pointsman.pipeline.inside import collect
from pointsman.pipeline.serve import Pipeline
from pointsman.wire import operations as op

TIMEOUT = 0.15
MAX_BYTES = 16 << 20
OVERHEAD_BYTES = 250
"""Of an entry, beside its numbers."""
FAILURES = 3
REST = 10.0
"""Seconds in which nobody is asked."""
WAITING = 4
"""Prompts that wait for an encoder; more are not waited for."""

Source = Callable[[str], Awaitable[Floats]]
"""Gives the vector (1, dimension) of one text.

:raises GatewayError: the gateway has no answer
:raises NoEmbedder: the answer is none
:raises TimeoutError: too many are waiting
"""

log = logging.getLogger(__name__)


class Embedding:
    """The vectors of one embedder, those used last kept in memory."""

    def __init__(
        self,
        embedder: Embedder,
        source: Source,
        clock: Callable[[], float],
        *,
        timeout: float = TIMEOUT,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """Wait at most ``timeout`` seconds for each, and keep at most ``max_bytes``."""
        self.hits = 0
        self.asked = 0
        self.failed = 0
        self.is_outside = isinstance(embedder, Remote)
        self._embedder = embedder
        self._source = source
        self._clock = clock
        self._timeout = timeout
        self._most = max_bytes // (4 * embedder.dimension + OVERHEAD_BYTES)
        self._kept: OrderedDict[bytes, Floats] = OrderedDict()
        self._running: dict[bytes, asyncio.Future[Floats | None]] = {}
        """Texts that are just being asked for."""
        self._in_a_row = 0
        self._rests_until = -np.inf

    async def of(self, text: str) -> Floats | None:
        """The vector of a text, (1, dimension); ``None``: not in time."""
        if not text.strip():
            return np.zeros((1, self._embedder.dimension), np.float32)
        key = _key(text)
        vector = self._kept.get(key)
        if vector is not None:
            self._kept.move_to_end(key)
            self.hits += 1
            return vector
        if self._clock() < self._rests_until:
            return None
        running = self._running.get(key)
        if running is not None:
            return await self._wait(running)
        running = self._running[key] = asyncio.get_running_loop().create_future()
        try:
            vector = await self._ask(text)
            if vector is not None:
                self._kept[key] = vector
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            running.set_result(vector)
        finally:
            del self._running[key]
            # Whoever asked for all has left: the others go on without.
            running.cancel()
        return vector

    async def _wait(self, running: asyncio.Future[Floats | None]) -> Floats | None:
        """What another request for the same text gets."""
        done, _ = await asyncio.wait({running}, timeout=self._timeout)
        return None if not done or running.cancelled() else running.result()

    def kept(self, text: str) -> Floats | None:
        """The same without asking anybody."""
        return self._kept.get(_key(text)) if text.strip() else np.zeros((1, self._embedder.dimension), np.float32)

    def status(self) -> dict[str, Any]:
        """What ``GET /router/info`` tells."""
        return {
            "embedder": self._embedder.id,
            "hits": self.hits,
            "asked": self.asked,
            "failed": self.failed,
            "is_resting": self._clock() < self._rests_until,
        }

    async def _ask(self, text: str) -> Floats | None:
        self.asked += 1
        try:
            async with asyncio.timeout(self._timeout):
                vector = await self._source(text)
        except (GatewayError, NoEmbedder, TimeoutError) as error:
            self._fail(error)
            return None
        self._in_a_row = 0
        return vector

    def _fail(self, error: Exception) -> None:
        self.failed += 1
        self._in_a_row += 1
        if self._in_a_row >= FAILURES and self._clock() >= self._rests_until:
            self._rests_until = self._clock() + REST
            log.warning("prompts are routed without %s for a while: %s", self._embedder.id, str(error) or "too slow")


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()


class Thread:
    """Runs an encoder beside the event loop, one text at a time."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._executor = ThreadPoolExecutor(1, "embedder")
        self._begun: list[Future[Floats]] = []

    async def __call__(self, text: str) -> Floats:
        """The vector of a text; whoever does not wait any more takes it back if it has not begun.

        :raises TimeoutError: too many are waiting
        :raises NoEmbedder: the encoder fails
        """
        self._begun = [one for one in self._begun if not one.done()]
        if len(self._begun) > WAITING:
            raise TimeoutError
        future = self._executor.submit(self._embedder.embed, [text])
        self._begun.append(future)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Begin no more."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def through(pipeline: Pipeline, remote: Remote, clock: Callable[[], float]) -> Source:
    """Ask an embeddings model of this gateway, as a client would; ``clock`` is the pipeline's."""

    async def ask(text: str) -> Floats:
        body = request_of(remote.model, [text])
        answer = await collect(pipeline, op.EMBEDDINGS, body, now=clock())
        return vectors_in(answer, 1, remote.dimension)

    return ask


def embedding_of(
    embedder: Embedder, pipeline: Pipeline, clock: Callable[[], float], *, timeout: float = TIMEOUT
) -> Embedding | None:
    """What waits for the vectors of this embedder; ``None`` where there is nothing to wait for."""
    if embedder.is_quick:
        return None
    source = through(pipeline, embedder, clock) if isinstance(embedder, Remote) else Thread(embedder)
    return Embedding(embedder, source, clock, timeout=timeout)
