"""JSON replies, and THE place where errors become responses."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from pointsman.edge.exchange import Exchange
from pointsman.errors import GatewayError
from pointsman.providers.dialects import anthropic, gemini, openai
from pointsman.wire import jsonrpc

ERRORS = {"openai": openai, "anthropic": anthropic, "gemini": gemini, "mcp": jsonrpc}
"""Who tells errors, by the dialect of the caller."""
JSON = b"content-type: application/json\r\n"
_encode = msgspec.json.Encoder(decimal_format="number").encode


def identity(exchange: Exchange) -> bytes:
    """The header lines that name this request in logs on both sides."""
    name = exchange.request_id.encode("latin-1")
    lines = b"x-request-id: %b\r\nx-litellm-call-id: %b\r\n%b" % (name, name, exchange.version_line)
    # Anthropic's SDK reads another name.
    return lines + b"request-id: %b\r\n" % name if exchange.dialect == "anthropic" else lines


def json_reply(exchange: Exchange, value: Any, status: int = 200, headers: bytes = b"") -> None:
    """Reply with ``value`` as JSON."""
    exchange.reply(status, JSON + identity(exchange) + headers, _encode(value))


def text_reply(exchange: Exchange, content_type: bytes, body: bytes) -> None:
    """Reply with ``body`` as it is."""
    exchange.reply(200, b"content-type: %b\r\n%b" % (content_type, identity(exchange)), body)


def error_reply(exchange: Exchange, error: GatewayError) -> None:
    """Answer with an error. Only before anything was sent."""
    lines = [JSON, identity(exchange)]
    if error.retry_after is not None:
        lines.append(b"retry-after: %d\r\n" % max(1, math.ceil(error.retry_after)))
    for name, value in error.headers:
        lines.append(b"%b: %b\r\n" % (name.encode("latin-1"), value.encode("latin-1", "replace")))
    exchange.reply(error.status, b"".join(lines), ERRORS[exchange.dialect].error_body(error))
