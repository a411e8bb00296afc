from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from pointsman.edge.context import Serving
from pointsman.edge.gateway import Gateway
from pointsman.edge.routes import mcp as routes
from pointsman.edge.settings import EdgeSettings
from pointsman.edge.table import Routes
from pointsman.errors import BodyTooLarge, ResourceNotFound
from pointsman.mcp.fronts.streams import Request

Make = Callable[..., Any]
JSON = b"content-type: application/json\r\n"


class FakeMcp:
    """Keeps what comes, and answers to all of it the same, but where the server is gone."""

    def __init__(self, *, is_open: bool = False, hosts: frozenset[str] = frozenset()) -> None:
        self.is_open = is_open
        self.allowed_hosts = hosts
        self.seen: list[tuple[str, Request]] = []
        self.is_drained = False

    def drain(self) -> None:
        self.is_drained = True

    def challenge(self, _headers: Any, _path: str) -> tuple[tuple[str, str], ...]:
        return ()

    async def fronts(self) -> Any:
        return self

    def __getattr__(self, name: str) -> Callable[[Request], Awaitable[None]]:
        async def take(request: Request) -> None:
            self.seen.append((name, request))
            request.reply.reply(404 if request.server == "gone" else 200, JSON + request.lines, b"{}")

        return take


def gateway_of(serving: Serving, mcp: FakeMcp | None) -> Gateway:
    unused: Any = None
    return Gateway(replace(serving, mcp=mcp), Routes(), EdgeSettings(), unused, unused)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "path", "name", "server"),
    [
        ("POST", "/mcp", "post", None),
        ("POST", "/mcp/", "post", None),
        ("POST", "/mcp/a,b", "post", "a,b"),
        ("POST", "/mcp/a/", "post", "a"),
        ("POST", "/a/mcp", "post", "a"),
        ("GET", "/mcp", "get", None),
        ("GET", "/mcp/a", "get", "a"),
        ("DELETE", "/mcp/a", "delete", "a"),
        ("GET", "/mcp/sse", "get_sse", None),
        ("GET", "/mcp/a/sse", "get_sse", "a"),
        ("POST", "/mcp/messages", "post_sse", None),
        ("POST", "/mcp/a/messages", "post_sse", "a"),
    ],
)
async def test_each_path_leads_to_its_front(
    make_serving: Make, make_exchange: Make, wire: Any, method: str, path: str, name: str, server: str | None
) -> None:
    mcp = FakeMcp()
    headers = {b"authorization": b"Bearer sk-1", b"mcp-method": b"x"}
    exchange = make_exchange(method, path, headers=headers, body=b"{}", query="session_id=s%20t&x")
    await gateway_of(make_serving(key="sk-1"), mcp).handle(exchange)
    assert wire.status == 200
    assert wire.headers["x-request-id"] == exchange.request_id
    [(called, request)] = mcp.seen
    assert (called, request.server, request.path, request.query) == (name, server, path, {"session_id": "s t"})
    assert request.body == (b"{}" if method == "POST" else b"")
    assert request.caller.is_master
    assert request.headers[b"mcp-method"] == b"x"
    assert request.id == exchange.request_id
    assert request.again is not None
    assert (await request.again()).is_master


@pytest.mark.parametrize("handler", [routes.post, routes.get, routes.delete, routes.get_sse, routes.post_sse])
async def test_what_is_switched_off_is_not_there(make_serving: Make, make_exchange: Make, handler: Any) -> None:
    with pytest.raises(ResourceNotFound, match="Feature not enabled"):
        await handler(make_serving(), make_exchange("POST", "/mcp"), {})


@pytest.mark.parametrize("path", ["/mcp", "/mcp/a", "/mcp/a/sse"])
async def test_a_stream_without_a_body_is_none(make_serving: Make, make_exchange: Make, wire: Any, path: str) -> None:
    mcp = FakeMcp()
    await gateway_of(make_serving(), mcp).handle(make_exchange("HEAD", path, headers={b"host": b"localhost"}))
    assert (wire.status, mcp.seen) == (405, [])


