"""Reading the content blocks of a client's messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from pointsman.providers.dialects.anthropic.citations import read_citations
from pointsman.providers.dialects.anthropic.facts import NAME
from pointsman.providers.dialects.anthropic.fields import need, objects, place, take, unfit
from pointsman.providers.dialects.anthropic.seals import with_seals
from pointsman.wire.chat import (
    CacheMark,
    Document,
    Foreign,
    Image,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    sealed,
)

_Block = dict[str, Any]


def read_content(raw: _Block, at: str) -> list[Part]:
    """Give the ``content`` of the message at ``at``: a text or blocks.

    :raises InvalidRequest: it is neither, or a block is not what its type says
    """
    content = raw.get("content")
    here = place(at, "content")
    if isinstance(content, str):
        return [Text(content)] if content else []
    if not isinstance(content, list):
        raise unfit(here, "a string or a list of content blocks")
    return with_seals(
        _READERS.get(need(block, "type", str, there), _foreign)(block, there) for block, there in objects(content, here)
    )


def read_texts(raw: _Block, name: str, at: str = "") -> list[Text]:
    """Give a text, or a list of blocks of text; nothing if it is not there.

    :raises InvalidRequest: it is something else
    """
    value = raw.get(name)
    here = place(at, name)
    if isinstance(value, str):
        return [Text(value)] if value else []
    if value is None:
        return []
    if not isinstance(value, list):
        raise unfit(here, "a string or a list of text blocks")
    for block, there in objects(value, here):
        if block.get("type") != "text":
            raise unfit(place(there, "type"), "'text'")
    return [_text(block, there) for block, there in objects(value, here)]


def read_mark(raw: _Block, at: str = "") -> CacheMark | None:
    """Give the ``cache_control`` of a block, or of the whole request.

    :raises InvalidRequest: it is none
    """
    mark = take(raw, "cache_control", dict, at)
    return None if mark is None else CacheMark(take(mark, "ttl", str, place(at, "cache_control")))


def _text(raw: _Block, at: str) -> Text:
    text = need(raw, "text", str, at)
    annotations = read_citations(take(raw, "citations", list, at), 0, len(text))
    return Text(text, cache=read_mark(raw, at), annotations=annotations)


def _image(raw: _Block, at: str) -> Image:
    source, here = need(raw, "source", dict, at), place(at, "source")
    cache = read_mark(raw, at)
    match need(source, "type", str, here):
        case "base64":
            media_type = take(source, "media_type", str, here)
            return Image(data=need(source, "data", str, here), media_type=media_type, cache=cache)
        case "url":
            return Image(url=need(source, "url", str, here), cache=cache)
        case "file":
            return Image(file_id=need(source, "file_id", str, here), cache=cache)
    raise unfit(place(here, "type"), "'base64', 'url' or 'file'")


def _document(raw: _Block, at: str) -> Document | Foreign:
    source, here = need(raw, "source", dict, at), place(at, "source")
    document = Document(
        media_type=take(source, "media_type", str, here),
        title=take(raw, "title", str, at),
        context=take(raw, "context", str, at),
        has_citations=_has_citations(raw, at),
        cache=read_mark(raw, at),
    )
    match need(source, "type", str, here):
        case "base64":
            document.data = need(source, "data", str, here)
        case "text":
            document.text = need(source, "data", str, here)
        case "url":
            document.url = need(source, "url", str, here)
        case "file":
            document.file_id = need(source, "file_id", str, here)
        case "content":
            parts = read_content(source, here)
            if not all(isinstance(part, Text) for part in parts):
                return Foreign(NAME, raw)
            document.text = "\n".join(part.text for part in parts if isinstance(part, Text))
            document.media_type = "text/plain"
        case _:
            raise unfit(place(here, "type"), "'base64', 'text', 'url', 'content' or 'file'")
    return document


def _search_result(raw: _Block, at: str) -> Document:
    return Document(
        text="\n".join(text.text for text in read_texts(raw, "content", at)),
        media_type="text/plain",
        title=need(raw, "title", str, at),
        context=need(raw, "source", str, at),
        has_citations=_has_citations(raw, at),
        cache=read_mark(raw, at),
    )


def _has_citations(raw: _Block, at: str) -> bool:
    asked = take(raw, "citations", dict, at) or {}
    return take(asked, "enabled", bool, place(at, "citations")) or False


def _thinking(raw: _Block, at: str) -> Thinking:
    return Thinking(need(raw, "thinking", str, at), seal=sealed(take(raw, "signature", str, at) or "", NAME))


def _redacted(raw: _Block, at: str) -> Thinking:
    return Thinking("", seal=sealed(need(raw, "data", str, at), NAME), is_redacted=True)


def _tool_use(raw: _Block, at: str) -> ToolCall:
    return ToolCall(
        id=need(raw, "id", str, at),
        name=need(raw, "name", str, at),
        arguments=msgspec.json.encode(need(raw, "input", dict, at)).decode(),
        cache=read_mark(raw, at),
    )


def _tool_result(raw: _Block, at: str) -> ToolResult:
    parts: list[Text | Image | Document | Foreign] = []
    if raw.get("content") is not None:
        for part in read_content(raw, at):
            if not isinstance(part, Text | Image | Document | Foreign):
                raise unfit(place(at, "content"), "blocks of text, images or documents")
            parts.append(part)
    return ToolResult(
        call_id=need(raw, "tool_use_id", str, at),
        parts=parts,
        is_error=take(raw, "is_error", bool, at) or False,
        cache=read_mark(raw, at),
    )


def _tool_reference(raw: _Block, at: str) -> Text:
    """The result of a search for tools; where no tool is kept back until then, its name says it all."""
    return Text(need(raw, "tool_name", str, at), cache=read_mark(raw, at))


def _foreign(raw: _Block, _at: str) -> Foreign:
    return Foreign(NAME, raw)


_READERS: Final[dict[str, Callable[[_Block, str], Part]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "tool_reference": _tool_reference,
}
"""Blocks of other types, such as those of server tools, are :class:`Foreign`."""
