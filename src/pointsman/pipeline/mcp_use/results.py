"""What a tool has answered, as text for a model."""

from __future__ import annotations

from typing import Any, Final

import msgspec

CUT: Final = "\n[cut here: {left} more bytes]"
SHOWN: Final = ("resource", "resource_link")


class _Result(msgspec.Struct):
    content: list[dict[str, Any]] = []
    structuredContent: Any = None  # noqa: N815  as it is written
    isError: bool = False  # noqa: N815  the same


def text_of(result: bytes | msgspec.Raw) -> tuple[str, bool]:
    """The text of a result of ``tools/call``, and whether it is an error."""
    try:
        read = msgspec.json.decode(result, type=_Result)
    except (msgspec.MsgspecError, RecursionError):
        return "Error: the tool's answer is not one", True
    parts = [_text(one) for one in read.content]
    if not read.content and read.structuredContent is not None:
        parts = [msgspec.json.encode(read.structuredContent).decode()]
    text = "\n".join(part for part in parts if part)
    return f"Error: {text}" if read.isError else text, read.isError


def cut(text: str, max_bytes: int) -> str:
    """The text, if it is not longer than that; else its beginning, with a note that it was cut."""
    whole = text.encode(errors="replace")
    if len(whole) <= max_bytes:
        return text
    return whole[:max_bytes].decode(errors="ignore") + CUT.format(left=len(whole) - max_bytes)


def _text(block: dict[str, Any]) -> str:
    kind = block.get("type")
    if kind == "text":
        return str(block.get("text", ""))
    resource = block.get("resource")
    inside: dict[str, Any] = resource if isinstance(resource, dict) else {}
    if kind == "resource" and isinstance(inside.get("text"), str):
        return str(inside["text"])
    if kind in SHOWN and "blob" not in inside:
        return msgspec.json.encode(block).decode()
    # Chat models take nothing but text from a tool.
    return f"[{kind}, {block.get('mimeType', 'of an unknown type')}: not shown]"
