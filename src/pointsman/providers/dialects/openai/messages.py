"""The turns of a conversation as messages for a provider.

Rules
-----
* Results of tools stand in messages of their own, before whatever else is in their turn. They hold text only; pictures
  and documents in them go into the message of the user that follows, and the text says so where there is no other.
* A turn of the assistant is one message. Reasoning goes back to whoever sent it, see :mod:`.reasoning`.
* Content is a plain string where it is one text: not every server takes arrays everywhere.
* That a tool's result is an error has no place on this wire; its text says it.
"""

from __future__ import annotations

from typing import Any, Final

from pointsman.providers.dialects.openai.customs import wrapped
from pointsman.providers.dialects.openai.models import is_googles, takes_breakpoints, takes_custom_tools
from pointsman.providers.dialects.openai.reasoning import NAME, write_back
from pointsman.providers.dialects.openai.turns import GOOGLE
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

ATTACHED: Final = "The result is attached to the next message."
_HARMLESS: Final = frozenset({"phase"})
"""Members of other dialects' messages that only say what the message is about."""
_Content = str | list[dict[str, Any]] | None


def write_messages(request: ChatRequest, terms: Terms) -> list[dict[str, Any]]:
    """The messages of a request."""
    return [
        message
        for index, turn in enumerate(request.turns)
        for message in _Writer(request, terms, f"messages[{index}]").write(turn)
    ]


class _Writer:
    """Writes the messages of one turn; ``place`` is where it stands."""

    def __init__(self, request: ChatRequest, terms: Terms, place: str) -> None:
        self._terms = terms
        self._place = place
        self._is_own = request.dialect == NAME
        self._has_marks = "cache_control" in terms.allowed
        self._has_breakpoints = takes_breakpoints(terms.model)

    def write(self, turn: Turn) -> list[dict[str, Any]]:
        if turn.role == "assistant":
            return [self._finished(self._said(turn), turn)]
        messages: list[dict[str, Any]] = []
        content: list[dict[str, Any]] = []
        for index, part in enumerate(turn.parts):
            if isinstance(part, ToolResult):
                messages.append(self._result(part, content))
            else:
                content += self._part(part, index)
        # What was attached to results comes first: the results are in the order of the turn, and before the rest.
        if content or not messages:
            messages.append(self._finished({"role": turn.role, "content": _plain(content)}, turn))
        return messages

    def _finished(self, message: dict[str, Any], turn: Turn) -> dict[str, Any]:
        if turn.name is not None:
            message["name"] = turn.name
        if self._is_own:
            return turn.extras | message
        for name in sorted(turn.extras.keys() - _HARMLESS):
            self._terms.lose(f"{self._place}.{name}")
        return message

    def _said(self, turn: Turn) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": None}
        content: list[dict[str, Any]] = []
        calls: list[dict[str, Any]] = []
        for index, part in enumerate(turn.parts):
            if isinstance(part, ToolCall):
                calls.append(self._call(part))
            elif isinstance(part, Refusal):
                message["refusal"] = part.text
            elif isinstance(part, Audio) and part.id is not None:
                message["audio"] = {"id": part.id}
            elif isinstance(part, Image | Audio):
                # What the model has made cannot be given back.
                self._terms.lose(f"{self._place}.content[{index}]")
            else:
                content += self._part(part, index)
        if calls:
            message["tool_calls"] = calls
        if content or message.keys() == {"role", "content"}:
            message["content"] = _plain(content)
        write_back([part for part in turn.parts if isinstance(part, Thinking)], message)
        return message

    def _call(self, call: ToolCall) -> dict[str, Any]:
        arguments = call.arguments or "{}"
        if call.kind == "custom":
            if takes_custom_tools(self._terms.model):
                return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
            arguments = wrapped(call.arguments)
        function = {"name": call.name, "arguments": arguments}
        written: dict[str, Any] = {"id": call.id, "type": "function", "function": function}
        if call.seal is not None and call.seal.origin == GOOGLE and is_googles(self._terms.model):
            written["extra_content"] = {"google": {"thought_signature": call.seal.text}}
        return written

    def _result(self, result: ToolResult, attached: list[dict[str, Any]]) -> dict[str, Any]:
        texts: list[dict[str, Any]] = []
        has_more = False
        for part in result.parts:
            written = self._part(part, None)
            if isinstance(part, Image) or (isinstance(part, Document) and part.text is None):
                attached += written
                has_more = has_more or bool(written)
            else:
                texts += written
        if has_more and not texts:
            texts = [{"type": "text", "text": ATTACHED}]
        if texts and result.cache is not None:
            self._mark(texts[-1], result.cache)
        return {"role": "tool", "tool_call_id": result.call_id, "content": _plain(texts)}

    def _part(self, part: Part, index: int | None) -> list[dict[str, Any]]:
        """A part of the content, or nothing where it cannot be said; ``index``: ``None`` in a tool's result."""
        if isinstance(part, Thinking):
            return []  # what can be used of the assistant's goes back by another way
        place = f"{self._place}.content" if index is None else f"{self._place}.content[{index}]"
        written = _content_part(part)
        if written is None:
            self._terms.lose(place)
            return []
        if isinstance(part, Document) and part.has_citations:
            self._terms.lose(f"{place}.citations")
        if isinstance(part, Text | Image | Document) and part.cache is not None:
            self._mark(written, part.cache)
        return [written]

    def _mark(self, written: dict[str, Any], mark: CacheMark) -> None:
        if self._has_marks:
            written["cache_control"] = {"type": "ephemeral"} | ({"ttl": mark.ttl} if mark.ttl else {})
        elif self._has_breakpoints:
            # Its shortest lifetime is the default, and longer than Anthropic's.
            written["prompt_cache_breakpoint"] = {"mode": "explicit"}
        else:
            self._terms.lose("cache_control")


def _plain(content: list[dict[str, Any]]) -> _Content:
    if not content:
        return ""
    if len(content) == 1 and content[0].keys() == {"type", "text"}:
        text: str = content[0]["text"]
        return text
    return content


def _content_part(part: Part) -> dict[str, Any] | None:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Image):
        return _image(part)
    if isinstance(part, Document):
        return _document(part)
    if isinstance(part, Audio) and part.data is not None:
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format or "wav"}}
    return part.raw if isinstance(part, Foreign) and part.dialect == NAME else None


def data_url(data: str, media_type: str) -> str:
    """Base64 ``data`` as a URL."""
    return f"data:{media_type};base64,{data}"


def _image(image: Image) -> dict[str, Any] | None:
    if image.data is not None:
        url: str | None = data_url(image.data, image.media_type or "image/png")
    else:
        url = image.url
    if url is None:
        return None
    detail = {} if image.detail is None else {"detail": image.detail}
    return {"type": "image_url", "image_url": {"url": url} | detail}


def _document(document: Document) -> dict[str, Any] | None:
    kind = document.media_type or "application/pdf"
    if document.text is not None:
        head = [line for line in (document.title, document.context) if line]
        return {"type": "text", "text": "\n\n".join([*head, document.text])}
    if kind.startswith("video/"):
        url = document.url if document.data is None else data_url(document.data, kind)
        return None if url is None else {"type": "video_url", "video_url": {"url": url}}
    if document.data is not None:
        name = document.name or document.title or "document"
        return {"type": "file", "file": {"filename": name, "file_data": data_url(document.data, kind)}}
    return None if document.file_id is None else {"type": "file", "file": {"file_id": document.file_id}}
