"""An A2A agent that does as little as one can, so that what is measured is what stands before it.

python bench/a2a_agent.py PORT: version 1.0 at ``/``, 0.3 at ``/legacy``, JSON-RPC in both. A stream has ``EVENTS``
pieces, each sent on its own; where the message begins with ``hold`` it stops after the first event.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import Iterator
from typing import Any

EVENTS = 100
TEXT = "The 8:15 to Bern leaves from track nine, and calls at Olten, Langenthal and Burgdorf on its way there. " * 2
STAMP = "2026-01-02T03:04:05.678Z"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: "


def card(port: int, *, is_legacy: bool) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/{'legacy' if is_legacy else ''}"
    common = {
        "name": "Mock",
        "description": "Knows a train",
        "version": "1",
        "capabilities": {"streaming": True},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "s", "name": "S", "description": "Knows it", "tags": ["t"]}],
    }
    if is_legacy:
        return common | {"url": url, "protocolVersion": "0.3.0", "preferredTransport": "JSONRPC"}
    interface = {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    return common | {"supportedInterfaces": [interface]}


def task(message: dict[str, Any], state: str, *, is_legacy: bool) -> dict[str, Any]:
    context = message.get("contextId") or str(uuid.uuid4())
    found: dict[str, Any] = {"id": str(uuid.uuid4()), "contextId": context, "history": [message]}
    if is_legacy:
        part: dict[str, Any] = {"kind": "text", "text": TEXT}
        found |= {"kind": "task", "status": {"state": state, "timestamp": STAMP}}
    else:
        part = {"text": TEXT}
        found["status"] = {"state": f"TASK_STATE_{state.upper()}", "timestamp": STAMP}
    return found | {"artifacts": [{"artifactId": "a", "name": "train", "parts": [part]}]}


def events(message: dict[str, Any], *, is_legacy: bool) -> Iterator[dict[str, Any]]:
    """A task, pieces of an artifact, and the end."""
    begun = task(message, "working", is_legacy=is_legacy)
    begun.pop("artifacts")
    ids = {"taskId": begun["id"], "contextId": begun["contextId"]}
    yield begun if is_legacy else {"task": begun}
    part = {"kind": "text", "text": TEXT} if is_legacy else {"text": TEXT}
    for number in range(EVENTS):
        artifact = {"artifactId": "a", "name": "train", "parts": [part]}
        piece = {**ids, "artifact": artifact, "append": number > 0, "lastChunk": number == EVENTS - 1}
        yield piece | {"kind": "artifact-update"} if is_legacy else {"artifactUpdate": piece}
    if is_legacy:
        status = {"state": "completed", "timestamp": STAMP}
        yield {**ids, "status": status, "kind": "status-update", "final": True}
    else:
        yield {"statusUpdate": {**ids, "status": {"state": "TASK_STATE_COMPLETED", "timestamp": STAMP}}}


def whole(kind: bytes, body: bytes) -> bytes:
    return HEAD + kind + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body


async def stream(writer: asyncio.StreamWriter, number: Any, message: dict[str, Any], *, is_legacy: bool) -> None:
    writer.write(HEAD + b"text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for event in events(message, is_legacy=is_legacy):
        data = b"data: " + json.dumps({"jsonrpc": "2.0", "id": number, "result": event}).encode() + b"\n\n"
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await writer.drain()
        # Each event is a write of its own, as those of a model are.
        await asyncio.sleep(0)
        if message["messageId"].startswith("hold"):
            await asyncio.Event().wait()
    writer.write(b"0\r\n\r\n")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    port = int(sys.argv[1])
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            is_legacy = b"/legacy" in head.partition(b"\r\n")[0]
            if head.startswith(b"GET"):
                writer.write(whole(b"application/json", json.dumps(card(port, is_legacy=is_legacy)).encode()))
                continue
            lines = head.lower().split(b"\r\n")
            length = next((int(x.partition(b":")[2]) for x in lines if x.startswith(b"content-length:")), 0)
            asked = json.loads(await reader.readexactly(length))
            message = asked["params"]["message"]
            if "tream" in asked["method"]:
                await stream(writer, asked["id"], message, is_legacy=is_legacy)
                continue
            done = task(message, "completed", is_legacy=is_legacy)
            result = done if is_legacy else {"task": done}
            body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()
            writer.write(whole(b"application/json", body))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=1000)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
