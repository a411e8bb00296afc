"""Items of the input, both ways.

A turn of the model is one or more items here: reasoning, messages and calls, each of its own. Reading joins what
follows each other, so that a call and its results stand next to each other as other dialects insist on. Items that
only this dialect has are carried as they are.
"""

from __future__ import annotations

from typing import Any, Final

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.responses.content import PartWriter, read_content
from pointsman.providers.dialects.responses.fields import (
    Members,
    missing,
    needed,
    objects,
    optional,
    text,
    wrong,
)
from pointsman.providers.dialects.responses.seals import NAME, read_seal, write_seal
from pointsman.providers.dialects.responses.tools import ADDITIONAL, ToolNames, read_call
from pointsman.wire.chat import (
    Document,
    Foreign,
    Image,
    Part,
    Refusal,
    Seal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)

_ROLES: Final = ("user", "assistant", "system", "developer")
_OF_THE_CLIENT: Final = ("_output", "_response", "_trigger")
"""How the types of items end that answer the model. The others are the model's."""
_SUPPLIED: Final = frozenset({"type", "role", "content", "id", "status"})
_CONTAINERS: Final = {NAME: "input", "gemini": "contents"}


def read_items(value: Any) -> list[Turn]:
    """The conversation in ``input``.

    :raises InvalidRequest: it is not valid
    """
    if isinstance(value, str):
        return [Turn("user", [Text(value)])]
    if not isinstance(value, list):
        raise wrong("input", "a string or an array")
    conversation = _Conversation()
    for at, item in enumerate(objects(value, "input")):
        conversation.take(item, f"input[{at}]")
    return conversation.turns


