"""The turns of a conversation as Cohere's messages.

Rules
-----
* Results of tools stand in messages of their own, before whatever else is in their turn. They hold texts only; pictures
  in them go into the message of the user that follows.
* The text of a turn that calls tools is its plan.
* Reasoning goes back without a seal; a seal that only names a member of the OpenAI wire is none.
* Documents that shall be cited are given apart, other texts stand where they stood.
"""

from __future__ import annotations

from typing import Any, Final

from pointsman.providers.dialects.cohere.citations import given_back
from pointsman.providers.dialects.cohere.facts import NAME
from pointsman.providers.translation import Terms
from pointsman.wire.chat import (
    ChatRequest,
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

_PLAIN_SEALS: Final = (Seal("openai", "reasoning_content"), Seal("openai", "reasoning"), Seal("openai", "content"))
_ATTACHED: Final = "The result is attached to the next message."
_Content = list[dict[str, Any]]


def write_messages(request: ChatRequest, terms: Terms) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The messages of a request, and the documents beside them."""
    documents: list[dict[str, Any]] = []
    messages = [
        message
        for index, turn in enumerate(request.turns)
        for message in _Writer(request, terms, f"messages[{index}]", documents).write(turn)
    ]
    return messages, documents


class _Writer:
    """Writes the messages of one turn; ``place`` is where it stands."""

    def __init__(self, request: ChatRequest, terms: Terms, place: str, documents: list[dict[str, Any]]) -> None:
        self._terms = terms
        self._place = place
        self._is_own = request.dialect == NAME
        self._documents = documents

    def write(self, turn: Turn) -> list[dict[str, Any]]:
        if turn.name is not None and "name" not in self._terms.drops:
            self._terms.lose(f"{self._place}.name")
        messages = [self._said(turn.parts)] if turn.role == "assistant" else self._asked(turn)
        if self._is_own and messages:
            messages[-1] |= turn.extras
        else:
            for name in turn.extras:
                self._terms.lose(f"{self._place}.{name}")
        return messages

    def _asked(self, turn: Turn) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        content: _Content = []
        for index, part in enumerate(turn.parts):
            if isinstance(part, ToolResult):
                messages.append(self._result(part, content))
            else:
                content += self._part(part, f"{self._place}.content[{index}]")
        if content or not messages:
            role = "user" if turn.role == "user" else "system"
            messages.append({"role": role, "content": _plain(content)})
        return messages

    def _said(self, parts: list[Part]) -> dict[str, Any]:
        content: _Content = []
        texts: list[str] = []
        calls: list[dict[str, Any]] = []
        citations: list[dict[str, Any]] = []
        for index, part in enumerate(parts):
            if isinstance(part, ToolCall):
                calls.append(_call(part))
                self._note_cache(part)
            elif isinstance(part, Thinking):
                if part.text and (part.seal is None or not part.seal.text or part.seal in _PLAIN_SEALS):
                    content.append({"type": "thinking", "thinking": part.text})
            elif isinstance(part, Text | Refusal):
                texts.append(part.text)
                citations += given_back(part.annotations) if isinstance(part, Text) else []
                self._note_cache(part)
            else:
                content += self._foreign(part, f"{self._place}.content[{index}]")
        message: dict[str, Any] = {"role": "assistant"}
        if calls:
            message["tool_calls"] = calls
            if texts:
                message["tool_plan"] = "".join(texts)
        else:
            content += [{"type": "text", "text": text} for text in texts if text]
        if content or not calls:
            message["content"] = _plain(content)
        return message | ({"citations": citations} if citations else {})

    def _result(self, result: ToolResult, attached: _Content) -> dict[str, Any]:
        texts: _Content = []
        n_before = len(attached)
        self._note_cache(result)
        for part in result.parts:
            written = self._part(part, f"{self._place}.content")
            if isinstance(part, Image):
                attached += written
            else:
                texts += written
        if len(attached) > n_before and not texts:
            texts = [{"type": "text", "text": _ATTACHED}]
        return {"role": "tool", "tool_call_id": result.call_id, "content": _plain(texts)}

    def _part(self, part: Part, place: str) -> _Content:
        """A part of the content, or nothing where it cannot be said or stands elsewhere."""
        self._note_cache(part)
        if isinstance(part, Text | Refusal):
            return [{"type": "text", "text": part.text}]
        if isinstance(part, Image) and part.file_id is None:
            return [_image(part)]
        if isinstance(part, Document) and part.text is not None:
            if not part.has_citations:
                head = [line for line in (part.title, part.context) if line]
                return [{"type": "text", "text": "\n\n".join([*head, part.text])}]
            known = {"title": part.title, "context": part.context, "text": part.text}
            self._documents.append({"data": {name: text for name, text in known.items() if text}})
            return []
        return self._foreign(part, place)

    def _foreign(self, part: Part, place: str) -> _Content:
        if isinstance(part, Foreign) and part.dialect == NAME:
            return [part.raw]
        self._terms.lose(place)
        return []

    def _note_cache(self, part: Part) -> None:
        if getattr(part, "cache", None) is not None:
            self._terms.lose("cache_control")


def _plain(content: _Content) -> str | _Content:
    if not content:
        return ""
    if len(content) == 1 and content[0].get("type") == "text":
        text: str = content[0]["text"]
        return text
    return content


def _image(image: Image) -> dict[str, Any]:
    url = image.url if image.data is None else f"data:{image.media_type or 'image/png'};base64,{image.data}"
    detail = {} if image.detail is None else {"detail": image.detail}
    return {"type": "image_url", "image_url": {"url": url} | detail}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
