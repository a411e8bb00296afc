"""What a request brings along besides its text, or only refers to: pictures, sounds, documents, what was said before.

A picture has no more tokens than the largest has anywhere, and a sound fewer than bytes. Nobody can tell the length of
a document, of a file that is elsewhere, or of a conversation that the provider keeps: such a request is as long as the
model lets it be. Only what stands where the dialects have such parts counts as one: the same words in a message, in a
tool or in what a tool was given are text, and so is whatever is not in base64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

PLACES: Final = ("messages", "contents", "input", "system", "instructions", "systemInstruction", "system_instruction")
TEXTS: Final = frozenset(
    {
        *("text", "input_text", "output_text", "summary_text", "reasoning_text", "refusal", "message", "reasoning"),
        *("thinking", "redacted_thinking", "tool_use", "tool_result", "server_tool_use", "search_result"),
        *("function", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"),
        *("web_search_tool_result", "web_search_call"),
    }
)
"""Parts that hold nothing but text, or more parts."""
WITHIN: Final = ("content", "output", "parts")
"""Where messages and parts hold more of them."""
NAMED: Final = ("inlineData", "inline_data", "fileData", "file_data")
"""Gemini's parts have no type."""


class Attached(msgspec.Struct):
    """What is no text."""

    coded: int = 0
    """Bytes of base64 that are not read as text."""
    sound: int = 0
    """Those of them that are sounds."""
    pictures: int = 0
    is_open: bool = False
    """Whether there is something whose length nobody can tell."""

    def take(self, mime: str, data: str) -> None:
        """Take in ``data`` in base64."""
        if mime.startswith("text/"):
            return
        self.coded += len(data)
        if mime.startswith("image/"):
            self.pictures += 1
        elif mime.startswith("audio/"):
            self.sound += len(data)
        else:
            self.is_open = True

    def refer(self, url: Any) -> None:
        """Take in what ought to be a picture, there or elsewhere."""
        if isinstance(url, str) and url[:5].lower() == "data:":
            head, _, data = url.partition(",")
            if head.endswith(";base64"):
                self.take(head[5:].lower(), data)
        elif isinstance(url, str):
            self.pictures += 1
        else:
            self.is_open = True


def attached(body: bytes) -> Attached | None:
    """What a JSON request has besides its text; ``None``: nothing."""
    # One of these stands in each body that has a part which is no text, or whose names are spelled with escapes.
    has_marks = b'"type"' in body or b'ata"' in body or b'"id"' in body
    if not has_marks and not (b"\\" in body and b"\\u" in body):
        return None
    found = Attached()
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Others may read it: numbers that are out of range here, text that is half a character.
        return Attached(is_open=True)
    if isinstance(request, dict):
        for place in PLACES:
            _look(request.get(place), found)
    return found


def _look(value: Any, found: Attached) -> None:
    if isinstance(value, list):
        for one in value:
            if isinstance(one, dict):
                _part(one, found)
            elif isinstance(one, list):
                _look(one, found)
    elif isinstance(value, dict):
        _part(value, found)


def _part(part: Mapping[str, Any], found: Attached) -> None:
    kind = part.get("type")
    if kind is not None and not isinstance(kind, str):
        kind = ""
    for name in NAMED:
        if name in part:
            _google(part[name], found)
    response = part.get("functionResponse", part.get("function_response"))
    if isinstance(response, dict):
        _look(response.get("parts"), found)
    if kind in TEXTS or (kind is None and ("role" in part or "id" not in part)):
        for name in WITHIN:
            _look(part.get(name), found)
        # What a model has said before, where only its provider has it.
        found.is_open |= kind is None and part.get("audio") is not None
    else:
        _other(kind, part, found)


def _other(kind: str | None, part: Mapping[str, Any], found: Attached) -> None:
    """A part that is no text."""
    if kind == "image_url":
        url = part.get("image_url")
        found.refer(url.get("url") if isinstance(url, dict) else url)
    elif kind == "input_image":
        found.refer(part.get("image_url") or part.get("file_id"))
    elif kind == "input_audio":
        sound = part.get("input_audio")
        data = sound.get("data") if isinstance(sound, dict) else None
        if isinstance(data, str):
            found.take("audio/", data)
    elif kind in ("image", "document"):
        _anthropic(kind, part.get("source"), found)
    else:
        found.is_open = True


def _google(value: Any, found: Attached) -> None:
    data = value.get("data") if isinstance(value, dict) else None
    if isinstance(data, str):
        found.take(str(value.get("mimeType", value.get("mime_type"))).lower(), data)
    else:
        found.is_open = True


def _anthropic(kind: str, source: Any, found: Attached) -> None:
    how = source.get("type") if isinstance(source, dict) else None
    if how == "text":
        return
    if how == "content":
        _look(source.get("content"), found)
    elif how == "base64" and isinstance(source.get("data"), str):
        found.take("image/" if kind == "image" else "", source["data"])
    elif kind == "image":
        found.pictures += 1
    else:
        found.is_open = True
