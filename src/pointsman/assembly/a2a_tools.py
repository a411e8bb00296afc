"""Agents as tools of an MCP server in this process, which shows each caller the agents that he may ask.

It is a server like any other for the MCP gateway: who may use it at all, is said of the server ``agents`` there. Which
agents he may ask, and whose tasks there are, is for the gateway of agents to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol
from uuid import uuid4

import msgspec
from msgspec import Raw

from pointsman.a2a.base import Call, Cards, Gateway
from pointsman.a2a.permissions import may_ask, missing
from pointsman.a2a.protocol.answers import File, Piece, Reading, Text
from pointsman.a2a.protocol.operations import Operation
from pointsman.a2a.registry import Registry
from pointsman.a2a.searching import Entry, Wanted, find
from pointsman.a2a.settings import AgentSettings
from pointsman.a2a.talking import answered
from pointsman.access.caller import Caller
from pointsman.access.policy import may_speak
from pointsman.errors import GatewayError, InvalidRequest, Unseen
from pointsman.mcp.base import Asking, Interest, Introduction, Sink, Watch
from pointsman.mcp.introducing import INFO
from pointsman.mcp.protocol.revisions import MODERN
from pointsman.mcp.settings import McpSettings, ServerSettings
from pointsman.wire.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError, raw

ID: Final = "agents"
PREFIX: Final = "a2a_"
FIND: Final = "find_agents"
MOST_FOUND: Final = 20
TTL_MS: Final = 5_000
"""How long a list holds: what a caller may ask, and what there is, can change at any time."""
SPARE_SECONDS: Final = 0.5
"""Before the end of the time of a call, so that it can be told how far the agent is."""
MAX_ABOUT: Final = 2_000
"""Characters that are told of an agent."""
SETTINGS: Final = ServerSettings(
    id=ID,
    name=ID,
    description="Agents of this gateway, as tools",
    source="gateway",
    isolation="shared",
    timeout=600.0,
)
CAPABILITIES: Final[dict[str, Any]] = {"tools": {}}
INTRODUCTION: Final = Introduction(
    era="modern",
    revision=MODERN[0],
    capabilities=CAPABILITIES,
    info=INFO,
    raw=raw({"supportedVersions": list(MODERN), "capabilities": CAPABILITIES, "serverInfo": INFO}),
)
TEXT: Final = {"type": "string"}
INPUT: Final = {
    "type": "object",
    "properties": {
        "message": {**TEXT, "description": "What the agent is to do, or is to be told."},
        "context_id": {**TEXT, "description": "To go on with a conversation: the one that an earlier answer has told."},
        "task_id": {**TEXT, "description": "To tell a task that waits for input more: that of the answer that asked."},
    },
    "required": ["message"],
}
OUTPUT: Final = {
    "type": "object",
    "properties": {"text": TEXT, "state": TEXT, "task_id": TEXT, "context_id": TEXT},
    "required": ["text"],
}
FINDING: Final = {
    "name": FIND,
    "description": "Finds agents that can do something. Each of them is a tool.",
    "inputSchema": {
        "type": "object",
        "properties": {"query": {**TEXT, "description": "What is to be done, in some words."}},
        "required": ["query"],
    },
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}


class Agents(Protocol):
    """The A2A gateway of this process."""

    async def gateway(self) -> Gateway: ...
    async def registry(self) -> Registry: ...
    async def cards(self) -> Cards: ...


class _Message(msgspec.Struct):
    message: str
    context_id: str | None = None
    task_id: str | None = None


class _Query(msgspec.Struct):
    query: str


class _Asked(msgspec.Struct):
    name: str = ""
    arguments: Raw = Raw(b"{}")


def with_agents(settings: McpSettings | None) -> McpSettings:
    """The same with this server, unless the operator has one of that name."""
    settings = settings or McpSettings()
    if any(one.id == ID for one in settings.servers):
        return settings
    return msgspec.structs.replace(settings, servers=(*settings.servers, SETTINGS))


class AgentTools:
    """See :class:`~pointsman.mcp.base.Server`."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    @property
    def introduction(self) -> Introduction | None:
        """See :class:`~pointsman.mcp.base.Server`."""
        return INTRODUCTION

    async def introduce(self) -> Introduction:
        """See :class:`~pointsman.mcp.base.Server`."""
        return INTRODUCTION

    async def call(self, method: str, params: Raw, asking: Asking, deadline: float) -> Raw:
        """See :class:`~pointsman.mcp.base.Server`."""
        caller = asking.client.caller
        if method == "tools/list":
            tools = [FINDING, *[await self._tool(one) for one in await self._visible(caller)]]
            return raw({"tools": tools, "ttlMs": TTL_MS, "cacheScope": "private"})
        if method != "tools/call":
            raise RpcError(METHOD_NOT_FOUND, f"The server {ID} has no {method[:100]}")
        try:
            asked = msgspec.json.decode(params, type=_Asked)
            if asked.name == FIND:
                return raw(await self._find(caller, msgspec.json.decode(asked.arguments, type=_Query).query))
            message = msgspec.json.decode(asked.arguments, type=_Message)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise RpcError(INVALID_PARAMS, f"Invalid arguments: {error}"[:500]) from error
        return raw(await self._ask(asked.name, message, asking, deadline - SPARE_SECONDS))

    async def notify(self, method: str, params: Raw) -> None:
        """There is nothing that it has to know."""

    def watch(self, interest: Interest, sink: Sink) -> Watch:  # noqa: ARG002  as the docstring says
        """Nothing is told: its lists hold for a moment only."""
        return _Watch()

    async def close(self) -> None:
        """Nothing is open."""

    async def _visible(self, caller: Caller) -> list[AgentSettings]:
        if not may_speak(caller):
            return []
        agents = (await self._agents.registry()).entries.values()
        return [one for one in agents if may_ask(caller, one, Operation.SEND) is None]

    async def _tool(self, agent: AgentSettings) -> dict[str, Any]:
        return {
            "name": PREFIX + agent.id,
            "title": agent.name,
            "description": "\n".join(_about(agent, await self._card(agent)))[:MAX_ABOUT],
            "inputSchema": INPUT,
            "outputSchema": OUTPUT,
            "annotations": {"openWorldHint": True},
        }

    async def _card(self, agent: AgentSettings) -> Mapping[str, Any]:
        known = (await self._agents.cards()).peek(agent.id)
        return {} if known is None else known.card

    async def _find(self, caller: Caller, query: str) -> dict[str, Any]:
        visible = {one.id: one for one in await self._visible(caller)}
        entries = [
            Entry(
                id=one.id,
                name=one.name,
                description=one.description,
                capabilities=one.capabilities,
                card=await self._card(one),
            )
            for one in visible.values()
        ]
        try:
            page = find(entries, Wanted(q=query[:MAX_ABOUT], limit=MOST_FOUND))
        except InvalidRequest as error:
            raise RpcError(INVALID_PARAMS, error.message) from error
        found = [
            {"tool": PREFIX + one, "agent_id": one, "name": visible[one].name, "description": visible[one].description}
            for one in page.ids
        ]
        return _result(msgspec.json.encode(found).decode(), {"agents": found})

    async def _ask(self, name: str, said: _Message, asking: Asking, deadline: float) -> dict[str, Any]:
        agent, client = name.removeprefix(PREFIX), asking.client
        ids = {"contextId": said.context_id, "taskId": said.task_id}
        message = {"messageId": uuid4().hex, "role": "ROLE_USER"}
        message |= {key: value for key, value in ids.items() if value}
        params = msgspec.json.encode({"message": {**message, "parts": [{"text": said.message}]}})
        call = Call(
            caller=client.caller,
            agent=agent,
            operation=Operation.SEND,
            version="1.0",
            params=params,
            headers=client.headers,
            request_id=client.request_id,
            has_slot=True,
        )
        try:
            if not name.startswith(PREFIX) or not may_speak(client.caller):
                raise missing(name)
            reading, pieces = await answered(await self._agents.gateway(), call, deadline)
        except Unseen as error:
            raise RpcError(INVALID_PARAMS, f"Unknown tool: {name[:100]}") from error
        except TimeoutError:
            return _result("The agent did not answer in time", is_error=True)
        except (RpcError, GatewayError) as error:
            return _result(error.message, is_error=True)
        return _answer(reading, pieces)


