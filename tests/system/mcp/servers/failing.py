"""A server over stdio that fails as its first argument says. Needs no SDK."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

WAY = sys.argv[1] if len(sys.argv) > 1 else ""
HUGE = 100_000_000


def answer(message: dict[str, Any]) -> dict[str, Any]:
    method = message["method"]
    told: dict[str, Any]
    if method == "initialize":
        info = {"name": "failing", "version": "1"}
        told = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    elif method == "tools/list":
        told = {
            "tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("pid", "die", "noise", "huge")]
        }
    elif method == "tools/call":
        told = {"content": [{"type": "text", "text": call(message["params"]["name"])}]}
    else:
        return {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "Method not found"}}
    return {"jsonrpc": "2.0", "id": message["id"], "result": told}


def call(name: str) -> str:
    if name == "die":
        os._exit(3)
    if name == "noise":
        sys.stdout.write('Loading model... 100 %\n{"half": \n\n[1, 2\n')
    if name == "huge":
        return "x" * HUGE
    return str(os.getpid())


if WAY == "crash":
    sys.exit("cannot start")
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        sys.stdout.write(json.dumps(answer(message)) + "\n")
        sys.stdout.flush()
