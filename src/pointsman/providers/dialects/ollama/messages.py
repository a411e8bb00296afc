"""The turns of a conversation as Ollama's messages.

Rules
-----
* Texts of a message are put together, one below the other.
* Results of tools stand in messages of their own, before whatever else is in their turn.
* Pictures and sound go as data; whatever is only a URL cannot be said.
* Reasoning goes back without a seal; a seal that only names a member of the OpenAI wire is none.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.translation import Terms
from pointsman.wire.chat import (
    Audio,
    ChatRequest,
    Document,
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

_PLAIN_SEALS: Final = (Seal("openai", "reasoning_content"), Seal("openai", "reasoning"), Seal("openai", "content"))
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


def write_messages(request: ChatRequest, terms: Terms) -> list[dict[str, Any]]:
    """The messages of a request.

    :raises InvalidRequest: the arguments of a tool call are not an object
    """
    names = request.tool_names()
    return [
        message
        for index, turn in enumerate(request.turns)
        for message in _Writer(terms, names, f"messages[{index}]").write(turn)
    ]


class _Content:
    """What a message holds besides tool calls."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.media: list[str] = []

    def members(self) -> dict[str, Any]:
        media = {"images": self.media} if self.media else {}
        return {"content": "\n".join(self.texts)} | media


class _Writer:
    """Writes the messages of one turn; ``place`` is where it stands."""

    def __init__(self, terms: Terms, names: dict[str, str], place: str) -> None:
        self._terms = terms
        self._names = names
        self._place = place

    def write(self, turn: Turn) -> list[dict[str, Any]]:
        self._note_rest(turn)
        messages: list[dict[str, Any]] = []
        content = _Content()
        thoughts: list[str] = []
        calls: list[dict[str, Any]] = []
        for index, part in enumerate(turn.parts):
            if isinstance(part, ToolResult):
                messages.append(self._result(part))
            elif isinstance(part, ToolCall):
                calls.append(self._call(part))
            elif isinstance(part, Thinking):
                thoughts += _thought(part)
            else:
                self._add(part, content, f"{self._place}.content[{index}]")
        if not messages or content.texts or content.media:
            message = {"role": "system" if turn.role == "developer" else turn.role} | content.members()
            if thoughts:
                message["thinking"] = "\n".join(thoughts)
            if calls:
                message["tool_calls"] = calls
            messages.append(message)
        return messages

    def _result(self, result: ToolResult) -> dict[str, Any]:
        content = _Content()
        for part in result.parts:
            self._add(part, content, f"{self._place}.content")
        self._note_cache(result)
        name = result.name or self._names.get(result.call_id)
        named = {} if name is None else {"tool_name": name}
        return {"role": "tool"} | content.members() | named | {"tool_call_id": result.call_id}

    def _call(self, call: ToolCall) -> dict[str, Any]:
        self._note_cache(call)
        if call.kind == "custom":
            arguments: dict[str, Any] = {"input": call.arguments}
        else:
            try:
                arguments = _OBJECT.decode(call.arguments or "{}")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                place = f"{self._place}.tool_calls"
                raise InvalidRequest("Arguments of a tool call must be a JSON object", param=place) from None
        return {"id": call.id, "function": {"name": call.name, "arguments": arguments}}

    def _add(self, part: Part, content: _Content, place: str) -> None:
        self._note_cache(part)
        if isinstance(part, Text | Refusal):
            if part.text:
                content.texts.append(part.text)
        elif isinstance(part, Document) and part.text is not None:
            content.texts.append("\n\n".join(text for text in (part.title, part.context, part.text) if text))
            if part.has_citations:
                self._terms.lose(f"{place}.citations")
        elif isinstance(part, Image | Audio) and part.data is not None:
            content.media.append(part.data)
        else:
            self._terms.lose(place)

    def _note_rest(self, turn: Turn) -> None:
        if turn.name is not None and "name" not in self._terms.drops:
            self._terms.lose(f"{self._place}.name")
        for name in turn.extras:
            self._terms.lose(f"{self._place}.{name}")

    def _note_cache(self, part: Part) -> None:
        if getattr(part, "cache", None) is not None:
            self._terms.lose("cache_control")


def _thought(part: Thinking) -> list[str]:
    """Reasoning that can be given back."""
    is_plain = part.seal is None or not part.seal.text or part.seal in _PLAIN_SEALS
    return [part.text] if part.text and is_plain else []
