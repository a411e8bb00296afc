"""Answers that are given again to the same question of the same tenant.

Only whole and successful ones are kept: no error, no stream that was cut, nothing over a mebibyte, and nothing whose
question means something else the next time it is asked.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pointsman.pipeline.call import Call
from pointsman.pipeline.downstream import Downstream
from pointsman.pipeline.settings import CacheSettings
from pointsman.wire import operations as op
from pointsman.wire.cachecontrol import CacheControl, cache_control
from pointsman.wire.fingerprint import fingerprint
from pointsman.wire.outcome import tells_failure
from pointsman.wire.replies import Flow

if TYPE_CHECKING:
    from pointsman.pipeline.shared_answers import SharedAnswers
    from pointsman.providers.base import Deployment

MAX_ANSWER_BYTES = 1024 * 1024
OWN_BYTES = 512
"""About what an entry takes beside its answer."""
KEPT_LINES = (b"content-type: ", b"cache-control: ", b"x-accel-buffering: ")
"""Header lines that belong to the answer; the others tell about the call that brought it."""
EVENTS = b"content-type: text/event-stream"
KINDS = (b"content-type: application/json", EVENTS)
STATEFUL = (b'"conversation"', b'"background"')
"""Members of Responses requests that mean something else each time: the talk has gone on, the run has ended."""


class Answer(msgspec.Struct, frozen=True):
    """What is given again, to the byte."""

    lines: bytes
    body: bytes


class _Entry(msgspec.Struct, frozen=True):
    answer: Answer
    stored: float
    expires: float
    size: int


class AnswerCache:
    """Answers by key, the least recently used first to go. Times in seconds of one clock."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        """Answers that went for want of room."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str, now: float, max_age: float | None = None) -> Answer | None:
        """The answer to ``key``, unless it has expired or is older than ``max_age``."""
        entry = self._entries.get(key)
        if entry is not None and entry.expires <= now:
            self._drop(key)
            entry = None
        if entry is None or (max_age is not None and now - entry.stored > max_age):
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return entry.answer

    def put(self, key: str, answer: Answer, ttl: float, now: float) -> None:
        """Keep ``answer`` for ``ttl``, in the place of an earlier one; not at all if it is larger than the cache."""
        if key in self._entries:
            self._drop(key)
        size = len(answer.lines) + len(answer.body) + OWN_BYTES
        if size > self._max_bytes or ttl <= 0:
            return
        while self.bytes + size > self._max_bytes:
            self._drop(next(iter(self._entries)))
            self.evictions += 1
        self._entries[key] = _Entry(answer, now, now + ttl, size)
        self.bytes += size

    def _drop(self, key: str) -> None:
        self.bytes -= self._entries.pop(key).size


class Recorder:
    """Passes a reply on to ``downstream`` and keeps a copy of it, as long as that has at most ``limit`` bytes."""

    def __init__(self, downstream: Downstream, limit: int = MAX_ANSWER_BYTES) -> None:
        self._downstream = downstream
        self._limit = limit
        self._lines: bytes | None = None
        self._body = bytearray()
        self._is_whole = False

    @property
    def is_settled(self) -> bool:
        """Whether the outcome has been counted."""
        return self._downstream.is_settled

    @is_settled.setter
    def is_settled(self, value: bool) -> None:
        self._downstream.is_settled = value

    @property
    def is_started(self) -> bool:
        """Whether the reply has begun."""
        return self._downstream.is_started

    def reply(self, status: int, headers: bytes, body: bytes) -> None:
        """Pass a whole reply on."""
        self._downstream.reply(status, headers, body)
        self._begin(status, headers)
        self._keep(body)
        self._is_whole = True

    def start(self, status: int, headers: bytes, length: int | None = None) -> None:
        """Pass the head of a reply on."""
        self._downstream.start(status, headers, length)
        self._begin(status, headers)

    def write(self, piece: bytes) -> None:
        """Pass a piece on."""
        self._downstream.write(piece)
        self._keep(piece)

    def finish(self) -> None:
        """The reply is whole."""
        self._downstream.finish()
        self._is_whole = True

    def cut(self) -> None:
        """The rest will never come."""
        self._downstream.cut()

    def flow_to(self, flow: Flow | None) -> None:
        """Name the producer."""
        self._downstream.flow_to(flow)

    def answer(self) -> Answer | None:
        """What was replied, if it is an answer to keep."""
        lines = self._lines
        if lines is None or not self._is_whole:
            return None
        body = bytes(self._body)
        return None if tells_failure(body, is_stream=lines.startswith(EVENTS)) else Answer(lines, body)

    def _begin(self, status: int, headers: bytes) -> None:
        kept = [line for line in headers.splitlines(keepends=True) if line.startswith(KEPT_LINES)]
        if status == 200 and headers.startswith(KINDS):
            self._lines = b"".join(kept)

    def _keep(self, piece: bytes) -> None:
        if self._lines is None:
            return
        if len(self._body) + len(piece) > self._limit:
            self._lines = None
            self._body.clear()
        else:
            self._body += piece


