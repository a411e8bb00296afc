"""Messages of a conversation, as clients send them: one message is one turn."""

from __future__ import annotations

from typing import Any, Final

from pointsman.providers.dialects.openai.fields import Fields, invalid
from pointsman.providers.dialects.openai.parts import read_cache, read_parts
from pointsman.providers.dialects.openai.reasoning import read_given
from pointsman.wire.chat import (
    Audio,
    CacheMark,
    Document,
    Foreign,
    Image,
    Part,
    Refusal,
    Role,
    Seal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    sealed,
)

FIELDS: Final = "provider_specific_fields"
"""LiteLLM's member for what the OpenAI wire has no place for."""
GOOGLE: Final = "gemini"
"""Whose signatures stand at tool calls and texts."""
_ROLES: Final[dict[str, Role]] = {"system": "system", "developer": "developer", "user": "user"}


def read_turns(messages: list[Any]) -> list[Turn]:
    """The turns of a conversation.

    :raises InvalidRequest: a message is not valid; ``param`` names it
    """
    return _Conversation().read(messages)


class _Conversation:
    """Remembers what results do not tell: calls of functions, which have no ids, and of which kind a call was."""

    def __init__(self) -> None:
        self._last_calls: dict[str, str] = {}
        self._custom_calls: set[str] = set()

    def read(self, messages: list[Any]) -> list[Turn]:
        return [self._turn(Fields(value, f"messages[{index}]"), index) for index, value in enumerate(messages)]

    def _turn(self, fields: Fields, index: int) -> Turn:
        role = fields.needed_text("role")
        if role in _ROLES:
            turn = Turn(_ROLES[role], _content(fields))
        elif role == "assistant":
            turn = Turn("assistant", self._said(fields, index))
        elif role == "tool":
            turn = Turn("user", [self._tool_result(fields)])
        elif role == "function":
            turn = Turn("user", [self._function_result(fields)])
        else:
            expected = "system, developer, user, assistant, tool or function"
            raise invalid(fields.place("role"), expected)
        mark = read_cache(fields)
        if mark is not None:
            _mark_last(turn.parts, mark)
        turn.name = fields.text("name")
        turn.extras = fields.rest
        return turn

    def _said(self, fields: Fields, index: int) -> list[Part]:
        own = fields.inner(FIELDS)
        content = _content(fields) if "content" in fields.rest else []
        parts: list[Part] = [*_foreign_parts(own), *read_given(fields)]
        parts += [part for part in content if part != Text("")]
        if (refusal := fields.text("refusal")) is not None:
            parts.append(Refusal(refusal))
        if (audio := fields.inner("audio")) is not None:
            parts.append(Audio(id=audio.needed_text("id")))
        parts += _images(fields)
        _sign_text(parts, own)
        place = fields.place("tool_calls")
        calls = [_call(Fields(value, f"{place}[{at}]")) for at, value in enumerate(fields.items("tool_calls"))]
        self._custom_calls.update(call.id for call in calls if call.kind == "custom")
        parts += calls
        if (call := fields.inner("function_call")) is not None:
            parts.append(self._function_call(call, index))
        return parts

    def _tool_result(self, fields: Fields) -> ToolResult:
        call_id = fields.needed_text("tool_call_id")
        result = _result(fields, call_id)
        result.kind = "custom" if call_id in self._custom_calls else "function"
        return result

    def _function_call(self, call: Fields, index: int) -> ToolCall:
        name = call.needed_text("name")
        self._last_calls[name] = f"call_{index}"
        return ToolCall(id=f"call_{index}", name=name, arguments=call.text("arguments") or "")

    def _function_result(self, fields: Fields) -> ToolResult:
        name = fields.needed_text("name")
        call_id = fields.text("tool_call_id") or self._last_calls.get(name)
        if call_id is None:
            raise invalid(fields.place("name"), "the name of a function that was called before")
        result = _result(fields, call_id)
        result.name = name
        return result


def _content(fields: Fields) -> list[Part]:
    return read_parts(fields.take("content"), fields.place("content"))


def _result(fields: Fields, call_id: str) -> ToolResult:
    parts: list[Text | Image | Document | Foreign] = []
    for at, part in enumerate(_content(fields) if "content" in fields.rest else []):
        if not isinstance(part, Text | Image | Document | Foreign):
            raise invalid(f"{fields.place('content')}[{at}].type", "text, image_url or file")
        parts.append(part)
    return ToolResult(call_id=call_id, parts=parts)


def _call(fields: Fields) -> ToolCall:
    call_id, kind = fields.needed_text("id"), fields.text("type") or "function"
    seal = call_seal(fields.take(FIELDS), fields.take("extra_content"))
    if kind == "custom":
        custom = fields.needed_inner("custom")
        name, text = custom.needed_text("name"), custom.needed_text("input")
        return ToolCall(id=call_id, name=name, arguments=text, kind="custom", seal=seal)
    if kind != "function":
        raise invalid(fields.place("type"), "function or custom")
    function = fields.needed_inner("function")
    return ToolCall(
        id=call_id,
        name=function.needed_text("name"),
        arguments=function.text("arguments") or "",
        seal=seal or call_seal(function.take(FIELDS), None),
        cache=read_cache(fields),
    )


def call_seal(own: Any, extra: Any) -> Seal | None:
    """The signature of a tool call, where LiteLLM (``own``) or Google (``extra``) has it."""
    google = extra.get("google") if type(extra) is dict else None
    for holder in (own, google):
        signature = holder.get("thought_signature") if type(holder) is dict else None
        if type(signature) is str and signature:
            return sealed(signature, GOOGLE)
    return None


def _sign_text(parts: list[Part], own: Fields | None) -> None:
    signatures = own.items("thought_signatures") if own is not None else []
    last = next((part for part in reversed(parts) if isinstance(part, Text)), None)
    if last is not None and signatures and type(signatures[-1]) is str:
        last.seal = sealed(signatures[-1], GOOGLE)


def _foreign_parts(own: Fields | None) -> list[Foreign]:
    """What a reply of ours held of another dialect: lists of its parts by the dialect's name."""
    parts = own.inner("parts") if own is not None else None
    if parts is None:
        return []
    found = [
        Foreign(dialect, Fields(raw, parts.place(dialect)).rest)
        for dialect in list(parts.rest)
        for raw in parts.items(dialect)
    ]
    for part in found:
        # Only in streams: OpenAI's SDK puts lists together by it.
        part.raw.pop("index", None)
    return found


def _images(fields: Fields) -> list[Part]:
    """Pictures that the model made, as replies have them."""
    return read_parts(fields.items("images"), fields.place("images"))


def _mark_last(parts: list[Part], mark: CacheMark) -> None:
    """A mark at the message stands for one at its last part."""
    for part in reversed(parts):
        if isinstance(part, Text | Image | Document | ToolCall | ToolResult):
            part.cache = mark
            return
