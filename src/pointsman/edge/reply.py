"""JSON replies, and THE place where errors become responses."""

from __future__ import annotations

from typing import Any

import msgspec

from pointsman.edge.exchange import Exchange
from pointsman.errors import GatewayError
from pointsman.providers.dialects import anthropic, gemini, openai
from pointsman.wire import jsonrpc
from pointsman.wire.replies import header_lines

ERRORS = {
    "openai": openai,
    "anthropic": anthropic,
    "gemini": gemini,
    "mcp": jsonrpc,
    "a2a": jsonrpc,
    # Both have their errors from the same proposal of Google's (AIP-193).
    "a2a_rest": gemini,
}
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
    head = JSON + identity(exchange) + header_lines(error)
    exchange.reply(error.status, head, ERRORS[exchange.dialect].error_body(error))
