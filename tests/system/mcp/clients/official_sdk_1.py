"""The Python SDK 1.x as a client: makes the calls of its third argument, and prints what came of them.

Its arguments are an address, a key, and a JSON object of lists: by label, the name of a tool and its arguments.
"""

# mypy: ignore-errors
# Its SDK is not in the environment that is checked.

from __future__ import annotations

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

URL, KEY, CALLS = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])


async def main() -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with streamablehttp_client(URL, headers=headers) as (read, write, _), ClientSession(read, write) as session:
        begun = await session.initialize()
        listed = [tool.name for tool in (await session.list_tools()).tools]
        called = {label: (await session.call_tool(*call)).content[0].text for label, call in CALLS.items()}
    sys.stdout.write(json.dumps({"revision": begun.protocolVersion, "listed": listed, "called": called}))


asyncio.run(main())
