"""``contents`` of a client as turns of a conversation."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from pointsman.errors import InvalidRequest
from pointsman.providers.dialects.gemini.media import read_blob, read_file
from pointsman.providers.dialects.gemini.members import objects_of, read_object
from pointsman.providers.dialects.gemini.seals import NAME, is_skip, read_seal
from pointsman.wire.chat import (
    Audio,
    Document,
    Foreign,
    Image,
    Part,
    Role,
    Seal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)

_ROLES: Final[dict[Any, Role]] = {None: "user", "": "user", "user": "user", "function": "user", "model": "assistant"}
_FOREIGN: Final = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
_ABOUT_MEDIA: Final = ("videoMetadata", "mediaProcessing", "audioMetadata", "documentMetadata", "spreadsheetMetadata")
_DETAILS: Final = {
    "MEDIA_RESOLUTION_LOW": "low",
    "MEDIA_RESOLUTION_HIGH": "high",
    "MEDIA_RESOLUTION_ULTRA_HIGH": "original",
}
_encode: Final = msgspec.json.Encoder().encode


def read_contents(value: Any) -> list[Turn]:
    """The turns of ``contents``: a text, a content, or a list of these.

    SDKs keep what was streamed to them in pieces, event by event. These are put together again.

    :raises InvalidRequest: they are not valid
    """
    if isinstance(value, str):
        return [Turn("user", [Text(value)])]
    if isinstance(value, list):
        value = [{"parts": [{"text": each}]} if isinstance(each, str) else each for each in value]
    reader = _Reader()
    turns = [reader.turn(content, place) for place, content in objects_of(value, "contents")]
    if not turns:
        raise InvalidRequest("contents must not be empty", param="contents")
    return _joined(turns)


def read_instruction(value: Any) -> Turn | None:
    """The turn of ``systemInstruction``: a content or a text.

    :raises InvalidRequest: it is not valid
    """
    if value is None:
        return None
    if isinstance(value, str):
        return Turn("system", [Text(value)])
    content = read_object(value, "systemInstruction")
    return Turn("system", _Reader().parts(content, "systemInstruction"))


def _joined(turns: list[Turn]) -> list[Turn]:
    joined: list[Turn] = []
    for turn in turns:
        if turn.role == "assistant" and joined and joined[-1].role == "assistant":
            joined[-1].parts += turn.parts
        else:
            joined.append(turn)
    for turn in joined:
        if turn.role == "assistant":
            turn.parts = _runs(turn.parts)
    return joined


def _runs(parts: list[Part]) -> list[Part]:
    """Pieces of one text, or of one thought, as one part. A signature ends it."""
    runs: list[Part] = []
    texts: list[str] = []
    for part in parts:
        last = runs[-1] if runs else None
        if isinstance(part, Text | Thinking) and isinstance(last, Text | Thinking) and _goes_on(last, part):
            last.seal = part.seal
        else:
            _end_run(runs, texts)
            runs.append(part)
        if isinstance(part, Text | Thinking):
            texts.append(part.text)
    _end_run(runs, texts)
    return [part for part in runs if not isinstance(part, Text) or part.text or part.seal is not None]


def _goes_on(last: Text | Thinking, part: Text | Thinking) -> bool:
    is_redacted = isinstance(part, Thinking) and part.is_redacted
    return type(last) is type(part) and last.seal is None and not is_redacted


def _end_run(runs: list[Part], texts: list[str]) -> None:
    if len(texts) > 1 and isinstance(runs[-1], Text | Thinking):
        runs[-1].text = "".join(texts)
    texts.clear()


class _Reader:
    """Gives calls without an id one, and answers to them the same."""

    def __init__(self) -> None:
        self._unanswered: dict[str, list[str]] = {}
        self._n_calls = 0

    def turn(self, content: dict[str, Any], place: str) -> Turn:
        role = content.get("role")
        if not isinstance(role, str | None) or role not in _ROLES:
            raise InvalidRequest("The role must be user or model", param=f"{place}.role")
        return Turn(_ROLES[role], self.parts(content, place))

    def parts(self, content: dict[str, Any], place: str) -> list[Part]:
        value = content.get("parts")
        if isinstance(value, str):
            return [Text(value)]
        if isinstance(value, list):
            value = [{"text": each} if isinstance(each, str) else each for each in value]
        return [self._part(part, where) for where, part in objects_of(value, f"{place}.parts")]

    def _part(self, part: dict[str, Any], place: str) -> Part:
        signature = part.get("thoughtSignature")
        if signature is not None and not isinstance(signature, str):
            raise InvalidRequest("A thoughtSignature must be a text", param=f"{place}.thoughtSignature")
        seal, is_redacted = read_seal(signature) if signature and not is_skip(signature) else (None, False)
        if part.get("functionCall") is not None:
            return self._call(read_object(part["functionCall"], f"{place}.functionCall"), f"{place}.functionCall", seal)
        if part.get("functionResponse") is not None:
            where = f"{place}.functionResponse"
            return self._result(read_object(part["functionResponse"], where), where)
        if any(part.get(name) is not None for name in _FOREIGN):
            return Foreign(NAME, part)
        if part.get("inlineData") is not None or part.get("fileData") is not None:
            return _media(part, place)
        text = part.get("text")
        if not isinstance(text, str) and not (text is None and seal is not None):
            raise InvalidRequest("A part must have a text, data, a call or a response", param=place)
        if part.get("thought") is True or (not text and seal is not None and seal.origin != NAME):
            return Thinking(text or "", seal, is_redacted=is_redacted)
        return Text(text or "", seal=seal)

    def _call(self, call: dict[str, Any], place: str, seal: Seal | None) -> ToolCall:
        name = _name(call, place)
        args = call.get("args")
        if args is not None and not isinstance(args, dict):
            raise InvalidRequest("args must be an object", param=f"{place}.args")
        self._n_calls += 1
        call_id = _id(call, place) or f"call_{self._n_calls}"
        self._unanswered.setdefault(name, []).append(call_id)
        return ToolCall(id=call_id, name=name, arguments=_encode(args or {}).decode(), seal=seal)

    def _result(self, response: dict[str, Any], place: str) -> ToolResult:
        name = _name(response, place)
        waiting = self._unanswered.get(name, [])
        call_id = _id(response, place) or (waiting[0] if waiting else f"call_{name}")
        if call_id in waiting:
            waiting.remove(call_id)
        text, is_error = _output(response.get("response"), f"{place}.response")
        parts: list[Text | Image | Document | Foreign] = [Text(text)]
        for where, part in objects_of(response.get("parts"), f"{place}.parts"):
            media = _media(part, where)
            parts.append(Foreign(NAME, part) if isinstance(media, Audio) else media)
        return ToolResult(call_id=call_id, name=name, parts=parts, is_error=is_error)


def _name(members: dict[str, Any], place: str) -> str:
    name = members.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidRequest("The name of a function is missing", param=f"{place}.name")
    return name


def _id(members: dict[str, Any], place: str) -> str | None:
    given = members.get("id")
    if given is not None and not isinstance(given, str):
        raise InvalidRequest("An id must be a text", param=f"{place}.id")
    return given or None


def _output(response: Any, place: str) -> tuple[str, bool]:
    """The text of a result, and whether it is an error. Google has ``output`` and ``error`` for a plain one."""
    if response is None:
        return "", False
    if not isinstance(response, dict):
        raise InvalidRequest("response must be an object", param=place)
    is_error = set(response) == {"error"}
    plain = response.get("error" if is_error else "output") if len(response) == 1 else None
    if isinstance(plain, str):
        return plain, is_error
    value = response["error"] if is_error else response
    return _encode(value).decode(), is_error


def _media(part: dict[str, Any], place: str) -> Image | Audio | Document | Foreign:
    """Media; what is said about it beyond a picture's resolution only Google knows."""
    name = "inlineData" if part.get("inlineData") is not None else "fileData"
    data = read_object(part.get(name), f"{place}.{name}")
    mime = data.get("mimeType")
    if mime is not None and not isinstance(mime, str):
        raise InvalidRequest("mimeType must be a text", param=f"{place}.{name}.mimeType")
    member = "data" if name == "inlineData" else "fileUri"
    content = data.get(member)
    if not isinstance(content, str) or not content:
        raise InvalidRequest(f"{name} needs {member}", param=f"{place}.{name}.{member}")
    media = read_blob(mime or "", _standard(content)) if name == "inlineData" else read_file(content, mime)
    detail = _DETAILS.get(_level(part.get("mediaResolution")))
    if any(part.get(each) is not None for each in _ABOUT_MEDIA) or (
        part.get("mediaResolution") is not None and (detail is None or not isinstance(media, Image))
    ):
        return Foreign(NAME, part)
    if isinstance(media, Image):
        media.detail = detail
    return media


def _level(resolution: Any) -> str:
    level = resolution.get("level") if isinstance(resolution, dict) else resolution
    return level if isinstance(level, str) else ""


def _standard(data: str) -> str:
    """Base64 in its usual alphabet; SDKs of Google's write the one for URLs."""
    return data.replace("-", "+").replace("_", "/")
