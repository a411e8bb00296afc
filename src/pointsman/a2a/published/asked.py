"""A message for an agent, in version 1.0, as what a model is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pointsman.a2a.protocol.faults import CONTENT_TYPE_NOT_SUPPORTED, INVALID_PARAMS, refusal

DEFAULT_TYPE = "application/octet-stream"


def turn_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of the user, as OpenAI's chats have it.

    :raises RpcError: there is nothing in it, or something that no model is told
    """
    parts = list(_parts(message.get("parts")))
    if not parts:
        raise refusal(INVALID_PARAMS, "The message has no parts")
    texts = [part["text"] for part in parts if part["type"] == "text"]
    return {"role": "user", "content": "\n".join(texts) if len(texts) == len(parts) else parts}


def _parts(parts: Any) -> Iterator[dict[str, Any]]:
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, dict):
            raise refusal(INVALID_PARAMS, "A part has to be an object")
        if isinstance(part.get("text"), str):
            yield {"type": "text", "text": part["text"]}
        elif "data" in part:
            yield {"type": "text", "text": msgspec.json.encode(part["data"]).decode()}
        else:
            yield _file(part)


def _file(part: Mapping[str, Any]) -> dict[str, Any]:
    media_type = part.get("mediaType") or DEFAULT_TYPE
    url, raw = part.get("url"), part.get("raw")
    if not isinstance(media_type, str) or not (isinstance(url, str) or isinstance(raw, str)):
        raise refusal(INVALID_PARAMS, "A part has to have text, raw, url or data")
    address = url if isinstance(url, str) else f"data:{media_type};base64,{raw}"
    if media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": address}}
    if isinstance(url, str):
        raise refusal(CONTENT_TYPE_NOT_SUPPORTED, "Only pictures can be at an address: send the file itself")
    name = part.get("filename")
    return {"type": "file", "file": {"filename": name if isinstance(name, str) else "file", "file_data": address}}
