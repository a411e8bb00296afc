"""FastMCP as a client: makes the calls of its third argument, and prints what came of them.

Its arguments are an address, a key, and a JSON object of lists: by label, the name of a tool and its arguments.
"""

# mypy: ignore-errors
# It is not in the environment that is checked.

from __future__ import annotations

import asyncio
import json
import sys

from fastmcp import Client

URL, KEY, CALLS = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])


async def main() -> None:
    async with Client(URL, auth=KEY) as client:
        listed = [tool.name for tool in await client.list_tools()]
        called = {label: (await client.call_tool(*call)).content[0].text for label, call in CALLS.items()}
    sys.stdout.write(json.dumps({"revision": None, "listed": listed, "called": called}))


asyncio.run(main())
