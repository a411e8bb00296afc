"""An agent on the official SDK (a2a-sdk 1.x) that knows when trains leave: python examples/a2a_agent.py [PORT]."""  # noqa: INP001  no package

from __future__ import annotations

import sys

import uvicorn
from a2a.helpers import new_task_from_user_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Part
from starlette.applications import Starlette

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 9999
TRAINS = {"bern": "The 8:15 to Bern leaves from track nine.", "chur": "The 9:02 to Chur leaves from track four."}


class Timetable(AgentExecutor):
    """Answers with the trains to all the places that a message names."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Look them up, one after the other."""
        assert context.message is not None
        task = context.current_task or new_task_from_user_message(context.message)
        if context.current_task is None:
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work()
        asked = context.get_user_input().lower()
        found = [train for place, train in TRAINS.items() if place in asked]
        for train in found:
            await updater.add_artifact([Part(text=train)], name="train")
        await updater.complete(None if found else updater.new_agent_message([Part(text="No train goes there.")]))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Stop looking."""
        assert context.task_id is not None
        assert context.context_id is not None
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


CARD = AgentCard(
    name="Timetable",
    description="When trains leave, and from which track",
    version="1.0.0",
    supported_interfaces=[
        AgentInterface(url=f"http://127.0.0.1:{PORT}/", protocol_binding="JSONRPC", protocol_version="1.0")
    ],
    capabilities=AgentCapabilities(streaming=True),
    default_input_modes=["text/plain"],
    default_output_modes=["text/plain"],
    skills=[AgentSkill(id="trains", name="Trains", description="Knows the next train", tags=["timetable"])],
)

if __name__ == "__main__":
    handler = DefaultRequestHandler(agent_executor=Timetable(), task_store=InMemoryTaskStore(), agent_card=CARD)
    routes = [*create_agent_card_routes(CARD), *create_jsonrpc_routes(handler, rpc_url="/")]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=PORT, log_level="warning")
