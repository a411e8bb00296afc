"""Repeated requests: one call for all that carry the same ``Idempotency-Key``.

The first request begins the call, which then runs by itself: whoever leaves can come back with the same key and gets
the answer from its beginning, whether it is whole by then or still being made. Answers are kept for an hour, or until
memory is short; failures are not kept, so that the next request with the key tries again.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from pointsman.errors import (
    AnswerNotKept,
    GatewayError,
    IdempotencyKeyReused,
    InternalError,
    InvalidRequest,
    Overloaded,
)
from pointsman.pipeline.admission import Admission
from pointsman.pipeline.downstream import Downstream
from pointsman.pipeline.recording import MAX_RECORDED_BYTES, Recording
from pointsman.telemetry.tasks import Tasks

KEY = re.compile(rb"[ -~]{1,255}")
Name = tuple[str, bytes]
"""A tenant and the key that it chose: nobody can name another tenant's answer."""
Run = Callable[[Downstream], Coroutine[Any, Any, None]]
"""Carries the call out; raises :class:`GatewayError` as long as nothing was sent."""


class LedgerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What repeated requests may cost."""

    seconds: float = 3600.0
    """How long an answer can be repeated."""
    max_bytes: int = 64 * 1024 * 1024
    """Of all answers."""
    max_answer_bytes: int = MAX_RECORDED_BYTES
    max_keys: int = 10_000
    """Whose call has ended."""


DEFAULTS = LedgerLimits()


@dataclass(slots=True)
class Entry:
    """What is known of a key."""

    fingerprint: str
    recording: Recording
    expires: float = 0.0


class IdempotencyLedger:
    """Which call answers to which key. The running ones are bounded by ``tasks``, the others by ``limits``."""

    def __init__(
        self, tasks: Tasks, admission: Admission, clock: Callable[[], float], limits: LedgerLimits = DEFAULTS
    ) -> None:
        self._tasks = tasks
        self._admission = admission
        self._clock = clock
        self._limits = limits
        self._running: dict[Name, Entry] = {}
        self._ended: OrderedDict[Name, Entry] = OrderedDict()
        """The least recently used first."""
        self.bytes = 0
        """Kept of all answers."""

    async def serve(
        self, tenant: str, key: bytes, fingerprint: str, downstream: Downstream, identity: bytes, run: Run
    ) -> None:
        """Answer a request of ``tenant`` with the value ``key`` of its ``Idempotency-Key``, by ``run`` if it is new.

        ``fingerprint`` tells what is asked for; ``identity`` is the header lines that name this request.

        :raises InvalidRequest: ``key`` is not one
        :raises IdempotencyKeyReused: something else was asked for with this key
        :raises AnswerNotKept: the call has been made, but its answer is too long to be repeated
        :raises GatewayError: the call failed before anything was sent, or cannot be begun
        """
        if not KEY.fullmatch(key):
            raise InvalidRequest("Idempotency-Key must be 1 to 255 printable ASCII characters", param="Idempotency-Key")
        name = (tenant, key)
        entry = self._find(name)
        if entry is None:
            await self._begin(name, fingerprint, downstream, identity, run)
        elif entry.fingerprint != fingerprint:
            raise IdempotencyKeyReused
        elif not entry.recording.is_joinable:
            raise AnswerNotKept
        else:
            await entry.recording.read(downstream, identity)

    def has_room(self, size: int) -> bool:
        """Whether ``size`` bytes more can be kept, which the least recently used answers have to go for."""
        while self.bytes + size > self._limits.max_bytes and self._ended:
            self._drop(next(iter(self._ended)))
        return self.bytes + size <= self._limits.max_bytes

    def take(self, size: int) -> None:
        """Count ``size`` bytes as kept; a negative number gives them back."""
        self.bytes += size

    def _find(self, name: Name) -> Entry | None:
        running = self._running.get(name)
        if running is not None:
            return running
        entry = self._ended.get(name)
        if entry is not None and entry.expires <= self._clock():
            self._drop(name)
            return None
        if entry is not None:
            self._ended.move_to_end(name)
        return entry

    async def _begin(self, name: Name, fingerprint: str, downstream: Downstream, identity: bytes, run: Run) -> None:
        recording = Recording(identity, self, self._limits.max_answer_bytes)
        entry = Entry(fingerprint, recording)
        task = self._tasks.start(_carry_out(run, recording), "a call with an Idempotency-Key")
        task.add_done_callback(partial(self._end, name, entry))
        self._running[name] = entry
        try:
            await recording.read(downstream)
            # One call is counted once, and at its end; the requests that repeat it are not counted with it.
            await asyncio.wait([task])
        except asyncio.CancelledError:
            if not task.done():
                self._admission.adopt(task)
            raise
        finally:
            downstream.is_settled = recording.is_settled

    def _end(self, name: Name, entry: Entry, task: asyncio.Task[None]) -> None:
        recording = entry.recording
        del self._running[name]
        if not recording.is_over:
            recording.fail(Overloaded() if task.cancelled() else InternalError())
        if recording.is_success:
            entry.expires = self._clock() + self._limits.seconds
            self._ended[name] = entry
            while len(self._ended) > self._limits.max_keys:
                self._drop(next(iter(self._ended)))
        else:
            recording.forget()

    def _drop(self, name: Name) -> None:
        self._ended.pop(name).recording.forget()


async def _carry_out(run: Run, recording: Recording) -> None:
    """The failure of a call is told to those who wait for its answer, and is not this task's."""
    try:
        await run(recording)
    except GatewayError as error:
        recording.fail(error)
