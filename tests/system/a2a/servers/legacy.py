"""An agent on the official SDK 0.3: ``python legacy.py PORT``, JSON-RPC at ``/`` and REST below ``/rest/v1``.

``--without`` takes abilities from it: streaming, push, extended.
"""

# mypy: ignore-errors
# Its SDK is not in the environment that is checked.

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib

import httpx
import uvicorn
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.apps import A2ARESTFastAPIApplication, A2AStarletteApplication
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import (
    BasePushNotificationSender,
    InMemoryPushNotificationConfigStore,
    InMemoryTaskStore,
    TaskUpdater,
)
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    DataPart,
    FilePart,
    FileWithBytes,
    FileWithUri,
    Part,
    TaskNotCancelableError,
    TaskState,
    TextPart,
)
from a2a.utils import new_task
from a2a.utils.errors import ServerError
from behaviours import DATA, FILE_URL, TICK_SECONDS, Held, Made, Moved, Said, Step, Waited, wanted
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

ABILITIES = {"streaming", "push", "extended"}
MODES = ["text/plain", "application/json", "application/octet-stream"]
ENDED = {TaskState.completed, TaskState.canceled, TaskState.failed, TaskState.rejected}


def part(step: Made) -> Part:
    """What a step makes."""
    if step.kind == "raw":
        data = base64.b64encode(b"tck").decode()
        return Part(root=FilePart(file=FileWithBytes(bytes=data, name="output.txt", mime_type="text/plain")))
    if step.kind == "url":
        return Part(root=FilePart(file=FileWithUri(uri=FILE_URL, name="output.txt", mime_type="text/plain")))
    return Part(root=DataPart(data=DATA) if step.kind == "data" else TextPart(text=step.text))


class Doing(AgentExecutor):
    """Does what the id of a message says."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.requests: list[dict[str, str]] = []
        """The headers of all messages."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Do it, step by step, as long as nobody cancels it."""
        self.requests.append(dict(context.call_context.state.get("headers", {})))
        steps = wanted(context.message.message_id)
        known = context.current_task
        updater = TaskUpdater(event_queue, context.task_id, known.context_id if known else context.context_id)
        if known is None and not isinstance(steps[0], Said):
            context.message.task_id, context.message.context_id = context.task_id, context.context_id
            await event_queue.enqueue_event(new_task(context.message))
        for step in steps:
            await self.do(step, updater, event_queue)

    async def do(self, step: Step, updater: TaskUpdater, queue: EventQueue) -> None:
        """Do one step."""
        if isinstance(step, Moved):
            text = [Part(root=TextPart(text=step.text))]
            is_end = TaskState(step.state) in ENDED | {TaskState.input_required, TaskState.auth_required}
            message = updater.new_agent_message(text) if step.text else None
            await updater.update_status(TaskState(step.state), message, final=is_end)
        elif isinstance(step, Made):
            await updater.add_artifact(
                [part(step)],
                artifact_id=f"{updater.task_id}-{step.name}",
                name=step.name,
                append=step.is_more,
                last_chunk=step.is_last,
            )
        elif isinstance(step, Said):
            await queue.enqueue_event(updater.new_agent_message([Part(root=TextPart(text=step.text))]))
        elif isinstance(step, Waited):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Held):
            released = self.released
            while not released.is_set():
                await updater.start_work()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(released.wait(), TICK_SECONDS)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Cancel a task that has not ended."""
        task = context.current_task
        if task.status.state in ENDED:
            raise ServerError(TaskNotCancelableError())
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.update_status(TaskState.canceled, final=True)


def card(port: int, abilities: set[str]) -> AgentCard:
    """The card."""
    url = f"http://127.0.0.1:{port}"
    return AgentCard(
        name="Legacy",
        description="Does as it is told",
        version="1.0.0",
        url=f"{url}/",
        preferred_transport="JSONRPC",
        additional_interfaces=[
            AgentInterface(url=f"{url}/", transport="JSONRPC"),
            AgentInterface(url=f"{url}/rest", transport="HTTP+JSON"),
        ],
        capabilities=AgentCapabilities(streaming="streaming" in abilities, push_notifications="push" in abilities),
        default_input_modes=MODES,
        default_output_modes=MODES,
        skills=[AgentSkill(id="obey", name="Obey", description="Does it", tags=["test"])],
        supports_authenticated_extended_card="extended" in abilities,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--without", nargs="*", default=[], choices=ABILITIES)
    given = parser.parse_args()
    abilities = ABILITIES - set(given.without)
    doing, shown = Doing(), card(given.port, abilities)
    extended = shown.model_copy(update={"description": "Does as it is told, and more"})
    configs = InMemoryPushNotificationConfigStore()
    sender = BasePushNotificationSender(httpx.AsyncClient(trust_env=False), configs)
    pushing = {"push_config_store": configs, "push_sender": sender} if "push" in abilities else {}
    handler = DefaultRequestHandler(agent_executor=doing, task_store=InMemoryTaskStore(), **pushing)
    more = extended if "extended" in abilities else None
    app = A2AStarletteApplication(agent_card=shown, http_handler=handler, extended_agent_card=more).build()
    rest = A2ARESTFastAPIApplication(agent_card=shown, http_handler=handler, extended_agent_card=more).build()

    async def release(_: Request) -> Response:
        doing.released.set()
        doing.released = asyncio.Event()
        return Response()

    async def heard(_: Request) -> Response:
        return JSONResponse(doing.requests)

    app.router.routes += [Route("/release", release, methods=["POST"]), Route("/heard", heard), Mount("/rest", rest)]
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
