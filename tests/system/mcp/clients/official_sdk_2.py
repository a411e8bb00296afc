"""The Python SDK 2.x as a client: makes the calls of its third argument, and prints what came of them.

Its arguments are an address, a key, and a JSON object of lists: by label, the name of a tool and its arguments.
"""

# mypy: ignore-errors
# Its SDK is not in the environment that is checked.

from __future__ import annotations

import asyncio
import json
import sys

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

URL, KEY, CALLS = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
SECONDS = 60.0


async def main() -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=SECONDS) as http,
        Client(streamable_http_client(URL, http_client=http)) as client,
    ):
        listed = [tool.name for tool in (await client.list_tools()).tools]
        called = {label: (await client.call_tool(*call)).content[0].text for label, call in CALLS.items()}
        revision = client.protocol_version
    sys.stdout.write(json.dumps({"revision": revision, "listed": listed, "called": called}))


asyncio.run(main())
