"""Tools that take free text, for providers whose tools take JSON only.

Such a tool becomes a function with one argument that is the text. The call of it comes back as a call of a function;
:func:`undone` and :class:`UndoingReader` make of it what the client has declared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from pointsman.errors import UpstreamBroken
from pointsman.providers.translation import StreamReader
from pointsman.wire.chat import (
    Answer,
    ChatRequest,
    Event,
    Failed,
    Part,
    Started,
    Tool,
    ToolCall,
    ToolDelta,
    ToolOpened,
    ToolResult,
    Turn,
    UsageSeen,
)

ARGUMENT: Final = "input"
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {ARGUMENT: {"type": "string"}},
    "required": [ARGUMENT],
    "additionalProperties": False,
}
MAX_HELD_CHARS: Final = 1024 * 1024
"""Of the arguments of one call, which are known as text only when they are complete."""


_CUT: Final = re.compile(
    r'\s*+\{\s*+"[^"\\]*+"\s*+:\s*+("(?:[^"\\]|\\u[0-9A-Fa-f]{4}|\\[^u])*+)(?:"\s*+|\\(?:u[0-9A-Fa-f]{0,3})?)?\Z'
)
"""The beginning of such arguments, and of it the text up to the last whole letter."""
_HEAD: Final = f'{{"{ARGUMENT}":'
_HALF: Final = re.compile(r"\\u[dD][89abAB]..\Z")
"""The first half of a letter that is written as two."""


def custom_names(request: ChatRequest) -> frozenset[str]:
    """Names of the tools in ``request`` that take free text."""
    return frozenset(tool.name for tool in request.tools if tool.kind == "custom")


def as_functions(request: ChatRequest) -> ChatRequest:
    """``request`` with a function in the place of each tool that takes free text, in its history too."""
    turns = [Turn(turn.role, list(map(_part, turn.parts)), turn.name, turn.extras) for turn in request.turns]
    return msgspec.structs.replace(request, tools=list(map(_tool, request.tools)), turns=turns)


def undone(answer: Answer, names: frozenset[str]) -> Answer:
    """``answer`` with the calls of tools in ``names`` as calls that hold free text."""
    choices = [
        msgspec.structs.replace(choice, parts=[_undone(part, names) for part in choice.parts])
        for choice in answer.choices
    ]
    return msgspec.structs.replace(answer, choices=choices)


class UndoingReader:
    """The same for a stream, around its reader: the arguments of such a call are held until they are complete."""

    def __init__(self, reader: StreamReader, names: frozenset[str]) -> None:
        self._reader = reader
        self._names = names
        self._held: dict[tuple[int, int], list[str]] = {}
        self._held_chars = 0

    @property
    def is_finished(self) -> bool:
        """Whether the provider has said that the answer is complete."""
        return self._reader.is_finished

    def read(self, name: bytes, data: bytes) -> Iterable[Event]:
        """Take one message of the stream.

        :raises UpstreamBroken: it cannot be understood, or what is held grows too long
        """
        return [out for event in self._reader.read(name, data) for out in self._take(event)]

    def close(self) -> Iterable[Event]:
        """The upstream has ended; gives what was held back."""
        return [*(out for event in self._reader.close() for out in self._take(event)), *self._release(None)]

    def _take(self, event: Event) -> Iterable[Event]:
        if isinstance(event, ToolOpened) and event.name in self._names:
            self._held[event.choice, event.index] = []
            return (msgspec.structs.replace(event, kind="custom"),)
        if isinstance(event, ToolDelta) and (held := self._held.get((event.choice, event.index))) is not None:
            self._held_chars += len(event.arguments)
            if self._held_chars > MAX_HELD_CHARS:
                raise UpstreamBroken("The provider's call of a tool is too long")
            held.append(event.arguments)
            return ()
        if isinstance(event, Started | UsageSeen | Failed | ToolDelta) or (
            isinstance(event, ToolOpened) and event.seal is None
        ):
            return (event,)
        # Whatever else comes ends the calls before it, and writers close them then.
        return (*self._release(event.choice), event)

    def _release(self, choice: int | None) -> list[Event]:
        """The texts of the calls that were held, of one ``choice`` or of all."""
        complete = [key for key in self._held if choice is None or key[0] == choice]
        return [ToolDelta(key[1], text_of("".join(self._held.pop(key))), key[0]) for key in complete]


def text_of(arguments: str) -> str:
    """The text that a function was called with which stands for such a tool.

    Models may name the argument otherwise, or leave the JSON out: what is not as it was asked for is the text itself.
    Of arguments that were cut off it is what there is of the text.
    """
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return _text_begun(arguments)
    if isinstance(value, dict):
        texts = [value[ARGUMENT]] if ARGUMENT in value else list(value.values())
        if len(texts) == 1 and isinstance(texts[0], str):
            return texts[0]
    return arguments


def _text_begun(arguments: str) -> str:
    begun = _CUT.match(arguments)
    if begun is None:
        is_head = len(arguments) > 1 and _HEAD.startswith(arguments.replace(" ", ""))
        return "" if is_head else arguments
    try:
        return msgspec.json.decode(_HALF.sub("", begun[1]) + '"', type=str)
    except msgspec.DecodeError:
        return arguments


def _tool(tool: Tool) -> Tool:
    if tool.kind != "custom":
        return tool
    grammar = _grammar(tool.raw or {})
    text = "\n\n".join(part for part in (tool.description, grammar) if part)
    return msgspec.structs.replace(
        tool, kind="function", schema=SCHEMA, description=text or None, dialect=None, raw=None
    )


def _grammar(raw: dict[str, Any]) -> str | None:
    """The rules that the text must keep, which only words can tell to who has no grammars."""
    inner = raw.get("custom", raw)
    form = inner.get("format") if isinstance(inner, dict) else None
    if isinstance(form, dict):
        form = form.get("grammar", form)
        if isinstance(form, dict) and isinstance(form.get("definition"), str):
            return f"The input must match this {form.get('syntax', '')} grammar:\n{form['definition']}"
    return None


def _part(part: Part) -> Part:
    if isinstance(part, ToolCall) and part.kind == "custom":
        arguments = msgspec.json.encode({ARGUMENT: part.arguments}).decode()
        return msgspec.structs.replace(part, kind="function", arguments=arguments)
    if isinstance(part, ToolResult) and part.kind == "custom":
        return msgspec.structs.replace(part, kind="function")
    return part


def _undone(part: Part, names: frozenset[str]) -> Part:
    if isinstance(part, ToolCall) and part.name in names:
        return msgspec.structs.replace(part, kind="custom", arguments=text_of(part.arguments))
    return part
