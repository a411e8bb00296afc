"""``mcp_everything_server`` of the SDK 2.x without its legacy half, with a port as its argument."""

# mypy: ignore-errors
# Its SDK is not in the environment that is checked.

from __future__ import annotations

import json
import sys

import uvicorn

MODERN = "2026-07-28"
UNSUPPORTED = -32022
REFUSED = {"code": UNSUPPORTED, "message": "Unsupported protocol version", "data": {"supported": [MODERN]}}


async def refuse_legacy(ctx, call_next):
    """Middleware of the SDK: the one way in of a legacy client over stdio."""
    from mcp.shared.exceptions import MCPError

    if ctx.method == "initialize":
        raise MCPError(**REFUSED)
    return await call_next(ctx)


class ModernOnly:
    """ASGI: the same over HTTP, before a session is made."""

    def __init__(self, app) -> None:
        self.app = app

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["method"] != "POST":
            await answer(send, 405, b"")
        elif is_legacy(dict(scope["headers"])):
            body = {"jsonrpc": "2.0", "id": None, "error": REFUSED}
            await answer(send, 400, json.dumps(body).encode())
        else:
            await self.app(scope, receive, send)


def is_legacy(headers: dict[bytes, bytes]) -> bool:
    version = headers.get(b"mcp-protocol-version", b"")
    return version.startswith((b"2024-", b"2025-")) or not (version or b"mcp-method" in headers)


async def answer(send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def serve(app, port: int) -> None:
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    from mcp_everything_server.server import mcp

    serve(ModernOnly(mcp.streamable_http_app()), int(sys.argv[1]))
