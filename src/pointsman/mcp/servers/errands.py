"""What is done for a server beside its calls, and does not hold them up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any, Final

from pointsman.errors import GatewayError, Overloaded
from pointsman.mcp.base import Transport
from pointsman.telemetry.tasks import Tasks
from pointsman.wire.jsonrpc import Message

POST_SECONDS: Final = 30.0
log = logging.getLogger(__name__)


class Errands:
    """Those for one server, which ``name`` tells the operator."""

    def __init__(self, transport: Transport, name: str, tasks: Tasks, first_number: int = 0) -> None:
        self._transport = transport
        self._name = name
        self._tasks = tasks
        self._number = first_number

    def number(self) -> int:
        """An id for the next request; each is another one."""
        self._number += 1
        return self._number

    async def post(self, message: Message, lines: Mapping[str, str]) -> None:
        """Send what has no answer."""
        deadline = asyncio.get_running_loop().time() + POST_SECONDS
        try:
            await self._transport.post(message, headers=lines, deadline=deadline)
        except GatewayError as error:
            # Nobody waits for this, and a server that cannot be reached will be found out by the next call.
            log.info("the MCP server %s could not be told: %s", self._name, error)

    def post_later(self, message: Message, lines: Mapping[str, str]) -> None:
        """The same, without waiting for it."""
        self.later(self.post(message, lines), "tell")

    def later(self, coroutine: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None] | None:
        """Do something without waiting for it; ``None``: there is too much to do already."""
        try:
            return self._tasks.start(coroutine, f"{what}: MCP server {self._name}")
        except Overloaded:
            log.warning("the MCP server %s: too much to do at a time", self._name)
            return None