async def test_a_message_is_as_long_as_other_bodies_at_most(make_serving: Make, make_exchange: Make) -> None:
    serving = replace(make_serving(max_body_bytes=10), mcp=FakeMcp())
    with pytest.raises(BodyTooLarge):
        await routes.post(serving, make_exchange("POST", "/mcp", body=b"x" * 11), {})


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({b"authorization": b"Bearer sk-2"}, 401), ({b"authorization": b"Bearer sk-1"}, 200)],
)
async def test_without_a_key_nobody_comes_in_and_is_told_so_in_the_form_of_the_protocol(
    make_serving: Make, make_exchange: Make, wire: Any, headers: dict[bytes, bytes], status: int
) -> None:
    for path in ("/mcp", "/mcp/a", "/mcp/a/sse"):
        wire.sent = b""
        method = "GET" if path.endswith("sse") else "POST"
        await gateway_of(make_serving(key="sk-1"), FakeMcp()).handle(make_exchange(method, path, headers=headers))
        assert wire.status == status
        if status == 401:
            assert (wire.json["jsonrpc"], wire.json["id"], wire.json["error"]["code"]) == ("2.0", None, 401)


@pytest.mark.requirement("mcp.host")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({b"host": b"localhost:4000"}, 200),
        ({b"host": b"127.0.0.1:4000", b"origin": b"http://127.0.0.1:4000"}, 200),
        ({b"host": b"evil.example.com", b"origin": b"http://evil.example.com"}, 421),
        ({b"host": b"localhost", b"origin": b"http://evil.example.com"}, 403),
        ({b"host": b"Mcp.Example.com"}, 200),
        ({b"host": b"mcp.example.com", b"origin": b"https://mcp.example.com"}, 200),
        ({b"host": b"mcp.example.com", b"origin": b"https://evil.example.com"}, 403),
        ({b"host": b"localhost", b"authorization": b"Bearer sk-2"}, 401),
        ({b"host": b"evil.example.com", b"authorization": b"Bearer sk-1"}, 200),
    ],
)
async def test_where_no_key_is_needed_pages_of_others_are_kept_out(
    make_serving: Make, make_exchange: Make, wire: Any, headers: dict[bytes, bytes], status: int
) -> None:
    mcp = FakeMcp(is_open=True, hosts=frozenset({"mcp.example.com"}))
    await gateway_of(make_serving(key="sk-1"), mcp).handle(make_exchange("POST", "/mcp", headers=headers))
    assert wire.status == status
    assert status != 421 or "mcp.allowed_hosts" in wire.json["error"]["message"]
    assert len(mcp.seen) == (1 if status == 200 else 0)
    if mcp.seen:
        assert mcp.seen[0][1].caller.is_master == (b"authorization" in headers)


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
    await gateway_of(make_serving(), FakeMcp()).handle(make_exchange("POST", "/mcp", headers=headers))
    assert wire.status == status


async def test_what_needs_no_key_is_the_protocol_alone(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    gateway = gateway_of(make_serving(key="sk-1"), FakeMcp(is_open=True))
    await gateway.handle(make_exchange("GET", "/mcp/servers", headers={b"host": b"localhost"}))
    assert wire.status == 401


async def test_the_status_that_is_counted_is_the_one_that_was_sent(make_serving: Make, make_exchange: Make) -> None:
    gateway = gateway_of(make_serving(), FakeMcp())
    for server in ("a", "gone"):
        await gateway.handle(make_exchange("POST", f"/mcp/{server}", headers={b"host": b"localhost"}))
    (meter,) = gateway.serving.metrics.route_meters()
    assert meter.statuses == {200: 1, 404: 1}


async def test_a_gateway_that_drains_ends_what_would_never_end(make_serving: Make) -> None:
    mcp = FakeMcp()
    gateway_of(make_serving(), mcp).drain(is_ready=False)
    assert mcp.is_drained
