"""Turns of a conversation as ``contents`` for Google.

The results of calls that were made together stand together, in a content of their own: Google counts them. The calls
do too, since some clients give each of them a turn.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.gemini.media import text_blob, write_audio, write_document, write_image
from pointsman.providers.dialects.gemini.paths import has_levels
from pointsman.providers.dialects.gemini.seals import NAME, SKIP, own
from pointsman.providers.translation import Terms
from pointsman.wire.chat import (
    Audio,
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
from pointsman.wire.members import is_deeper_than
from pointsman.wire.peek import MAX_DEPTH

Wire = dict[str, Any]
_INSTRUCTORS: Final = frozenset({"system", "developer"})
_MESSAGES: Final = {"gemini": "contents", "responses": "input"}
"""Where dialects have their turns."""
_RESOLUTIONS: Final = {
    "low": "MEDIA_RESOLUTION_LOW",
    "high": "MEDIA_RESOLUTION_HIGH",
    "original": "MEDIA_RESOLUTION_ULTRA_HIGH",
}


def write_contents(request: ChatRequest, terms: Terms) -> tuple[Wire | None, list[Wire]]:
    """``systemInstruction`` and ``contents``.

    The instruction is what the system says before anybody else; what it says later stays in its place, as the user's.

    :raises InvalidRequest: a part cannot be expressed
    """
    writer = _Writer(request, terms)
    instruction: list[Wire] = []
    is_begun = False
    for at, turn in enumerate(request.turns):
        writer.note(turn, at)
        if turn.role in _INSTRUCTORS and not is_begun:
            instruction += [wire for each, part in enumerate(turn.parts) for wire in writer.part(part, at, each)]
        else:
            is_begun = True
            writer.add(turn, at)
    writer.close()
    if not writer.contents:  # Google wants at least one content
        if not instruction:
            raise InvalidRequest(
                "This model needs a message that is not empty", param=_MESSAGES.get(request.dialect, "messages")
            )
        return None, [{"role": "user", "parts": instruction}]
    return ({"parts": instruction} if instruction else None), writer.contents


class _Writer:
    def __init__(self, request: ChatRequest, terms: Terms) -> None:
        self.contents: list[Wire] = []
        self._dialect = request.dialect
        self._messages = _MESSAGES.get(request.dialect, "messages")
        self._terms = terms
        self._names = request.tool_names()
        self._is_sealed = has_levels(terms.model)
        self._is_open_to_results = False
        self._media_of_results: list[Wire] = []

    def note(self, turn: Turn, at: int) -> None:
        """What a turn has that a content has no place for."""
        for name in (*turn.extras, *(() if turn.name is None else ("name",))):
            self._terms.lose(f"{self._messages}[{at}].{name}")

    def add(self, turn: Turn, at: int) -> None:
        results = [self._result(part, at, each) for each, part in enumerate(turn.parts) if isinstance(part, ToolResult)]
        others = [
            wire
            for each, part in enumerate(turn.parts)
            if not isinstance(part, ToolResult)
            for wire in self.part(part, at, each)
        ]
        if results:
            self._add_results(results)
        if not others:
            return
        self.close()
        if turn.role != "assistant":
            self._append("user", others)
            return
        if self.contents and self.contents[-1]["role"] == "model":
            self.contents[-1]["parts"] += others
        else:
            self._append("model", others)
        if self._is_sealed:
            _seal_first_call(self.contents[-1]["parts"])

    def close(self) -> None:
        """Write the media of results, which come after all of these."""
        media, self._media_of_results = self._media_of_results, []
        if media:
            self._append("user", media)

    def _append(self, role: str, parts: list[Wire]) -> None:
        self.contents.append({"role": role, "parts": parts})
        self._is_open_to_results = False

    def _add_results(self, parts: list[Wire]) -> None:
        if self._is_open_to_results:
            self.contents[-1]["parts"] += parts
            return
        self._append("user", parts)
        self._is_open_to_results = True

    def part(self, part: Part, at: int, each: int) -> list[Wire]:  # noqa: PLR0911 - one for each kind
        """Parts for ``part``, which is number ``each`` of turn ``at``."""
        if not isinstance(part, Audio | Thinking | Refusal | Foreign) and part.cache is not None:
            self._terms.lose("cache_control")
        if isinstance(part, Thinking):
            return self._thinking(part)
        if isinstance(part, Image | Audio | Document):
            return self._media(part, self._place(at, each))
        match part:
            case Text():
                return _text(part.text, part.seal)
            case Refusal():
                return _text(part.text, None)
            case ToolCall():
                return [_call(part)]
            case Foreign() if part.dialect == NAME:
                return [part.raw]
        self._terms.lose(self._place(at, each))
        return []

    def _place(self, at: int, each: int) -> str:
        return f"{self._messages}[{at}].content[{each}]"

    def _thinking(self, part: Thinking) -> list[Wire]:
        signature = own(part.seal)
        if signature is not None and not part.text:
            return [{"text": "", "thoughtSignature": signature}]
        if signature is None and (part.seal is not None or self._dialect != NAME):
            return []
        wire: Wire = {"text": part.text, "thought": True}
        return [wire if signature is None else wire | {"thoughtSignature": signature}]

    def _media(self, part: Image | Audio | Document, place: str) -> list[Wire]:
        if isinstance(part, Image):
            return [write_image(part, place) | self._resolution(part)]
        if isinstance(part, Audio):
            wire = write_audio(part)
            if wire is None and part.transcript is None:
                self._terms.lose(place)
            return [wire] if wire is not None else _text(part.transcript or "", None)
        if part.has_citations:
            self._terms.lose(f"{place}.citations")
        about = "\n".join(each for each in (part.title, part.context) if each)
        if part.text is not None:
            return [*_text(about, None), text_blob(part.text)]
        return [*_text(about, None), write_document(part, place)]

    def _resolution(self, image: Image) -> Wire:
        level = _RESOLUTIONS.get(image.detail or "")
        if level is None:
            return {}
        if not self._is_sealed:
            self._terms.lose("detail")
            return {}
        return {"mediaResolution": {"level": level}}

    def _result(self, result: ToolResult, at: int, each: int) -> Wire:
        if result.cache is not None:
            self._terms.lose("cache_control")
        place = self._place(at, each)
        name = result.name or self._names.get(result.call_id)
        if name is None:
            raise InvalidRequest(f"No tool call before has the id '{result.call_id[:64]}'", param=place)
        text = "".join(part.text for part in result.parts if isinstance(part, Text))
        response: Wire = {"id": result.call_id} if result.call_id else {}
        response |= {"name": name, "response": _output(text, is_error=result.is_error)}
        media: list[Wire] = []
        for part in result.parts:
            if isinstance(part, Image | Document):
                media += self._media(part, place)
            elif isinstance(part, Foreign):
                self._terms.lose(place)
        if self._is_sealed:  # models before the third generation take no media in there
            inside = [wire for wire in media if "text" not in wire]
            response |= {"parts": inside} if inside else {}
            media = [wire for wire in media if "text" in wire]
        self._media_of_results += media
        return {"functionResponse": response}


def _text(text: str, seal: Seal | None) -> list[Wire]:
    signature = own(seal)
    if signature is not None:
        return [{"text": text, "thoughtSignature": signature}]
    return [{"text": text}] if text else []


def _call(call: ToolCall) -> Wire:
    arguments = _object(call.arguments) if call.kind == "function" else None
    if arguments is None:
        arguments = {"input": call.arguments} if call.arguments.strip() else {}
    function: Wire = {"id": call.id} if call.id else {}
    wire: Wire = {"functionCall": function | {"name": call.name, "args": arguments}}
    signature = own(call.seal)
    return wire if signature is None else wire | {"thoughtSignature": signature}


def _seal_first_call(parts: list[Wire]) -> None:
    """Models of the third generation refuse calls in the history of which the first has no signature."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first.setdefault("thoughtSignature", SKIP)


def _output(text: str, *, is_error: bool) -> Wire:
    found = _object(text)
    if is_error:
        return {"error": text if found is None else found}
    return {"output": text} if found is None else found


def _object(text: str) -> Wire | None:
    """The JSON object that ``text`` is, if it is one."""
    if not text.lstrip().startswith("{"):
        return None
    encoded = text.encode()
    try:
        found = msgspec.json.decode(encoded)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) and not is_deeper_than(encoded, MAX_DEPTH) else None
