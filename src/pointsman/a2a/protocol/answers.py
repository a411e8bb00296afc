"""What an agent has said, for somebody who wants an answer and not a task: text, files, and how far it is meanwhile.

An agent answers with a message, or with a task that has artifacts and a state with a message of its own. The artifacts
are the answer. What the state says is the answer only where the agent waits for its client, or where there is no other
answer; else it tells how far the task is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from pointsman.a2a.protocol import faults
from pointsman.a2a.protocol.operations import INTERRUPTED, State, state_of
from pointsman.wire.usage import Usage, find_usage

MAX_KEPT: Final = 4_000_000
"""Characters of artifacts that are remembered, to tell what is new in one that is sent again as a whole."""
FAILED: Final[frozenset[State]] = frozenset({"failed", "canceled", "rejected"})
BETWEEN: Final = "\n\n"
"""Stands between two artifacts, or two messages."""


class Text(msgspec.Struct, frozen=True):
    """More of the answer."""

    text: str


class Thought(msgspec.Struct, frozen=True):
    """How far the agent is, in its own words."""

    text: str


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the answer: ``url``, or ``data`` in base64."""

    url: str = ""
    data: str = ""
    media_type: str = ""
    name: str = ""


Piece = Text | Thought | File


class Reading:
    """Reads results of messages, or the events of one stream, in the form of version 1.0."""

    def __init__(self) -> None:
        self.task = ""
        self.context = ""
        self.state: State | None = None
        """``None``: the agent has answered without a task."""
        self.complaint = ""
        """What it says of a task that has failed."""
        self.usage: Usage | None = None
        """What it says that it has used."""
        self._has_said = False
        self._told: dict[str, str] = {}
        """Texts of artifacts, by their ids."""
        self._kept = 0

    @property
    def has_failed(self) -> bool:
        """Whether the task is over, and there will be no answer."""
        return self.state in FAILED

    @property
    def goes_on(self) -> bool:
        """Whether the agent has not answered yet, as far as it has told."""
        return self.state in {"submitted", "working"}

    def read(self, data: bytes) -> list[Piece]:
        """What is new.

        :raises RpcError: it is no JSON object
        """
        try:
            found = msgspec.json.decode(data, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise faults.refusal(faults.INVALID_AGENT_RESPONSE) from error
        pieces: list[Piece] = []
        if task := _members(found.get("task")):
            pieces += self._read_task(task)
        if message := _members(found.get("message")):
            self._note(message)
            pieces += self._say(_pieces(message))
        if update := _members(found.get("artifactUpdate")):
            self._note(update)
            pieces += self._read_artifact(_members(update.get("artifact")), is_more=update.get("append") is True)
        if update := _members(found.get("statusUpdate")):
            self._note(update)
            pieces += self._read_status(_members(update.get("status")))
        return pieces

    def _read_task(self, task: Mapping[str, Any]) -> list[Piece]:
        self._note(task)
        self.task = _text(task.get("id")) or self.task
        pieces: list[Piece] = []
        for artifact in _list(task.get("artifacts")):
            pieces += self._read_artifact(artifact, is_more=False)
        pieces += self._read_status(_members(task.get("status")))
        if self.state == "completed" and not self._has_said:
            answers = [one for one in _list(task.get("history")) if one.get("role") == "ROLE_AGENT"]
            pieces += self._say(_pieces(answers[-1])) if answers else []
        return pieces

    def _read_artifact(self, artifact: Mapping[str, Any], *, is_more: bool) -> list[Piece]:
        self._note(artifact)
        name, pieces = _text(artifact.get("artifactId")), _pieces(artifact)
        text = "".join(one.text for one in pieces if isinstance(one, Text))
        before = self._told.get(name)
        self._keep(name, (before or "") + text if is_more else text)
        if is_more and self._has_said:
            return pieces
        if before is None or is_more:
            return self._say(pieces)
        if text.startswith(before):
            return [Text(text[len(before) :])] if len(text) > len(before) else []
        return self._say(pieces)

    def _read_status(self, status: Mapping[str, Any]) -> list[Piece]:
        if not status:
            return []
        self.state = state_of(status.get("state"))
        message = _members(status.get("message"))
        self._note(message)
        pieces = _pieces(message)
        text = "".join(one.text for one in pieces if isinstance(one, Text))
        if self.has_failed:
            self.complaint = text
            return []
        if self.state in INTERRUPTED or (self.state == "completed" and not self._has_said):
            return self._say(pieces)
        return [Thought(text)] if text else []

    def _say(self, pieces: list[Piece]) -> list[Piece]:
        if not pieces:
            return []
        said = [Text(BETWEEN), *pieces] if self._has_said else pieces
        self._has_said = True
        return said

    def _keep(self, name: str, text: str) -> None:
        self._kept += len(text) - len(self._told.get(name, ""))
        if self._kept <= MAX_KEPT:
            self._told[name] = text

    def _note(self, found: Mapping[str, Any]) -> None:
        self.task = _text(found.get("taskId")) or self.task
        self.context = _text(found.get("contextId")) or self.context
        usage = _members(_members(found.get("metadata")).get("usage"))
        if usage:
            self.usage = find_usage(msgspec.json.encode({"usage": usage})) or self.usage


def _pieces(holder: Mapping[str, Any]) -> list[Piece]:
    """What the parts of a message or an artifact are; texts that follow each other are one."""
    found: list[Piece] = []
    for piece in _parts(holder):
        last = found[-1] if found else None
        if isinstance(last, Text) and isinstance(piece, Text):
            found[-1] = Text(f"{last.text}\n{piece.text}")
        else:
            found.append(piece)
    return found


def _parts(holder: Mapping[str, Any]) -> Iterator[Piece]:
    for part in _list(holder.get("parts")):
        media_type, name = _text(part.get("mediaType")), _text(part.get("filename"))
        if text := _text(part.get("text")):
            yield Text(text)
        elif url := _text(part.get("url")):
            yield File(url=url, media_type=media_type, name=name)
        elif raw := _text(part.get("raw")):
            yield File(data=raw, media_type=media_type, name=name)
        elif "data" in part:
            yield Text(msgspec.json.encode(part["data"]).decode())


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
