"""A client of the modern revision alone: tries everything that a server can ask or tell it, and prints what came of it.

Runs in the environment of the SDK 2.x, with the address of the endpoint, and a key or nothing, as its arguments.
"""

# mypy: ignore-errors
# Its SDK is not in the environment that is checked.

from __future__ import annotations

import asyncio
import json
import sys
from uuid import uuid4

import httpx2
from mcp import types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import PromptReference

URL, KEY = sys.argv[1], sys.argv[2]
URI = "bridge://counter"
SECONDS = 10.0


class Trial:
    """One client and what it has heard."""

    def __init__(self) -> None:
        self.logged: list[str] = []

    async def elicit(self, context, params) -> types.ElicitResult:
        name = {"First?": "Ada", "Second?": "Grace"}.get(params.message, "Ada")
        return types.ElicitResult(action="accept", content={"name": name})

    async def sample(self, context, params) -> types.CreateMessageResult:
        text = f"five, to {params.messages[0].content.text}"
        content = types.TextContent(type="text", text=text)
        return types.CreateMessageResult(role="assistant", model="house", content=content)

    async def roots(self, context) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root(uri="file:///depot")])

    async def log(self, params) -> None:
        self.logged.append(params.level)

    async def call(self, name: str, /, **arguments) -> str:
        found = await self.client.call_tool(name, arguments, read_timeout_seconds=SECONDS)
        return found.content[0].text

    async def elicitation(self):
        return await self.call("ask_name")

    async def elicitation_in_rounds(self):
        return await self.call("ask_twice")

    async def sampling(self):
        return await self.call("ask_model")

    async def roots_asked(self):
        return await self.call("ask_roots")

    async def roots_asked_apart(self):
        return await self.call("ask_roots_apart")

    async def progress(self):
        steps = []

        async def note(progress, total, message) -> None:
            steps.append([progress, total, message])

        found = await self.client.call_tool("count", progress_callback=note)
        return [found.content[0].text, *steps]

    async def logging(self):
        await self.call("speak")
        return self.logged

    async def subscription(self):
        before = await self.client.read_resource(URI, cache_mode="refresh")
        async with self.client.listen(resource_subscriptions=[URI]) as changes:
            await self.call("touch")
            async for change in changes:
                assert change.uri == URI
                break
        after = await self.client.read_resource(URI, cache_mode="refresh")
        return int(after.contents[0].text) - int(before.contents[0].text)

    async def list_changes(self):
        before = {tool.name for tool in (await self.client.list_tools()).tools}
        async with self.client.listen(tools_list_changed=True) as changes:
            await self.call("grow", name=f"growth_{uuid4().hex}")
            async for _ in changes:
                break
        after = {tool.name for tool in (await self.client.list_tools(cache_mode="refresh")).tools}
        return len(after - before)

    async def cancellation(self):
        before = int(await self.call("cancelled"))
        calling = asyncio.create_task(self.client.call_tool("wait"))
        await asyncio.sleep(0.5)
        calling.cancel()
        for _ in range(50):
            if int(await self.call("cancelled")) > before:
                return "cancelled"
            await asyncio.sleep(0.1)
        return "goes on"

    async def completion(self):
        found = await self.client.complete(PromptReference(name="greet"), {"name": "name", "value": "A"})
        return found.completion.values

    async def prompt(self):
        found = await self.client.get_prompt("greet", {"name": "Ada"})
        return found.messages[0].content.text


TRIALS = [
    "elicitation",
    "elicitation_in_rounds",
    "sampling",
    "roots_asked",
    "roots_asked_apart",
    "progress",
    "logging",
    "subscription",
    "list_changes",
    "cancellation",
    "completion",
    "prompt",
]


def failure(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


async def attempt(name: str):
    trial = Trial()
    headers = {"Authorization": f"Bearer {KEY}"} if KEY else None
    async with (
        httpx2.AsyncClient(headers=headers, timeout=SECONDS + 5) as http,
        Client(
            streamable_http_client(URL, http_client=http),
            mode="2026-07-28" if name != "introduction" else "auto",
            sampling_callback=trial.sample,
            elicitation_callback=trial.elicit,
            list_roots_callback=trial.roots,
            logging_callback=trial.log,
            log_level="warning",
        ) as client,
    ):
        trial.client = client
        if name == "introduction":
            assert client.protocol_version == "2026-07-28"
            return [client.server_info.name, client.instructions]
        return await getattr(trial, name)()


async def main() -> None:
    found = {}
    for name in sys.argv[3:] or ("introduction", *TRIALS):
        try:
            async with asyncio.timeout(SECONDS + 5):
                found[name] = await attempt(name)
        except Exception as error:  # noqa: BLE001  each is told
            found[name] = failure(error)
    sys.stdout.write(json.dumps(found))


asyncio.run(main())
