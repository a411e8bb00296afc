"""Turns of a conversation as ``system`` and ``messages``.

* Turns of the same role that follow each other become one message, since roles must alternate.
* What the system says is the system prompt, wherever it stands.
* The results of tools come first in a message of the user, as Claude insists.
* Blank texts are left out, since Amazon refuses them.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.converse.media import Block, write_audio, write_document, write_image
from pointsman.providers.dialects.converse.models import NAME, Model
from pointsman.providers.translation import Terms
from pointsman.wire.chat import (
    Audio,
    CacheMark,
    ChatRequest,
    Document,
    Foreign,
    Image,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from pointsman.wire.members import is_deeper_than
from pointsman.wire.peek import MAX_DEPTH

_ID: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_ARGUMENTS: Final = msgspec.json.Decoder(dict[str, Any])


class _Message:
    def __init__(self, role: str) -> None:
        self.role = role
        self.results: list[Block] = []
        self.others: list[Block] = []

    def wire(self) -> Block:
        return {"role": self.role, "content": self.results + self.others}


class Conversation:
    """Takes turns one by one."""

    def __init__(self, request: ChatRequest, terms: Terms, model: Model) -> None:
        self.system: list[Block] = []
        self.has_tool_blocks = False
        """Whether a tool is called, or has answered, in what was taken so far."""
        self._terms = terms
        self._model = model
        self._messages: list[_Message] = []
        self._names: set[str] = set()
        for at, turn in enumerate(request.turns):
            self._add(turn, f"messages[{at}]")
        if request.cache is not None and self._messages:
            self._messages[-1].others += self.cache_point(request.cache)

    def messages(self) -> list[Block]:
        """The messages of all turns.

        :raises InvalidRequest: there are none
        """
        if not self._messages:
            raise InvalidRequest("This model needs a message of the user beside the system's", param="messages")
        last = self._messages[-1]
        if last.role == "assistant" and last.others and "text" in last.others[-1]:
            # The beginning of an answer may not end in white space.
            last.others[-1] = {"text": last.others[-1]["text"].rstrip()}
        return [message.wire() for message in self._messages]

    def cache_point(self, mark: CacheMark | None) -> list[Block]:
        """A block after what is to be cached, or none."""
        if mark is None or "cache_control" in self._terms.drops:
            return []
        if not self._model.has_cache:
            self._terms.lose("cache_control")
            return []
        point = {"type": "default"}
        return [{"cachePoint": point if mark.ttl in (None, "5m") else point | {"ttl": mark.ttl}}]

    def _add(self, turn: Turn, place: str) -> None:
        if turn.name is not None and "name" not in self._terms.drops:
            self._terms.lose("name")
        for name in turn.extras:
            self._terms.lose(f"{place}.{name}")
        if turn.role in ("system", "developer"):
            self._add_system(turn, place)
            return
        message = _Message(turn.role)
        for at, part in enumerate(turn.parts):
            here = f"{place}.content[{at}]"
            if isinstance(part, ToolResult):
                message.results += self._result(part, turn.role, here)
            else:
                message.others += self._part(part, turn.role, here)
        if not message.results and not message.others:
            return
        if self._messages and self._messages[-1].role == turn.role:
            self._messages[-1].results += message.results
            self._messages[-1].others += message.others
        else:
            self._messages.append(message)

    def _add_system(self, turn: Turn, place: str) -> None:
        for at, part in enumerate(turn.parts):
            if isinstance(part, Text):
                self.system += self._part(part, turn.role, "")
            else:
                self._terms.lose(f"{place}.content[{at}]")

    def _part(self, part: Part, role: str, place: str) -> list[Block]:
        """The block of a part, with the cache point after it; nothing if there is no block."""
        block = self._block(part, role, place)
        if block is None:
            return []
        return [block, *self.cache_point(getattr(part, "cache", None))]

    def _block(self, part: Part, role: str, place: str) -> Block | None:
        block: Block | None = None
        match part:
            case Text() | Refusal():
                return {"text": part.text} if part.text.strip() else None
            case Thinking():
                return self._thinking(part)
            case ToolCall():
                self.has_tool_blocks = True
                call = {"toolUseId": tool_id(part.id), "name": part.name, "input": _input(part, place)}
                return {"toolUse": call}
            case Image() if role == "user":
                block = write_image(part)
            case Audio():
                block = write_audio(part)
            case Document() if role == "user":
                block = write_document(part, self._names)
            case Foreign() if part.dialect == NAME:
                return part.raw
        if block is None:
            self._terms.lose(place)
        return block

    def _thinking(self, part: Thinking) -> Block | None:
        """Reasoning that the model knows again by its seal; others would be refused.

        Claude's signatures are the same on Amazon's platform and on Anthropic's own, as Anthropic says in the
        documentation of extended thinking. Redacted reasoning is encoded differently here.
        """
        seal = part.seal
        if seal is None or not seal.text:
            return None
        if part.is_redacted:
            return {"reasoningContent": {"redactedContent": seal.text}} if seal.origin == NAME else None
        if seal.origin != NAME and not (seal.origin == "anthropic" and self._model.is_claude):
            return None
        return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": seal.text}}}

    def _result(self, result: ToolResult, role: str, place: str) -> list[Block]:
        self.has_tool_blocks = True
        mark = result.cache
        content = []
        for part in result.parts:
            block = self._block(part, role, place)
            if block is not None:
                content.append(block)
            if not isinstance(part, Foreign):
                mark = part.cache or mark
        wire: Block = {"toolUseId": tool_id(result.call_id), "content": content}
        if result.is_error:
            wire["status"] = "error"
        return [{"toolResult": wire}, *self.cache_point(mark)]


def tool_id(given: str) -> str:
    """The id of a call as Amazon takes it: the given one, or one that is made of it."""
    if _ID.fullmatch(given):
        return given
    return "call_" + hashlib.sha256(given.encode()).hexdigest()[:32]


def _input(call: ToolCall, place: str) -> dict[str, Any]:
    if call.kind == "custom":
        return {"input": call.arguments}
    text = (call.arguments.strip() or "{}").encode()
    try:
        found = _ARGUMENTS.decode(text)
    except (msgspec.DecodeError, RecursionError):
        found = None
    if found is None or is_deeper_than(text, MAX_DEPTH):
        message = f"The arguments of the tool call '{call.name}' must be a JSON object for this model"
        raise InvalidRequest(message, param=place)
    return found
