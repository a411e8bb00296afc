"""The headers in which a modern client repeats parts of its request, for those who read no bodies.

What they say has to be what the body says: else somebody on the way would decide on something else than what is done.
Source: SEP-2243, and "Request Metadata" of the transport's specification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from pointsman.mcp.protocol import revisions
from pointsman.mcp.protocol.mirrors import NAMED_BY, PARAM_PREFIX, decode_value, mirrors_of, text_at
from pointsman.wire.jsonrpc import RpcError

VERSION: Final = b"mcp-protocol-version"
METHOD: Final = b"mcp-method"
NAME: Final = b"mcp-name"
SESSION: Final = b"mcp-session-id"
SERVERS: Final = b"x-mcp-servers"
_INTEGER: Final = re.compile(r"-?[0-9]{1,16}(?:\.0{1,16})?")


def check_standard(method: str, revision: object, params: Mapping[str, Raw], headers: Mapping[bytes, bytes]) -> None:
    """Compare the headers that all requests have with the body of this one.

    :raises RpcError: they differ
    """
    if _text(headers.get(VERSION)) != revision:
        raise _mismatch("MCP-Protocol-Version", "the protocol version in '_meta'")
    if _text(headers.get(METHOD)) != method:
        raise _mismatch("Mcp-Method", "the method")
    member = NAMED_BY.get(method)
    if member is not None and member in params:
        name = msgspec.json.decode(params[member])
        if isinstance(name, str) and _decoded(headers.get(NAME)) != name:
            raise _mismatch("Mcp-Name", f"'params.{member}'")


def check_parameters(schema: Mapping[str, Any], arguments: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> None:
    """Compare the headers that ``schema``, the input schema of a tool, asks for with the arguments of a call.

    :raises RpcError: they differ, or one is without the other
    """
    try:
        mirrors = mirrors_of(schema)
    except ValueError:
        # A client has to leave such a tool alone, and so knows of no headers for it.
        return
    for path, name in mirrors.items():
        given = headers.get((PARAM_PREFIX + name).lower().encode())
        wanted, told = text_at(arguments, path), _decoded(given)
        if (wanted is None) != (given is None) or not (wanted == told or _is_same_number(arguments, path, told)):
            raise _mismatch(PARAM_PREFIX + name, f"the argument {'.'.join(path)!r}")


def _is_same_number(arguments: Any, path: tuple[str, ...], told: str | None) -> bool:
    """Whether both are the same integer, which may be written as 42.0 too."""
    for name in path:
        arguments = arguments[name]
    if told is None or isinstance(arguments, bool) or not isinstance(arguments, int | float):
        return False
    return _INTEGER.fullmatch(told) is not None and int(told.partition(".")[0]) == arguments


def _decoded(value: bytes | None) -> str | None:
    text = _text(value)
    return None if text is None else decode_value(text)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.strip().decode("latin-1")


def _mismatch(header: str, what: str) -> RpcError:
    message = f"Header mismatch: {header} is missing or is not what the body has as {what}"
    return RpcError(revisions.HEADER_MISMATCH, message, status=400)
