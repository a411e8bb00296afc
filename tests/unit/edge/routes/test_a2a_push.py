from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from pointsman.a2a.push.deliveries import Dead
from pointsman.errors import ResourceNotFound

MASTER_KEY = "sk-master-canary"
DEAD = Dead(at=1.0, agent="a", task="t", host="hook.example", attempts=6, reason="it answered with status 500")


class Push:
    """Knows one token."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bytes]] = []
        self.deliveries = SimpleNamespace(dead=deque([DEAD]))

    async def behind(self, token: str) -> str:
        if token != "v1.known":
            raise ResourceNotFound("Nobody wants to be told that here")
        return "hook"

    async def receive(self, hook: str, body: bytes) -> None:
        self.told.append((hook, body))


class A2a:
    """A gateway that only calls webhooks."""

    allowed_hosts = frozenset[str]()
    public_url = ""

    def __init__(self) -> None:
        self.made = Push()

    async def push(self) -> Push:
        return self.made


class World:
    def __init__(self, desk: Any, make_exchange: Any, wire: Any) -> None:
        self.a2a = A2a()
        self._gateway = desk.gateway
        self._gateway.serving = replace(self._gateway.serving, a2a=self.a2a)
        self._make_exchange = make_exchange
        self._wire = wire

    async def ask(self, method: str, path: str, *, key: str | None = None, body: bytes = b"") -> tuple[int, Any]:
        self._wire.sent = b""
        headers = {b"host": b"gate.example"}
        if key is not None:
            headers[b"authorization"] = b"Bearer " + key.encode()
        exchange = self._make_exchange(method, path, headers=headers, body=body)
        await self._gateway.handle(exchange)
        return self._wire.status, msgspec.json.decode(self._wire.sent.partition(b"\r\n\r\n")[2] or b"null")


@pytest.fixture
async def world(make_desk: Callable[..., Any], make_exchange: Any, wire: Any) -> World:
    return World(make_desk(), make_exchange, wire)


@pytest.mark.requirement("a2a.push-relay")
async def test_an_agent_needs_no_key_to_tell_something(world: World) -> None:
    assert await world.ask("POST", "/a2a/push/v1.known", body=b'{"task":{}}') == (200, {})
    assert world.a2a.made.told == [("hook", b'{"task":{}}')]


async def test_what_was_not_made_here_is_not_there(world: World) -> None:
    status, body = await world.ask("POST", "/a2a/push/other", body=b"{}")
    assert (status, body) == (404, {"detail": "Nobody wants to be told that here"})
    assert not world.a2a.made.told


async def test_dead_letters_are_for_administrators(world: World) -> None:
    status, body = await world.ask("GET", "/a2a/push", key=MASTER_KEY)
    assert (status, body) == (200, {"dead": [msgspec.to_builtins(DEAD)]})
    assert (await world.ask("GET", "/a2a/push"))[0] == 401