class ExactCache:
    """Answers calls from ``answers``, and keeps there what others bring."""

    def __init__(
        self, settings: CacheSettings, answers: AnswerCache | SharedAnswers, clock: Callable[[], float]
    ) -> None:
        """``clock`` is that of ``answers``."""
        self._settings = settings
        self._answers = answers
        self._clock = clock
        self._editions: dict[tuple[str, ...], str] = {}

    def edition(self, generation: int, deployments: Sequence[Deployment]) -> str:
        """What tells a group from the one that had its name before a change of the configuration.

        Processes that share their answers count their changes each for itself, and so go by what the deployments are.
        """
        if isinstance(self._answers, AnswerCache):
            return str(generation)
        # Ids are of one deployment each for as long as a configuration is in force, and so is this object.
        ids = tuple([one.id for one in deployments])
        edition = self._editions.get(ids)
        if edition is None:
            edition = self._editions[ids] = content_of(deployments)
        return edition

    async def serve(
        self,
        call: Call,
        model: str,
        body: bytes,
        scope: tuple[str, ...],
        members: Mapping[str, Any] | None,
        caching: bool | None,
        attempt: Callable[[], Awaitable[bool]],
    ) -> None:
        """Answer ``call``, which asks ``body`` of the public ``model``: with what is kept, else by ``attempt``.

        ``scope`` is what else the answer depends on. ``members`` and ``caching`` are what the caller says about the
        cache. ``attempt`` tells whether the answer is one of the model that was asked; what it replies must go to
        ``call.downstream`` as that is when it begins.

        :raises InvalidRequest: the caller's ``cache`` is not valid
        :raises GatewayError: what ``attempt`` raises
        """
        control = cache_control(members, caching, call.headers.get(b"cache-control"))
        if not self._applies(control, call, body):
            await attempt()
            return
        settings = self._settings
        words = (call.tenant, settings.namespace, control.namespace, call.operation.name, model, *scope)
        key = fingerprint(body, *words)
        if control.can_read:
            answers, now = self._answers, self._clock()
            if isinstance(answers, AnswerCache):
                answer = answers.get(key, now, control.max_age)
            else:
                answer = await answers.get(key, now, control.max_age)
            if answer is not None:
                _give(call, answer, key)
                return
        if not control.can_write:
            await attempt()
            return
        call.downstream = recorder = Recorder(call.downstream)
        is_its_own = await attempt()
        if is_its_own and call.failure is None and (answer := recorder.answer()) is not None:
            ttl = settings.ttl if control.ttl is None else control.ttl
            self._answers.put(key, answer, ttl, self._clock())

    def _applies(self, control: CacheControl, call: Call, body: bytes) -> bool:
        settings = self._settings
        if (settings.is_opt_in and not control.is_asked_for) or not (control.can_read or control.can_write):
            return False
        if call.operation is op.RESPONSES and any(member in body for member in STATEFUL):
            return False
        return call.operation.name in settings.operations


def content_of(deployments: Sequence[Deployment]) -> str:
    """A digest that is the same in each process for the same deployments, whatever their credentials."""
    return hashlib.sha256(msgspec.json.encode(list(deployments), order="sorted", enc_hook=str)).hexdigest()


def _give(call: Call, answer: Answer, key: str) -> None:
    call.status = 200
    lines = b"%b%bx-litellm-cache-key: %b\r\nx-litellm-response-cost: 0\r\n"
    identity = call.identity + call.routed_lines
    call.downstream.reply(200, lines % (answer.lines, identity, key.encode()), answer.body)