class _Conversation:
    """Gathers items into turns."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self._seal: Seal | None = None
        """Of the text or call that comes next."""

    def take(self, item: Members, place: str) -> None:
        kind = optional(item, "type", text, place)
        if kind == "message" or (kind is None and "role" in item):
            self._take_message(item, place)
        elif kind in ("function_call", "custom_tool_call"):
            call = read_call(item, place)
            call.seal, self._seal = self._seal, None
            self._append("assistant", call)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            self._append("user", _read_result(item, kind, place))
        elif kind == "reasoning":
            self._take_reasoning(item, place)
        elif kind == ADDITIONAL:
            pass  # they count as if they had been declared outside of the conversation
        elif kind is None and "id" not in item:
            raise missing(f"{place}.type")
        else:  # an ``item_reference`` need not say its type
            self._append("user" if kind and kind.endswith(_OF_THE_CLIENT) else "assistant", Foreign(NAME, item))

    def _append(self, role: Any, part: Part) -> None:
        last = self.turns[-1] if self.turns else None
        if last is not None and last.role == role and (role == "assistant" or not _is_message(last)):
            last.parts.append(part)
        else:
            self.turns.append(Turn(role, [part]))

    def _take_message(self, item: Members, place: str) -> None:
        role: Any = needed(item, "role", text, place)
        if role not in _ROLES:
            raise InvalidRequest(
                f"Invalid '{place}.role': '{role}' is not one of {', '.join(_ROLES)}", param=f"{place}.role"
            )
        content = item.get("content")
        parts = read_content(content, f"{place}.content") if content else []
        extras = {name: value for name, value in item.items() if name not in _SUPPLIED and value is not None}
        if role == "assistant" and parts and isinstance(parts[0], Text):
            parts[0].seal, self._seal = self._seal, None
        last = self.turns[-1] if self.turns else None
        if role == "assistant" and last is not None and last.role == role and _is_open(last, extras):
            last.parts.extend(parts)
            last.extras = last.extras | extras
        else:
            self.turns.append(Turn(role, parts, extras=extras))

    def _take_reasoning(self, item: Members, place: str) -> None:
        encrypted = optional(item, "encrypted_content", text, place)
        sealed = read_seal(encrypted) if encrypted else None
        if sealed is not None and sealed.is_of_next:
            self._seal = sealed.seal
            return
        shown = _join(item, "summary", place) or _join(item, "content", place)
        thinking = Thinking(shown, id=optional(item, "id", text, place))
        if sealed is not None:
            thinking.seal = sealed.seal
            thinking.is_redacted = sealed.is_redacted or (sealed.seal.origin == NAME and not shown)
        self._append("assistant", thinking)


def _is_message(turn: Turn) -> bool:
    return not all(isinstance(part, ToolResult | Foreign) for part in turn.parts)


def _is_open(turn: Turn, extras: Members) -> bool:
    """Whether a message with ``extras`` can join the turn: nothing may come between a call and its result."""
    if any(isinstance(part, ToolCall) for part in turn.parts):
        return True
    return turn.extras == extras or not any(isinstance(part, Text | Refusal) for part in turn.parts)


def _join(item: Members, name: str, place: str) -> str:
    given = optional(item, name, objects, place) or []
    return "\n\n".join(needed(part, "text", text, f"{place}.{name}[{at}]") for at, part in enumerate(given))


def _read_result(item: Members, kind: str, place: str) -> ToolResult:
    if item.get("output") is None:
        raise missing(f"{place}.output")
    parts: list[Text | Image | Document | Foreign] = []
    for at, part in enumerate(read_content(item["output"], f"{place}.output")):
        if not isinstance(part, Text | Image | Document):
            raise wrong(f"{place}.output[{at}]", "a text, an image or a file")
        parts.append(part)
    return ToolResult(
        call_id=needed(item, "call_id", text, place),
        parts=parts,
        name=optional(item, "name", text, place),
        kind="custom" if kind == "custom_tool_call_output" else "function",
    )


class ItemWriter:
    """Writes turns as items for a provider, and notes what it cannot take."""

    def __init__(self, parts: PartWriter, names: ToolNames, dialect: str) -> None:
        """``dialect`` is the one of the request."""
        self.items: list[Members] = []
        self._parts = parts
        self._names = names
        self._is_own = dialect == NAME
        self._container = _CONTAINERS.get(dialect, "messages")
        self._custom_calls: set[str] = set()

    def write(self, turn: Turn, at: int) -> None:
        """Add the items of the turn at this place of the conversation."""
        place = f"{self._container}[{at}]"
        extras = turn.extras if self._is_own else {}
        if not self._is_own:
            for name in turn.extras:
                self._parts.terms.lose(f"{place}.{name}")
        if turn.name is not None:
            self._parts.terms.lose(f"{place}.name")
        content: list[Members] = []
        for index, part in enumerate(turn.parts):
            where = f"{place}.content[{index}]"
            if isinstance(part, Thinking | ToolCall | ToolResult | Foreign):
                self._flush(turn.role, content, extras)
                content = []
                self._write_item(part, where)
                continue
            write = self._parts.write_output if turn.role == "assistant" else self._parts.write
            written = write(part, where)
            if written is not None:
                content.append(written)
        self._flush(turn.role, content, extras)

    def _flush(self, role: str, content: list[Members], extras: Members) -> None:
        if content:
            self.items.append({"type": "message", "role": role, "content": content, **extras})

    def _write_item(self, part: Thinking | ToolCall | ToolResult | Foreign, place: str) -> None:
        if isinstance(part, Thinking):
            # Reasoning is taken back as it was sealed only; the thinking of others means nothing here.
            if part.seal is not None and part.seal.origin == NAME:
                self.items.append(write_reasoning(part.text, part.seal, part.id))
        elif isinstance(part, ToolCall):
            self.items.append(self._write_call(part))
        elif isinstance(part, ToolResult):
            self.items.append(self._write_result(part, place))
        elif part.dialect == NAME:
            self.items.append(part.raw)
        else:
            self._parts.terms.lose(place)

    def _write_call(self, call: ToolCall) -> Members:
        declared = self._names.find(call.name, call.kind)
        namespace = {} if declared.namespace is None else {"namespace": declared.namespace}
        item = {"call_id": call.id, "name": declared.name, **namespace}
        if call.kind == "custom":
            self._custom_calls.add(call.id)
            return {"type": "custom_tool_call", **item, "input": call.arguments}
        return {"type": "function_call", **item, "arguments": call.arguments}

    def _write_result(self, result: ToolResult, place: str) -> Members:
        """An output. That the tool has failed is for its text to say: there is no other place for it."""
        parts = result.parts
        output: Any
        if not parts or (len(parts) == 1 and isinstance(parts[0], Text) and parts[0].cache is None):
            output = parts[0].text if parts and isinstance(parts[0], Text) else ""
        else:
            written = [self._parts.write(part, f"{place}.content[{at}]") for at, part in enumerate(parts)]
            output = [each for each in written if each is not None]
        is_custom = result.kind == "custom" or result.call_id in self._custom_calls
        kind = "custom_tool_call_output" if is_custom else "function_call_output"
        return {"type": kind, "call_id": result.call_id, "output": output}


def write_reasoning(
    shown: str, seal: Seal | None, item_id: str | None, *, is_redacted: bool = False, is_of_next: bool = False
) -> Members:
    """An item of reasoning; plain reasoning is never given as ``content``, which OpenAI does not take back."""
    item: Members = {"type": "reasoning", "summary": [{"type": "summary_text", "text": shown}] if shown else []}
    if item_id is not None:
        item["id"] = item_id
    if seal is not None:
        item["encrypted_content"] = write_seal(seal, is_redacted=is_redacted, is_of_next=is_of_next)
    return item
