"""An MCP server of both eras that does as little as one can, so that what is measured is what stands before it.

python bench/mcp_server.py PORT: answers at any path, with JSON, and has as many tools as it is asked for by ``TOOLS``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

TOOLS = 200
INFO = {"name": "mock", "version": "1"}
ABILITIES: dict[str, Any] = {"tools": {}}
TEXT = {"content": [{"type": "text", "text": "This is a simple text response for testing."}]}
SCHEMA = {
    "type": "object",
    "properties": {
        "station": {"type": "string", "description": "Name of the station as it stands in the timetable"},
        "track": {"type": "integer", "minimum": 1, "maximum": 40},
        "note": {"type": "string", "maxLength": 200},
    },
    "required": ["station"],
}
LISTED = [
    {
        "name": f"tool_{n}",
        "description": f"Sets the points of track {n} and tells which way they lead",
        "inputSchema": SCHEMA,
    }
    for n in range(TOOLS)
]


def result(method: str) -> dict[str, Any]:
    if method == "initialize":
        return {"protocolVersion": "2025-11-25", "capabilities": ABILITIES, "serverInfo": INFO}
    if method == "server/discover":
        found = {"supportedVersions": ["2026-07-28"], "capabilities": ABILITIES, "ttlMs": 3_600_000}
        return found | {"cacheScope": "public", "_meta": {"io.modelcontextprotocol/serverInfo": INFO}}
    if method == "tools/list":
        return {"tools": LISTED, "ttlMs": 3_600_000, "cacheScope": "public"}
    return TEXT


def answer(head: bytes, body: bytes) -> bytes:
    """The reply to one request."""
    if head.startswith(b"GET"):
        return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    if head.startswith(b"DELETE"):
        return b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    message = json.loads(body)
    if "id" not in message:
        return b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
    kind = {} if b"2026-07-28" not in head else {"resultType": "complete"}
    found = {"jsonrpc": "2.0", "id": message["id"], "result": result(message["method"]) | kind}
    session = b"mcp-session-id: one-for-all\r\n" if message["method"] == "initialize" else b""
    data = json.dumps(found).encode()
    lines = b"content-type: application/json\r\n" + session + b"content-length: %d\r\n\r\n" % len(data)
    return b"HTTP/1.1 200 OK\r\n" + lines + data


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next((int(x.partition(b":")[2]) for x in lines if x.startswith(b"content-length:")), 0)
            writer.write(answer(head, await reader.readexactly(length)))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=1000)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
