"""An agent on the official SDK 1.x: ``python modern.py PORT``, JSON-RPC at ``/`` and REST below ``/rest``.

With ``--compat`` it speaks version 0.3 too; ``--without`` takes abilities from it: streaming, push, extended.
"""

# mypy: ignore-errors
# What protobuf makes has no types.

from __future__ import annotations

import argparse
import asyncio
import contextlib
from typing import Any

import httpx
import uvicorn
from a2a.helpers import new_task_from_user_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import (
    BasePushNotificationSender,
    InMemoryPushNotificationConfigStore,
    InMemoryTaskStore,
    TaskUpdater,
)
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Part, TaskState
from behaviours import DATA, FILE_URL, TICK_SECONDS, Held, Made, Moved, Said, State, Step, Waited, wanted
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

STATES: dict[State, TaskState] = {
    "submitted": TaskState.TASK_STATE_SUBMITTED,
    "working": TaskState.TASK_STATE_WORKING,
    "input-required": TaskState.TASK_STATE_INPUT_REQUIRED,
    "auth-required": TaskState.TASK_STATE_AUTH_REQUIRED,
    "completed": TaskState.TASK_STATE_COMPLETED,
    "failed": TaskState.TASK_STATE_FAILED,
}
ABILITIES = {"streaming", "push", "extended"}
MODES = ["text/plain", "application/json", "application/octet-stream"]


def part(step: Made) -> Part:
    """What a step makes."""
    if step.kind == "raw":
        return Part(raw=b"tck", filename="output.txt", media_type="text/plain")
    if step.kind == "url":
        return Part(url=FILE_URL, filename="output.txt", media_type="text/plain")
    return Part(data=ParseDict(DATA, Value())) if step.kind == "data" else Part(text=step.text)


class Doing(AgentExecutor):
    """Does what the id of a message says."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.requests: list[dict[str, str]] = []
        """The headers of all messages."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Do it, step by step."""
        assert context.message is not None
        assert context.task_id is not None
        assert context.context_id is not None
        self.requests.append(dict(context.call_context.state.get("headers", {})))
        steps = wanted(context.message.message_id)
        known = context.current_task
        updater = TaskUpdater(event_queue, context.task_id, known.context_id if known else context.context_id)
        if known is None and not isinstance(steps[0], Said):
            context.message.task_id, context.message.context_id = context.task_id, context.context_id
            await event_queue.enqueue_event(new_task_from_user_message(context.message))
        for step in steps:
            await self.do(step, updater, event_queue)

    async def do(self, step: Step, updater: TaskUpdater, queue: EventQueue) -> None:
        """Do one step."""
        if isinstance(step, Moved):
            message = updater.new_agent_message([Part(text=step.text)]) if step.text else None
            await updater.update_status(STATES[step.state], message)
        elif isinstance(step, Made):
            await updater.add_artifact(
                [part(step)],
                artifact_id=f"{updater.task_id}-{step.name}",
                name=step.name,
                append=step.is_more,
                last_chunk=step.is_last,
            )
        elif isinstance(step, Said):
            await queue.enqueue_event(updater.new_agent_message([Part(text=step.text)]))
        elif isinstance(step, Waited):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Held):
            released = self.released
            while not released.is_set():
                await updater.start_work()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(released.wait(), TICK_SECONDS)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Cancel a task."""
        assert context.task_id is not None
        assert context.context_id is not None
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def card(port: int, abilities: set[str], *, has_compat: bool) -> AgentCard:
    """The card."""
    versions = ["1.0", "0.3"] if has_compat else ["1.0"]
    places = (("JSONRPC", ""), ("HTTP+JSON", "/rest"))
    interfaces = [
        AgentInterface(url=f"http://127.0.0.1:{port}{path}", protocol_binding=binding, protocol_version=version)
        for version in versions
        for binding, path in places
    ]
    return AgentCard(
        name="Modern",
        description="Does as it is told",
        version="1.0.0",
        supported_interfaces=interfaces,
        capabilities=AgentCapabilities(
            streaming="streaming" in abilities,
            push_notifications="push" in abilities,
            extended_agent_card="extended" in abilities,
        ),
        default_input_modes=MODES,
        default_output_modes=MODES,
        skills=[AgentSkill(id="obey", name="Obey", description="Does it", tags=["test"])],
    )


def app(port: int, abilities: set[str], *, has_compat: bool) -> Starlette:
    """All that is served."""
    doing, shown = Doing(), card(port, abilities, has_compat=has_compat)
    extended = AgentCard()
    extended.CopyFrom(shown)
    extended.description = "Does as it is told, and more"
    configs = InMemoryPushNotificationConfigStore()
    sender = BasePushNotificationSender(httpx.AsyncClient(trust_env=False), configs)
    handler = DefaultRequestHandler(
        agent_executor=doing,
        task_store=InMemoryTaskStore(),
        agent_card=shown,
        push_config_store=configs,
        push_sender=sender,
        extended_agent_card=extended if "extended" in abilities else None,
    )

    async def release(_: Request) -> Response:
        doing.released.set()
        doing.released = asyncio.Event()
        return Response()

    async def heard(_: Request) -> Response:
        return JSONResponse(doing.requests)

    rest: list[Any] = create_rest_routes(handler, enable_v0_3_compat=has_compat, path_prefix="/rest")
    return Starlette(
        routes=[
            Route("/release", release, methods=["POST"]),
            Route("/heard", heard),
            *create_agent_card_routes(shown, cache_control="max-age=60"),
            *create_jsonrpc_routes(handler, rpc_url="/", enable_v0_3_compat=has_compat),
            *rest,
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--compat", action="store_true")
    parser.add_argument("--without", nargs="*", default=[], choices=ABILITIES)
    given = parser.parse_args()
    application = app(given.port, ABILITIES - set(given.without), has_compat=given.compat)
    uvicorn.run(application, host="127.0.0.1", port=given.port, log_level="warning", timeout_graceful_shutdown=1)