class _Watch:
    async def ready(self) -> None:
        """Nothing is missed."""

    def close(self) -> None:
        """Nothing is told."""


def _about(agent: AgentSettings, card: Mapping[str, Any]) -> Iterator[str]:
    told = card.get("description")
    yield agent.description or (told if isinstance(told, str) else "") or f"Asks the agent {agent.name}"
    skills = card.get("skills")
    for skill in skills if isinstance(skills, list) else ():
        texts = [skill.get(key) for key in ("name", "description")] if isinstance(skill, dict) else []
        if line := ": ".join(text for text in texts if isinstance(text, str)):
            yield f"- {line}"


def _answer(reading: Reading, pieces: list[Piece]) -> dict[str, Any]:
    text = reading.complaint if reading.has_failed else "".join(_texts(pieces))
    if reading.goes_on:
        text = "The agent goes on with the task"
    ids = {"state": reading.state, "task_id": reading.task, "context_id": reading.context}
    told = {"text": text or "(nothing)", **{key: value for key, value in ids.items() if value}}
    return _result(told["text"], told, is_error=reading.has_failed)


def _texts(pieces: list[Piece]) -> Iterator[str]:
    for piece in pieces:
        if isinstance(piece, Text):
            yield piece.text
        elif isinstance(piece, File):
            yield (
                f"\n[{piece.name or piece.media_type or 'file'}]({piece.url})\n" if piece.url else f"\n[{piece.name}]\n"
            )


def _result(text: str, structured: Mapping[str, Any] | None = None, *, is_error: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": is_error}
    return found if structured is None else found | {"structuredContent": structured}
