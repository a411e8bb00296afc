from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from pointsman.a2a.fronts.streams import Request
from pointsman.edge.context import Serving
from pointsman.edge.gateway import Gateway
from pointsman.edge.routes import a2a as routes
from pointsman.edge.settings import EdgeSettings
from pointsman.edge.table import Routes
from pointsman.errors import BodyTooLarge, ResourceNotFound

Make = Callable[..., Any]
JSON = b"content-type: application/json\r\n"
KEY = {b"authorization": b"Bearer sk-1"}


class FakeA2a:
    """Keeps what comes, and answers to all of it the same; one agent needs no key."""

    def __init__(self, *, hosts: frozenset[str] = frozenset()) -> None:
        self.allowed_hosts = hosts
        self.public_url = ""
        self.seen: list[tuple[str, Request]] = []
        self.is_drained = False

    async def is_public(self, agent_id: str) -> bool:
        return agent_id == "open"

    def drain(self) -> None:
        self.is_drained = True

    async def fronts(self) -> Any:
        return self

    def __getattr__(self, name: str) -> Callable[[Request], Awaitable[None]]:
        async def take(request: Request) -> None:
            self.seen.append((name, request))
            request.reply.reply(200, JSON + request.lines, b"{}")

        return take


def gateway_of(serving: Serving, a2a: FakeA2a | None) -> Gateway:
    unused: Any = None
    return Gateway(replace(serving, a2a=a2a), Routes(), EdgeSettings(), unused, unused)  # type: ignore[arg-type]


@pytest.mark.requirement("a2a.jsonrpc")
@pytest.mark.parametrize(
    ("method", "path", "name", "rest"),
    [
        ("POST", "/a2a/agents/x", "post", ""),
        ("POST", "/a2a/agents/x/", "post", ""),
        ("POST", "/a2a/x", "post", ""),
        ("POST", "/a2a/x/", "post", ""),
        ("POST", "/a2a/x/message/send", "post", ""),
        ("POST", "/a2a/x/message/stream", "post", ""),
        ("POST", "/v1/a2a/x/message/send", "post", ""),
        ("POST", "/a2a/agents/x/message:send", "rest", "message:send"),
        ("POST", "/a2a/agents/x/v1/message:stream", "rest", "v1/message:stream"),
        ("GET", "/a2a/agents/x/tasks/a%20b", "rest", "tasks/a%20b"),
        ("GET", "/a2a/x/tasks", "rest", "tasks"),
        ("DELETE", "/a2a/x/v1/tasks/t/pushNotificationConfigs/p", "rest", "v1/tasks/t/pushNotificationConfigs/p"),
        ("POST", "/a2a/x/tasks/t:cancel", "rest", "tasks/t:cancel"),
        ("GET", "/a2a/agents/x/extendedAgentCard", "rest", "extendedAgentCard"),
        ("POST", "/a2a/agents/x/x/message:send", "rest", "x/message:send"),
    ],
)
async def test_each_path_leads_to_its_binding(
    make_serving: Make, make_exchange: Make, wire: Any, method: str, path: str, name: str, rest: str
) -> None:
    a2a = FakeA2a()
    exchange = make_exchange(method, path, headers=KEY | {b"a2a-version": b"1.0"}, body=b"{}", query="a=s%20t&b")
    await gateway_of(make_serving(key="sk-1"), a2a).handle(exchange)
    assert wire.status == 200
    assert wire.headers["x-request-id"] == exchange.request_id
    [(called, request)] = a2a.seen
    assert (called, request.agent, request.path, request.method) == (name, "x", rest, method)
    assert (request.query, request.body, request.id) == ({"a": "s t"}, b"{}", exchange.request_id)
    assert request.headers[b"a2a-version"] == b"1.0"
    assert request.caller.is_master
    assert request.again is not None
    assert (await request.again()).is_master


@pytest.mark.parametrize("handler", [routes.post, routes.rest])
async def test_what_is_switched_off_is_not_there(make_serving: Make, make_exchange: Make, handler: Any) -> None:
    with pytest.raises(ResourceNotFound, match="Feature not enabled"):
        await handler(make_serving(), make_exchange("POST", "/a2a/x"), {"agent_id": "x"})


async def test_a_message_is_as_long_as_other_bodies_at_most(make_serving: Make, make_exchange: Make) -> None:
    a2a: Any = FakeA2a()
    serving = replace(make_serving(max_body_bytes=10), a2a=a2a)
    with pytest.raises(BodyTooLarge):
        await routes.post(serving, make_exchange("POST", "/a2a/x", body=b"x" * 11), {"agent_id": "x"})


