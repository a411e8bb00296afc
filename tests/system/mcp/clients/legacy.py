"""A client of the legacy revisions: tries everything that a server can ask or tell it, and prints what came of it.

Runs in the environment of the SDK 1.x, with the address of the endpoint, and a key or nothing, as its arguments.
"""

# mypy: ignore-errors
# Its SDK is not in the environment that is checked.

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from uuid import uuid4

from mcp import ClientSession, types
from mcp.client.streamable_http import streamablehttp_client
from pydantic import AnyUrl

URL, KEY = sys.argv[1], sys.argv[2]
URI = AnyUrl("bridge://counter")
SECONDS = 10.0


class Trial:
    """One session and what it has heard."""

    def __init__(self) -> None:
        self.logged: list[str] = []
        self.heard: list[str] = []
        self.has_heard = asyncio.Event()
        self.names = iter(())

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

    async def hear(self, message) -> None:
        if isinstance(message, types.ServerNotification):
            self.heard.append(message.root.method)
            self.has_heard.set()

    async def call(self, name: str, /, **arguments) -> str:
        found = await self.session.call_tool(name, arguments, read_timeout_seconds=timedelta(seconds=SECONDS))
        return found.content[0].text

    async def until(self, method: str) -> None:
        while method not in self.heard:
            self.has_heard.clear()
            await self.has_heard.wait()
        self.heard.clear()

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

        found = await self.session.call_tool("count", progress_callback=note)
        return [found.content[0].text, *steps]

    async def logging(self):
        await self.session.set_logging_level("warning")
        await self.call("speak")
        return self.logged

    async def subscription(self):
        before = await self.session.read_resource(URI)
        await self.session.subscribe_resource(URI)
        await self.call("touch")
        await self.until("notifications/resources/updated")
        after = await self.session.read_resource(URI)
        await self.session.unsubscribe_resource(URI)
        return int(after.contents[0].text) - int(before.contents[0].text)

    async def list_changes(self):
        before = {tool.name for tool in (await self.session.list_tools()).tools}
        await self.call("grow", name=f"growth_{uuid4().hex}")
        await self.until("notifications/tools/list_changed")
        after = {tool.name for tool in (await self.session.list_tools()).tools}
        return len(after - before)

    async def cancellation(self):
        before = int(await self.call("cancelled"))
        started = self.session._request_id
        calling = asyncio.create_task(self.session.call_tool("wait"))
        await asyncio.sleep(0.5)
        note = types.CancelledNotification(params=types.CancelledNotificationParams(requestId=started))
        await self.session.send_notification(types.ClientNotification(note))
        calling.cancel()
        for _ in range(50):
            if int(await self.call("cancelled")) > before:
                return "cancelled"
            await asyncio.sleep(0.1)
        return "goes on"

    async def completion(self):
        ref = types.PromptReference(type="ref/prompt", name="greet")
        found = await self.session.complete(ref, {"name": "name", "value": "A"})
        return found.completion.values

    async def prompt(self):
        found = await self.session.get_prompt("greet", {"name": "Ada"})
        return found.messages[0].content.text

    async def ping(self):
        await self.session.send_ping()
        return "pong"


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
    "ping",
]


def failure(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


async def attempt(name: str):
    trial = Trial()
    headers = {"Authorization": f"Bearer {KEY}"} if KEY else None
    async with (
        streamablehttp_client(URL, headers=headers) as (read, write, _),
        ClientSession(
            read,
            write,
            sampling_callback=trial.sample,
            elicitation_callback=trial.elicit,
            list_roots_callback=trial.roots,
            logging_callback=trial.log,
            message_handler=trial.hear,
        ) as session,
    ):
        trial.session = session
        found = await session.initialize()
        if name == "introduction":
            return [found.serverInfo.name, found.instructions]
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
