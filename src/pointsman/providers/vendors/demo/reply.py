"""Answers of the demo vendor, and reading its requests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from pointsman.errors import GatewayError, InvalidRequest

Headers = list[tuple[bytes, bytes]]
Pieces = list[tuple[float, bytes]]


class DemoReply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer and its pace."""

    status: int
    headers: Headers
    """Lower-case names."""
    pieces: Pieces
    """Body pieces, each with the seconds to wait before it."""


def json_reply(value: Any, *, delay: float = 0.0, status: int = 200) -> DemoReply:
    """One JSON body."""
    return whole_reply(msgspec.json.encode(value), b"application/json", delay=delay, status=status)


def whole_reply(body: bytes, content_type: bytes, *, delay: float = 0.0, status: int = 200) -> DemoReply:
    """One body of known length."""
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    return DemoReply(status=status, headers=headers, pieces=[(delay, body)])


def event_reply(pieces: Iterable[tuple[float, bytes]]) -> DemoReply:
    """A stream of server-sent events, already framed."""
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
    return DemoReply(status=200, headers=headers, pieces=list(pieces))


def event(data: Any, name: str | None = None) -> bytes:
    """One server-sent event with a JSON payload."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + msgspec.json.encode(data) + b"\n\n"


def error_reply(error: GatewayError) -> DemoReply:
    """An error in OpenAI's shape."""
    inner = {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}
    return json_reply({"error": inner}, status=error.status)


def new_id(prefix: str, body: bytes, now: float) -> str:
    """An id that differs between requests and times, without randomness."""
    digest = hashlib.sha256(body + repr(now).encode()).hexdigest()
    return f"{prefix}{digest[:24]}"


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON body that is an object; ``InvalidRequest`` otherwise."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest("The body is not valid JSON") from error
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object")
    return value


def text_field(body: dict[str, Any], name: str) -> str:
    """A required text that is not empty."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{name} must be a text that is not empty", param=name)
    return value


def whole_number(body: dict[str, Any], name: str, *, default: int, low: int, high: int) -> int:
    """An optional integer within bounds."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidRequest(f"{name} must be a whole number from {low} to {high}", param=name)
    return value


def flag(body: dict[str, Any], name: str) -> bool:
    """An optional boolean, false when absent."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"{name} must be true or false", param=name)
    return bool(value)
