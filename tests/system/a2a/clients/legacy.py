"""The Python SDK 0.3 as a client: does all that a client can do with each agent it is told of, and prints what came.

Its arguments are a key and a JSON list of lists: a label, the address of an agent, a binding, where the agent really
is, and the address of a webhook.
"""

# mypy: ignore-errors
# Its SDK is not in the environment that is checked.

from __future__ import annotations

import asyncio
import json
import sys
import traceback
import uuid

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import (
    GetTaskPushNotificationConfigParams,
    Message,
    MessageSendConfiguration,
    MessageSendParams,
    Part,
    PushNotificationConfig,
    Role,
    TaskIdParams,
    TaskPushNotificationConfig,
    TaskQueryParams,
    TextPart,
)

SECONDS = 30.0
BINDINGS = {"jsonrpc": "JSONRPC", "rest": "HTTP+JSON"}


def asking(what, **more):
    text = Part(root=TextPart(text="Do it"))
    message = Message(message_id=f"{what}-{uuid.uuid4()}", role=Role.user, parts=[text])
    return MessageSendParams(message=message, configuration=MessageSendConfiguration(**more))


def told(event):
    """An event in a word."""
    if event.kind == "task":
        return f"task {event.status.state.value}"
    if event.kind == "status-update":
        return f"status {event.status.state.value}"
    if event.kind == "artifact-update":
        return f"artifact {event.artifact.parts[0].root.text}"
    return f"message {event.parts[0].root.text}"


def shown(part):
    part = part.root
    if part.kind == "file":
        file = part.file
        content = ["raw", file.bytes] if hasattr(file, "bytes") else ["url", file.uri]
        return [*content, file.name, file.mime_type]
    return ["data", part.data] if part.kind == "data" else ["text", part.text]


class Trip:
    """All there is to do with one agent."""

    def __init__(self, transport, agent, webhook):
        self.transport, self.agent, self.webhook = transport, agent, webhook

    async def all(self):
        done = {}
        for name in ("sends", "streams", "cancels", "subscribes", "pushes", "extends", "misses"):
            try:
                done[name] = await asyncio.wait_for(getattr(self, name)(), SECONDS)
            except Exception as error:  # noqa: BLE001  whatever it is, the test is told
                traceback.print_exc()
                done[name] = f"{type(error).__name__}: {error}"
        return done

    async def send(self, what, **more):
        return await self.transport.send_message(asking(what, **more))

    def stream(self, what):
        return self.transport.send_message_streaming(asking(what))

    async def sends(self):
        sent = await self.send("tck-complete-task", blocking=True)
        message = await self.send("tck-message-response", blocking=True)
        parts = await self.send("parts", blocking=True)
        got = await self.transport.get_task(TaskQueryParams(id=sent.id))
        return {
            "task": [sent.status.state.value, sent.status.message.parts[0].root.text],
            "message": message.parts[0].root.text,
            "parts": [shown(artifact.parts[0]) for artifact in parts.artifacts],
            "got": [got.id == sent.id, got.status.state.value, len(got.history) > 0],
        }

    async def streams(self):
        events = [told(event) async for event in self.stream("tck-stream-artifact-chunked")]
        pieces = [told(event) async for event in self.stream("pieces")]
        said = [told(event) async for event in self.stream("tck-message-response")]
        return {"events": events, "pieces": len([one for one in pieces if one.startswith("artifact")]), "said": said}

    async def cancels(self):
        begun = await self.send("hold", blocking=False)
        ended = await self.transport.cancel_task(TaskIdParams(id=begun.id))
        return [ended.status.state.value, ended.id == begun.id]

    async def subscribes(self):
        begun = await self.send("hold", blocking=False)
        events = []
        async for event in self.transport.resubscribe(TaskIdParams(id=begun.id)):
            events.append(told(event))
            if len(events) == 1:
                async with httpx.AsyncClient(trust_env=False) as http:
                    await http.post(f"{self.agent}/release")
        return [events[0].partition(" ")[0], *events[-2:]]

    async def pushes(self):
        task = (await self.send("tck-input-required", blocking=True)).id
        config = PushNotificationConfig(id="mine", url=self.webhook, token="t0")
        made = await self.transport.set_task_callback(
            TaskPushNotificationConfig(task_id=task, push_notification_config=config)
        )
        asked = GetTaskPushNotificationConfigParams(id=task, push_notification_config_id="mine")
        got = await self.transport.get_task_callback(asked)
        return {"is_ours": [one.push_notification_config.url == self.webhook for one in (made, got)]}

    async def extends(self):
        return (await self.transport.get_card()).description

    async def misses(self):
        try:
            await self.transport.get_task(TaskQueryParams(id=str(uuid.uuid4())))
        except Exception as error:  # noqa: BLE001  what it is is what is asked for
            return f"{type(error).__name__} {'-32001' in str(error) or '404' in str(error)}"


async def main():
    key, cells = sys.argv[1], json.loads(sys.argv[2])
    done = {}
    for label, url, binding, agent, webhook in cells:
        async with httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"}, timeout=SECONDS, trust_env=False
        ) as http:
            card = await A2ACardResolver(http, url).get_agent_card()
            config = ClientConfig(httpx_client=http, supported_transports=[BINDINGS[binding]])
            client = ClientFactory(config).create(card)
            # The client above it hides which events came.
            done[label] = await Trip(client._transport, agent, webhook).all()
    sys.stdout.write(json.dumps(done))


asyncio.run(main())
