"""What a client was told of a task by a stream, and what of it is new when the stream goes on after a cut.

After a cut an agent tells the task as it is now, or begins anew, or goes on as if nothing had been missed. Of the first
the difference is told, of the second what was not told yet. What was told is not kept, only marks by which it is known
again.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from pointsman.a2a.protocol.operations import INTERRUPTED, TERMINAL, State, Version, state_of

MAX_ARTIFACTS: Final = 1_000
MAX_PARTS: Final = 20_000
"""Of all artifacts; one that does not fit is told as a whole after a cut."""
MAX_EVENTS: Final = 2_000
"""That are told from each other where an agent begins anew."""
NONE: Final = Raw(b"")
MARK: Final = array("q").itemsize
"""Bytes of a mark."""
_encode: Final = msgspec.json.Encoder().encode


class _Status(msgspec.Struct, frozen=True):
    state: str | None = None
    timestamp: str | None = None
    message: Raw = NONE


class _Artifact(msgspec.Struct, frozen=True, rename="camel"):
    artifact_id: str = ""
    parts: list[Raw] | None = None


class _Told(msgspec.Struct, frozen=True, rename="camel"):
    kind: str | None = None
    id: str | None = None
    task_id: str | None = None
    context_id: str | None = None
    status: _Status | None = None
    artifact: _Artifact | None = None
    artifacts: list[_Artifact] | None = None
    append: bool | None = None
    final: bool | None = None


class _Wrapped(_Told, frozen=True, rename="camel"):
    task: _Told | None = None
    message: Raw = NONE
    status_update: _Told | None = None
    artifact_update: _Told | None = None


_DECODER: Final = msgspec.json.Decoder(_Wrapped)


class Telling:
    """Keeps what was told; events are in the form of ``version``."""

    def __init__(self, version: Version, task: str = "", *, outlasts_pauses: bool = False) -> None:
        self.version = version
        self.task = task
        self.outlasts_pauses = outlasts_pauses
        """See :class:`~pointsman.a2a.base.Passed`."""
        self.context = ""
        self.state: State | None = None
        self.has_ended = False
        """Whether nothing comes any more, whatever the agent does."""
        self._status: tuple[State, str, int] | None = None
        self._artifacts: dict[str, list[int]] = {}
        """Marks of their parts."""
        self._room = MAX_PARTS
        self._events: list[int] = []
        self._again: int | None = None
        """How many of them were told again, as long as it is only those."""

    @property
    def may_end(self) -> bool:
        """Whether the stream may come to its end now."""
        return self.has_ended or (self.state in INTERRUPTED and not self.outlasts_pauses)

    def note(self, event: bytes) -> None:
        """Take note of what is told."""
        if len(self._events) < MAX_EVENTS:
            self._events.append(hash(event))
        self._note(_read(event))

    def resume(self) -> None:
        """The stream goes on by another answer."""
        self._again = 0

    def news(self, event: bytes) -> list[bytes]:
        """What is new in an event of such an answer, as events; it counts as told."""
        if self._again is not None:
            at, self._again = self._again, None
            if at < len(self._events) and self._events[at] == hash(event):
                self._again = at + 1
                return []
        found = _read(event)
        whole = _task_of(found)
        if whole is not None:
            return self._difference(whole, event)
        if self._is_old(found):
            return []
        self._note(found)
        return [event]

    def is_task(self, event: bytes) -> bool:
        """Whether an event is the task as it is."""
        return _task_of(_read(event)) is not None

    def catch_up(self, whole: bytes, early: Sequence[bytes]) -> list[bytes]:
        """What is new in the task as it is, and in events that have come before it was told and may be in it."""
        covered = _Covered(_task_of(_read(whole)), {name: len(marks) for name, marks in self._artifacts.items()})
        news = self.news(whole)
        for event in early:
            if not covered.has(_read(event)):
                news += self.news(event)
        return news

    def _note(self, found: _Wrapped | None) -> None:
        if found is None:
            return
        whole = _task_of(found)
        if whole is not None:
            self.task = whole.id or self.task
            self._note_status(whole, is_final=False)
            for artifact in whole.artifacts or ():
                self._keep(artifact.artifact_id, _marks(artifact))
            return
        if found.message or found.kind == "message":
            self.has_ended = True
            return
        told = _artifact_of(found)
        if told is not None:
            self.task = told.task_id or self.task
            self._note_artifact(told)
            return
        told = found.status_update or found
        self.task = told.task_id or self.task
        self._note_status(told, is_final=bool(told.final))

    def _note_status(self, told: _Told, *, is_final: bool) -> None:
        self.context = told.context_id or self.context
        if told.status is not None:
            self.state = state_of(told.status.state)
            self._status = _sign_of(told.status)
        self.has_ended = (is_final and not self.outlasts_pauses) or self.state in TERMINAL

    def _note_artifact(self, told: _Told) -> None:
        self.context = told.context_id or self.context
        assert told.artifact is not None
        self._keep(told.artifact.artifact_id, _marks(told.artifact), is_more=bool(told.append))

    def _keep(self, name: str, marks: list[int], *, is_more: bool = False) -> None:
        known = self._artifacts.get(name)
        if known is None and len(self._artifacts) >= MAX_ARTIFACTS:
            return
        if known is None or not is_more:
            self._room += len(known or ())
            known = self._artifacts[name] = []
        known += marks
        self._room -= len(marks)
        if self._room < 0:
            self._room += len(self._artifacts.pop(name))

    def _is_old(self, found: _Wrapped | None) -> bool:
        if found is None:
            return False
        told = _artifact_of(found)
        if told is not None and told.artifact is not None:
            # What is appended may look like what was appended before.
            return not told.append and self._artifacts.get(told.artifact.artifact_id) == _marks(told.artifact)
        told = found.status_update or found
        if told.status is None:
            return False
        sign, known = _sign_of(told.status), self._status
        # What comes late was said before the task was looked at; and after the end there is no other one.
        is_late = known is not None and bool(sign[1]) and bool(known[1]) and sign[1] < known[1]
        is_end = bool(told.final) and not self.has_ended
        return self.has_ended or is_late or (sign == known and not is_end)

    def _difference(self, whole: _Told, event: bytes) -> list[bytes]:
        """Events that make of the task as it was told the task as it is."""
        task: dict[str, Any] = msgspec.json.decode(event)
        task = task.get("task", task)
        ids = {"taskId": whole.id or self.task, "contextId": whole.context_id or self.context}
        news = []
        for number, artifact in enumerate(whole.artifacts or ()):
            marks, before = _marks(artifact), self._artifacts.get(artifact.artifact_id)
            rest = None if before is None else _rest(marks, before)
            if rest == []:
                continue
            told = task["artifacts"][number]
            if rest is not None:
                told = told | {"parts": [told["parts"][place] for place in rest]}
                marks = [marks[place] for place in rest]
            is_more = rest is not None
            self._keep(artifact.artifact_id, marks, is_more=is_more)
            news.append(self._event("artifact", ids | {"artifact": told, "append": is_more, "lastChunk": True}))
        if whole.status is not None and _sign_of(whole.status) != self._status:
            news.append(self._event("status", ids | {"status": task["status"]}))
        self.task = whole.id or self.task
        self._note_status(whole, is_final=False)
        return news

    def _event(self, kind: str, members: dict[str, Any]) -> bytes:
        if self.version == "1.0":
            return _encode({f"{kind}Update": members})
        if kind == "status":
            state = state_of(members["status"].get("state"))
            members = members | {"final": state in TERMINAL or state in INTERRUPTED}
        return _encode({"kind": f"{kind}-update"} | members)


class _Covered:
    """Marks of the artifacts of a task, by which it is seen that an event was before it."""

    def __init__(self, task: _Told | None, told: dict[str, int]) -> None:
        every = (task.artifacts if task else None) or ()
        self._marks = {one.artifact_id: _packed(one) for one in every if len(one.parts or ()) <= MAX_PARTS}
        self._told = {name: MARK * count for name, count in told.items()}

    def has(self, found: _Wrapped | None) -> bool:
        told = None if found is None else _artifact_of(found)
        if told is None or told.artifact is None:
            return False
        name, marks = told.artifact.artifact_id, _packed(told.artifact)
        every = self._marks.get(name)
        if every is None:
            return False
        if not told.append:
            return every.startswith(marks)
        at = every.find(marks, self._told.get(name, 0))
        while at > 0 and at % MARK:
            at = every.find(marks, at + 1)
        if at < 0:
            return False
        self._told[name] = at + len(marks)
        return True


def _read(event: bytes) -> _Wrapped | None:
    """``None``: it is of no kind that is known."""
    try:
        return _DECODER.decode(event)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _task_of(found: _Wrapped | None) -> _Told | None:
    if found is None:
        return None
    if found.task is not None:
        return found.task
    is_bare = found.kind == "task" or (found.kind is None and found.id is not None and found.status is not None)
    return found if is_bare else None


def _artifact_of(found: _Wrapped) -> _Told | None:
    told = found.artifact_update or found
    return told if told.artifact is not None else None


def _marks(artifact: _Artifact) -> list[int]:
    """What tells its parts from others."""
    return [hash(bytes(part)) for part in artifact.parts or ()]


def _packed(artifact: _Artifact) -> bytes:
    """The same in a form that is searched quickly."""
    return array("q", _marks(artifact)).tobytes()


def _rest(now: list[int], told: list[int]) -> list[int] | None:
    """The places of the parts that were not told yet; ``None``: the artifact is another one than was told."""
    if now[: len(told)] == told:
        return list(range(len(told), len(now)))
    if told[: len(now)] == now:
        return []
    # Agents on version 0.3 of the official SDK keep each part as often as somebody follows the task.
    places = _changes(now)
    before = [told[place] for place in _changes(told)]
    is_repeated = [now[place] for place in places[: len(before)]] == before
    return places[len(before) :] if is_repeated else None


def _changes(marks: list[int]) -> list[int]:
    """The places of those that are not like the one before."""
    return [place for place, mark in enumerate(marks) if place == 0 or marks[place - 1] != mark]


def _sign_of(status: _Status) -> tuple[State, str, int]:
    return state_of(status.state), status.timestamp or "", hash(bytes(status.message))