@pytest.mark.parametrize("headers", [{}, {b"authorization": b"Bearer sk-2"}])
async def test_without_a_key_nobody_comes_in_and_is_told_so_in_the_form_of_the_binding(
    make_serving: Make, make_exchange: Make, wire: Any, headers: dict[bytes, bytes]
) -> None:
    gateway = gateway_of(make_serving(key="sk-1"), FakeA2a())
    await gateway.handle(make_exchange("POST", "/a2a/agents/x", headers=headers))
    assert (wire.status, wire.json["jsonrpc"], wire.json["error"]["code"]) == (401, "2.0", 401)
    assert "www-authenticate" in wire.headers
    wire.sent = b""
    await gateway.handle(make_exchange("GET", "/a2a/agents/x/tasks", headers=headers))
    assert (wire.status, wire.json["error"]["code"], wire.json["error"]["status"]) == (401, 401, "UNAUTHENTICATED")


@pytest.mark.parametrize("path", ["/a2a/agents/x/tasks", "/a2a/agents/x/"])
async def test_a_method_that_no_path_takes_is_told_which_ones_there_are(
    make_serving: Make, make_exchange: Make, wire: Any, path: str
) -> None:
    await gateway_of(make_serving(key="sk-1"), FakeA2a()).handle(make_exchange("OPTIONS", path, headers=KEY))
    assert wire.status == 405
    assert "POST" in wire.headers["allow"]


# -- agents that need no key ------------------------------------------------------------------------------------------


@pytest.mark.requirement("a2a.host")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({b"host": b"localhost:4000"}, 200),
        ({b"host": b"127.0.0.1:4000", b"origin": b"http://127.0.0.1:4000"}, 200),
        ({b"host": b"evil.example.com", b"origin": b"http://evil.example.com"}, 421),
        ({b"host": b"localhost", b"origin": b"http://evil.example.com"}, 403),
        ({b"host": b"Gw.Example.com"}, 200),
        ({b"host": b"gw.example.com", b"origin": b"https://gw.example.com"}, 200),
        ({b"host": b"gw.example.com", b"origin": b"https://evil.example.com"}, 403),
        ({b"host": b"localhost", b"authorization": b"Bearer sk-2"}, 401),
        ({b"host": b"evil.example.com", b"authorization": b"Bearer sk-1"}, 200),
    ],
)
@pytest.mark.parametrize("path", ["/a2a/agents/open", "/a2a/open/message:send"])
async def test_a_public_agent_needs_no_key_but_pages_of_others_are_kept_out(
    make_serving: Make, make_exchange: Make, wire: Any, headers: dict[bytes, bytes], status: int, path: str
) -> None:
    a2a = FakeA2a(hosts=frozenset({"gw.example.com"}))
    await gateway_of(make_serving(key="sk-1"), a2a).handle(make_exchange("POST", path, headers=headers))
    assert wire.status == status
    assert status != 421 or "a2a.public_url" in wire.json["error"]["message"]
    assert len(a2a.seen) == (1 if status == 200 else 0)
    if a2a.seen:
        request = a2a.seen[0][1]
        assert request.caller.is_master == (b"authorization" in headers)
        assert (request.again is None) == (b"authorization" not in headers)


@pytest.mark.requirement("a2a.host")
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/a2a/agents/x"), ("GET", "/a2a/agents"), ("DELETE", "/a2a/agents/open")]
)
async def test_a_public_agent_opens_no_other_door(
    make_serving: Make, make_exchange: Make, wire: Any, method: str, path: str
) -> None:
    exchange = make_exchange(method, path, headers={b"host": b"localhost"})
    await gateway_of(make_serving(key="sk-1"), FakeA2a()).handle(exchange)
    assert wire.status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({b"host": b"localhost"}, 200),
        ({b"host": b"evil.example.com", b"origin": b"http://evil.example.com"}, 421),
        ({b"host": b"localhost", b"origin": b"http://evil.example.com"}, 403),
    ],
)
async def test_a_gateway_without_any_keys_keeps_them_out_too(
    make_serving: Make, make_exchange: Make, wire: Any, headers: dict[bytes, bytes], status: int
) -> None:
    await gateway_of(make_serving(), FakeA2a()).handle(make_exchange("POST", "/a2a/agents/x", headers=headers))
    assert wire.status == status


async def test_a_gateway_that_drains_tells_its_streams(make_serving: Make) -> None:
    a2a = FakeA2a()
    gateway_of(make_serving(), a2a).drain(is_ready=False)
    assert a2a.is_drained
