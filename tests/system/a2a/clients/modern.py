"""The Python SDK 1.x as a client: does all that a client can do with each agent it is told of, and prints what came.

Its arguments are a key and a JSON list of lists: a label, the address of an agent, a binding, where the agent really
is, and the address of a webhook.
"""

# mypy: ignore-errors
# What protobuf makes has no types.

from __future__ import annotations

import asyncio
import base64
import json
import sys
import traceback
import uuid
from typing import Any

import httpx
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.types import (
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    TaskState,
)
from google.protobuf.json_format import MessageToDict

SECONDS = 30.0
BINDINGS = {"jsonrpc": "JSONRPC", "rest": "HTTP+JSON"}


def asking(what: str, **more: Any) -> SendMessageRequest:
    message = Message(message_id=f"{what}-{uuid.uuid4()}", role=Role.ROLE_USER, parts=[Part(text="Do it")])
    return SendMessageRequest(message=message, configuration=SendMessageConfiguration(**more))


def state_of(value: int) -> str:
    return TaskState.Name(value).removeprefix("TASK_STATE_").lower().replace("_", "-")


def told(event: StreamResponse) -> str:
    """An event in a word."""
    kind = event.WhichOneof("payload")
    if kind == "task":
        return f"task {state_of(event.task.status.state)}"
    if kind == "status_update":
        return f"status {state_of(event.status_update.status.state)}"
    if kind == "artifact_update":
        return f"artifact {event.artifact_update.artifact.parts[0].text}"
    return f"message {event.message.parts[0].text}"


def shown(part: Part) -> list[Any]:
    kind = part.WhichOneof("content")
    if kind == "raw":
        return ["raw", base64.b64encode(part.raw).decode(), part.filename, part.media_type]
    if kind == "url":
        return ["url", part.url, part.filename, part.media_type]
    return ["data", MessageToDict(part.data)] if kind == "data" else ["text", part.text]


class Trip:
    """All there is to do with one agent."""

    def __init__(self, streaming: Client, plain: Client, agent: str, webhook: str) -> None:
        self.streaming, self.plain, self.agent, self.webhook = streaming, plain, agent, webhook

    async def all(self) -> dict[str, Any]:
        done = {}
        for name in ("sends", "streams", "cancels", "subscribes", "pushes", "lists", "extends", "misses"):
            try:
                done[name] = await asyncio.wait_for(getattr(self, name)(), SECONDS)
            except Exception as error:  # noqa: BLE001  whatever it is, the test is told
                traceback.print_exc()
                done[name] = f"{type(error).__name__}: {error}"
        return done

    async def send(self, what: str, **more: Any) -> StreamResponse:
        return [event async for event in self.plain.send_message(asking(what, **more))][-1]

    async def sends(self) -> Any:
        sent = (await self.send("tck-complete-task")).task
        message = (await self.send("tck-message-response")).message
        parts = (await self.send("parts")).task
        got = await self.plain.get_task(GetTaskRequest(id=sent.id))
        return {
            "task": [state_of(sent.status.state), sent.status.message.parts[0].text],
            "message": message.parts[0].text,
            "parts": [shown(artifact.parts[0]) for artifact in parts.artifacts],
            "got": [got.id == sent.id, state_of(got.status.state), len(got.history) > 0],
        }

    async def streams(self) -> Any:
        events = [told(event) async for event in self.streaming.send_message(asking("tck-stream-artifact-chunked"))]
        pieces = [told(event) async for event in self.streaming.send_message(asking("pieces"))]
        said = [told(event) async for event in self.streaming.send_message(asking("tck-message-response"))]
        return {"events": events, "pieces": len([one for one in pieces if one.startswith("artifact")]), "said": said}

    async def cancels(self) -> Any:
        begun = (await self.send("hold", return_immediately=True)).task
        ended = await self.plain.cancel_task(CancelTaskRequest(id=begun.id))
        return [state_of(ended.status.state), ended.id == begun.id]

    async def subscribes(self) -> Any:
        begun = (await self.send("hold", return_immediately=True)).task
        events = []
        async for event in self.streaming.subscribe(SubscribeToTaskRequest(id=begun.id)):
            events.append(told(event))
            if len(events) == 1:
                async with httpx.AsyncClient(trust_env=False) as http:
                    await http.post(f"{self.agent}/release")
        return [events[0].partition(" ")[0], *events[-2:]]

    async def pushes(self) -> Any:
        task = (await self.send("tck-input-required")).task.id
        config = TaskPushNotificationConfig(task_id=task, id="mine", url=self.webhook, token="t0")
        made = await self.plain.create_task_push_notification_config(config)
        asked = GetTaskPushNotificationConfigRequest(task_id=task, id="mine")
        got = await self.plain.get_task_push_notification_config(asked)
        listing = ListTaskPushNotificationConfigsRequest(task_id=task)
        before = (await self.plain.list_task_push_notification_configs(listing)).configs
        dropping = DeleteTaskPushNotificationConfigRequest(task_id=task, id="mine")
        await self.plain.delete_task_push_notification_config(dropping)
        after = (await self.plain.list_task_push_notification_configs(listing)).configs
        urls = [one.url == self.webhook for one in (made, got, *before)]
        return {"is_ours": urls, "before": len(before), "after": len(after)}

    async def lists(self) -> Any:
        sent = (await self.send("tck-complete-task")).task
        found = await self.plain.list_tasks(ListTasksRequest(context_id=sent.context_id))
        return [state_of(task.status.state) for task in found.tasks if task.id == sent.id]

    async def extends(self) -> Any:
        return (await self.plain.get_extended_agent_card(GetExtendedAgentCardRequest())).description

    async def misses(self) -> Any:
        try:
            await self.plain.get_task(GetTaskRequest(id=str(uuid.uuid4())))
        except Exception as error:  # noqa: BLE001  its name is what is asked for
            return type(error).__name__


async def main() -> None:
    key, cells = sys.argv[1], json.loads(sys.argv[2])
    done = {}
    for label, url, binding, agent, webhook in cells:
        async with httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"}, timeout=SECONDS, trust_env=False
        ) as http:
            made = [
                await ClientFactory(
                    ClientConfig(
                        httpx_client=http,
                        streaming=is_streaming,
                        supported_protocol_bindings=[BINDINGS[binding]],
                    )
                ).create_from_url(url)
                for is_streaming in (True, False)
            ]
            done[label] = await Trip(made[0], made[1], agent, webhook).all()
    sys.stdout.write(json.dumps(done))


asyncio.run(main())
