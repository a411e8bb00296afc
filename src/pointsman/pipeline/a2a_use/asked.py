"""A conversation as a message for an agent.

Agents remember what was said in a context. So where the client names one, or a task, the agent gets what the user has
said since it has spoken last, and else the conversation before that too, as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.wire.chat import Audio, ChatRequest, Document, Image, Part, Refusal, Text, ToolResult, Turn

CONTEXT: Final = ("a2a_context_id", "context_id")
"""Members of ``metadata`` that name a context: the first one is how it was told."""
TASK: Final = ("a2a_task_id", "task_id")
MAX_ID: Final = 1000
WHO: Final[Mapping[str, str]] = {
    "system": "Instructions",
    "developer": "Instructions",
    "user": "User",
    "assistant": "You",
}
BEFORE: Final = "The conversation so far:\n\n"
NOW: Final = "\n\nNow the user says:\n\n"


def params_of(request: ChatRequest, unique: Callable[[], str]) -> dict[str, Any]:
    """The parameters of a message, in version 1.0; ``unique`` makes ids.

    :raises InvalidRequest: an agent cannot be asked this
    """
    _check(request)
    context, task = _named(request, CONTEXT), _named(request, TASK)
    before, last = _split(request.turns)
    parts = [part for turn in last for part in _parts(turn.parts)]
    if not parts:
        raise InvalidRequest("The last message has nothing that an agent can be sent", param="messages")
    if before and not (context or task):
        parts = [{"text": BEFORE + _story(before) + NOW}, *_files(before), *parts]
    message: dict[str, Any] = {"messageId": unique(), "role": "ROLE_USER", "parts": parts}
    if context:
        message["contextId"] = context
    if task:
        message["taskId"] = task
    return {"message": message}


def _check(request: ChatRequest) -> None:
    if request.n is not None and request.n > 1:
        raise InvalidRequest("An agent gives one answer: leave 'n' out", param="n")
    if request.tool_choice is not None and request.tool_choice.mode in {"required", "tool"}:
        raise InvalidRequest("An agent calls tools of its own only: leave 'tool_choice' out", param="tool_choice")


def _named(request: ChatRequest, names: Iterable[str]) -> str:
    """:raises InvalidRequest: it is no id"""
    found = request.options.get("metadata")
    metadata = found if isinstance(found, dict) else {}
    for name in names:
        value = metadata.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str) or len(value) > MAX_ID:
            raise InvalidRequest(f"'metadata.{name}' is the id that an earlier answer has told", param="metadata")
        return value
    return ""


def _split(turns: list[Turn]) -> tuple[list[Turn], list[Turn]]:
    """What was said before, and what the user has said since the agent has spoken."""
    at = len(turns)
    while at and turns[at - 1].role == "user":
        at -= 1
    if at == len(turns):
        raise InvalidRequest("The last message has to be the user's", param="messages")
    return turns[:at], turns[at:]


def _story(turns: Iterable[Turn]) -> str:
    told = ((WHO[turn.role], "\n".join(_texts(turn.parts))) for turn in turns)
    return "\n\n".join(f"{who}: {text}" for who, text in told if text)


def _texts(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, ToolResult):
            yield from _texts(part.parts)
        elif isinstance(part, Text | Refusal | Document) and part.text:
            yield part.text


def _files(turns: Iterable[Turn]) -> list[dict[str, Any]]:
    """The files of earlier messages, which the story cannot hold."""
    found = (part for turn in turns for part in _parts(turn.parts))
    return [part for part in found if "text" not in part]


def _parts(parts: Iterable[Part]) -> Iterator[dict[str, Any]]:
    for part in parts:
        if isinstance(part, Image | Document | Audio) and not (isinstance(part, Document) and part.text is not None):
            yield _file(part)
        else:
            for text in _texts([part]):
                yield {"text": text}


def _file(part: Image | Document | Audio) -> dict[str, Any]:
    """:raises InvalidRequest: it is somewhere where the agent cannot have it"""
    if isinstance(part, Audio):
        url, media_type, name = None, f"audio/{part.format}" if part.format else None, None
    else:
        url, media_type = part.url, part.media_type
        name = part.name if isinstance(part, Document) else None
    if part.data is None and url is None:
        raise InvalidRequest("An agent has no files of a provider: send the data, or a URL", param="messages")
    found: dict[str, Any] = {"url": url} if part.data is None else {"raw": part.data}
    members = {"mediaType": media_type, "filename": name}
    return found | {key: value for key, value in members.items() if value}


def encoded(params: Mapping[str, Any]) -> bytes:
    """Parameters as the gateway of agents takes them."""
    return msgspec.json.encode(params)
