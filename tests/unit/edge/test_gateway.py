from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from tokens import Issuer

from pointsman.access.policy import Access
from pointsman.access.settings import TokenSettings
from pointsman.edge.callers import find_by_token
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.gateway import Gateway
from pointsman.edge.reply import json_reply
from pointsman.edge.settings import EdgeSettings
from pointsman.edge.table import Route, Routes
from pointsman.errors import HeadTooLarge, Unauthenticated, UpstreamBroken
from pointsman.pipeline.key_sets import KeySets
from pointsman.pipeline.known_tokens import Tokens

Make = Callable[..., Any]
KEY = "sk-master"
WITH_KEY = {b"authorization": b"Bearer sk-master"}


async def _break(_serving: Serving, _exchange: Exchange, _params: Mapping[str, str]) -> None:
    raise ZeroDivisionError("sk-canary")


async def _fail(_serving: Serving, _exchange: Exchange, _params: Mapping[str, str]) -> None:
    raise UpstreamBroken(operator_detail="10.0.0.1 sent garbage")


async def _break_late(_serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    exchange.start(200, b"")
    exchange.write(b"half")
    raise ZeroDivisionError


async def _break_after(_serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    json_reply(exchange, "done")
    raise ZeroDivisionError


async def _wait(_serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    await asyncio.get_running_loop().create_future()


async def _settle(_serving: Serving, exchange: Exchange, _params: Mapping[str, str]) -> None:
    json_reply(exchange, "done")
    exchange.is_settled = True


async def _echo(_serving: Serving, exchange: Exchange, params: Mapping[str, str]) -> None:
    json_reply(exchange, {"params": dict(params)})


ROUTES = (
    Route("GET", "/echo", _echo, Access.LIST),
    Route("GET", "/echo/{name...}", _echo, Access.LIST),
    Route("GET", "/public", _echo, Access.PUBLIC),
    Route("GET", "/metrics", _echo, Access.METRICS),
    Route("POST", "/break", _break, Access.LIST),
    Route("GET", "/fail", _fail, Access.LIST),
    Route("GET", "/late", _break_late, Access.LIST),
    Route("GET", "/after", _break_after, Access.LIST),
    Route("GET", "/wait", _wait, Access.LIST),
    Route("GET", "/settle", _settle, Access.LIST),
)


@pytest.fixture
def gateway(make_serving: Make) -> Make:
    def make(**serving: Any) -> Gateway:
        unused: Any = None
        return Gateway(make_serving(**serving), Routes(ROUTES), EdgeSettings(), unused, unused)

    return make


def counted(gateway: Gateway) -> list[tuple[str, dict[int, int], dict[str, int]]]:
    return [(meter.route, meter.statuses, meter.failures) for meter in gateway.serving.metrics.route_meters()]


async def test_a_request_is_handled_and_counted_by_the_pattern_of_its_route(
    gateway: Make, make_exchange: Make, wire: Any
) -> None:
    one = gateway(key=KEY)
    await one.handle(make_exchange("GET", "/echo/a/b", headers=WITH_KEY))
    assert (wire.status, wire.json) == (200, {"params": {"name": "a/b"}})
    assert counted(one) == [("/echo/{name...}", {200: 1}, {})]
    assert one.serving.metrics.in_flight == 0


@pytest.mark.parametrize(
    ("asked", "headers", "answer", "route", "failure"),
    [
        ("GET /echo", {}, (401, "invalid_api_key"), "/echo", "Unauthenticated"),
        ("GET /echo", {b"authorization": b"Bearer no"}, (401, "invalid_api_key"), "/echo", "Unauthenticated"),
        ("GET /metrics", {}, (401, "invalid_api_key"), "/metrics", "Unauthenticated"),
        ("GET /nowhere", {}, (404, "unknown_url"), "other", "RouteNotFound"),
        ("DELETE /echo", WITH_KEY, (405, "method_not_allowed"), "other", "MethodNotAllowed"),
        ("POST /break", WITH_KEY, (500, "internal_error"), "/break", "InternalError"),
        ("GET /fail", WITH_KEY, (502, "upstream_broken"), "/fail", "UpstreamBroken"),
    ],
)
async def test_a_failure_is_answered_and_counted_once(
    gateway: Make, make_exchange: Make, wire: Any, asked: str, headers: Any, answer: Any, route: str, failure: str
) -> None:
    one = gateway(key=KEY)
    await one.handle(make_exchange(*asked.split(), headers=headers))
    assert (wire.status, wire.json["error"]["code"]) == answer
    assert wire.headers["x-request-id"]
    assert counted(one) == [(route, {answer[0]: 1}, {failure: 1})]
    assert one.serving.metrics.in_flight == 0


async def test_a_stranger_and_a_wrong_method_are_told_what_to_do(gateway: Make, make_exchange: Make, wire: Any) -> None:
    one = gateway(key=KEY)
    await one.handle(make_exchange("GET", "/echo"))
    assert wire.headers["www-authenticate"] == "Bearer"
    wire.sent = b""
    await one.handle(make_exchange("POST", "/echo"))
    assert wire.headers["allow"] == "GET, HEAD"


async def test_a_stranger_is_refused_before_the_body_has_arrived(gateway: Make, make_exchange: Make, wire: Any) -> None:
    await gateway(key=KEY).handle(make_exchange("POST", "/break", body=b"half", is_complete=False))
    assert wire.status == 401
    assert wire.headers["connection"] == "close"


async def test_a_defect_is_logged_with_its_trace_and_told_without(
    gateway: Make, make_exchange: Make, wire: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await gateway().handle(make_exchange("POST", "/break", headers={b"x-request-id": b"mine"}))
    assert b"canary" not in wire.sent
    assert b"ZeroDivision" not in wire.sent
    first = caplog.records[0]
    assert (first.levelno, first.getMessage()) == (logging.ERROR, "request mine failed")
    assert first.exc_info is not None


async def test_what_is_for_the_operator_is_logged_and_not_told(
    gateway: Make, make_exchange: Make, wire: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await gateway().handle(make_exchange("GET", "/fail", headers={b"x-request-id": b"mine"}))
    assert b"10.0.0.1" not in wire.sent
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("request mine: ")
    assert record.getMessage().endswith(": 10.0.0.1 sent garbage")


async def test_a_reply_that_has_begun_is_cut_and_not_ended(gateway: Make, make_exchange: Make, wire: Any) -> None:
    one = gateway()
    await one.handle(make_exchange("GET", "/late"))
    assert wire.is_cut
    assert wire.sent.count(b"HTTP/1.1") == 1
    assert not wire.sent.endswith(b"0\r\n\r\n")
    assert counted(one) == [("/late", {500: 1}, {"InternalError": 1})]


async def test_a_defect_after_the_reply_does_not_touch_it(gateway: Make, make_exchange: Make, wire: Any) -> None:
    await gateway().handle(make_exchange("GET", "/after"))
    assert (wire.status, wire.json, wire.is_cut) == (200, "done", False)


async def test_a_request_that_a_deployment_counted_is_not_counted_again(gateway: Make, make_exchange: Make) -> None:
    one = gateway()
    await one.handle(make_exchange("GET", "/settle"))
    assert counted(one) == []


async def test_a_client_that_leaves_ends_the_request(gateway: Make, make_exchange: Make, wire: Any) -> None:
    one = gateway()
    exchange = make_exchange("GET", "/wait")
    task = asyncio.create_task(one.handle(exchange))
    await asyncio.sleep(0)
    assert one.serving.metrics.in_flight == 1
    task.cancel()
    await task
    assert one.serving.metrics.in_flight == 0
    assert wire.is_cut
    assert wire.sent == b""


@pytest.mark.parametrize("given", [b"a", b"trace-1.2_3:4/5", b"Z" * 128])
async def test_a_request_id_of_the_client_is_kept(gateway: Make, make_exchange: Make, wire: Any, given: bytes) -> None:
    await gateway().handle(make_exchange("GET", "/echo", headers={b"x-request-id": given}))
    assert wire.headers["x-request-id"] == wire.headers["x-litellm-call-id"] == given.decode()


@pytest.mark.parametrize("given", [None, b"", b"a b", b"Z" * 129, b"a\n", b"<script>", b"\xe9", b'a"'])
async def test_without_a_plain_one_each_request_gets_its_own(
    gateway: Make, make_exchange: Make, wire: Any, given: bytes | None
) -> None:
    one = gateway()
    names = []
    for _ in range(2):
        wire.sent = b""
        await one.handle(make_exchange("GET", "/echo", headers={} if given is None else {b"x-request-id": given}))
        names.append(wire.headers["x-request-id"])
    assert names[0] != names[1]
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name) for name in names)


GOOD_HOSTS = [b"localhost", b"LOCALHOST:4000", b"127.0.0.1:80", b"127.255.0.9", b"[::1]", b"[::1]:4000"]
BAD_HOSTS = [b"evil.test", b"localhost.evil.test", b"127.0.0.1.evil.test", b"10.0.0.1", b"", b"a@localhost", b"[::2]"]


@pytest.mark.parametrize("host", GOOD_HOSTS)
async def test_without_a_key_loopback_names_are_answered(
    gateway: Make, make_exchange: Make, wire: Any, host: bytes
) -> None:
    await gateway().handle(make_exchange("GET", "/echo", headers={b"host": host, b"origin": b"http://" + host}))
    assert wire.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        *({b"host": host} for host in BAD_HOSTS),
        *({b"host": b"localhost", b"origin": b"https://" + host} for host in BAD_HOSTS),
        {b"host": b"localhost", b"origin": b"null"},
        {b"host": b"localhost", b"origin": b"file://localhost"},
    ],
)
async def test_without_a_key_a_page_from_elsewhere_is_refused(
    gateway: Make, make_exchange: Make, wire: Any, headers: dict[bytes, bytes]
) -> None:
    for path in ("/echo", "/metrics"):
        wire.sent = b""
        await gateway(is_metrics_public=True).handle(make_exchange("GET", path, headers=headers))
        assert (wire.status, wire.json["error"]["code"]) == (421, "misdirected_request")
    wire.sent = b""
    await gateway().handle(make_exchange("GET", "/public", headers=headers))
    assert wire.status == 200


async def test_with_a_key_any_name_is_answered(gateway: Make, make_exchange: Make, wire: Any) -> None:
    headers = WITH_KEY | {b"host": b"gateway.example", b"origin": b"https://app.example"}
    await gateway(key=KEY).handle(make_exchange("GET", "/echo", headers=headers))
    assert wire.status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({b"host": b"gateway.example:4000"}, 200),
        ({b"host": b"gateway.example:4000", b"origin": b"http://gateway.example:4000"}, 200),
        ({b"host": b"gateway.example:4000", b"origin": b"http://gateway.example"}, 421),
        ({b"host": b"gateway.example", b"origin": b"http://evil.test"}, 421),
        ({b"host": b"gateway.example", b"origin": b"null"}, 421),
    ],
)
async def test_open_on_purpose_answers_any_name_but_no_page_of_another_origin(
    gateway: Make, make_exchange: Make, wire: Any, headers: dict[bytes, bytes], status: int
) -> None:
    await gateway(is_open_on_purpose=True).handle(make_exchange("GET", "/echo", headers=headers))
    assert wire.status == status


@pytest.mark.parametrize(("path", "status"), [("/public", 200), ("/metrics", 200), ("/echo", 401)])
async def test_what_the_operator_made_public_needs_no_key(
    gateway: Make, make_exchange: Make, wire: Any, path: str, status: int
) -> None:
    await gateway(key=KEY, is_metrics_public=True).handle(make_exchange("GET", path))
    assert wire.status == status


async def test_what_never_became_a_request_is_answered_and_counted(
    gateway: Make, make_exchange: Make, wire: Any
) -> None:
    one = gateway()
    exchange = make_exchange()
    exchange.request_id = ""
    one.refuse(exchange, HeadTooLarge())
    assert wire.status == 431
    assert len(wire.headers["x-request-id"]) == 36
    assert counted(one) == [("other", {431: 1}, {"HeadTooLarge": 1})]


async def test_draining_makes_replies_the_last_ones_and_tells_the_readiness_probe(
    gateway: Make, make_exchange: Make
) -> None:
    made = gateway()
    begun_with = made.serving
    assert (made.is_draining, made.serving.is_ready) == (False, True)
    made.drain(is_ready=True)
    assert (made.is_draining, made.serving.is_ready) == (True, True)
    made.drain(is_ready=False)
    assert (made.is_draining, made.serving.is_ready) == (True, False)
    # A request keeps what it began with.
    assert begun_with.is_ready


# -- tokens -----------------------------------------------------------------------------------------------------------


def trust(desk: Any, issuer: Issuer, **settings: Any) -> None:
    """Let tokens of that provider in."""

    async def ask(_url: str) -> Any:
        return issuer.jwks()

    said = TokenSettings(key_urls=("https://idp.test/keys",), user_claim="sub", team_claim="team", **settings)
    key_sets = KeySets(said.key_urls, ask, desk.tasks, seconds=600, clock=desk.now)
    desk.gateway.swap(replace(desk.gateway.serving, tokens=Tokens(said, key_sets, now=desk.now)))


@pytest.mark.requirement("access.tokens", "access.token-teams", "access.token-admins")
async def test_a_token_is_let_in_beside_keys_and_held_to_what_it_may(desk: Any) -> None:
    issuer = Issuer("ES256")
    trust(desk, issuer)
    await desk.post("/team/new", {"team_id": "t", "models": ["other"]})
    made = await desk.key()
    claims = {"sub": "ada", "exp": desk.now() + 300, "team": "t"}
    token = issuer.sign(claims)
    for _ in range(2):
        assert (await desk.get("/v1/models", key=token))["data"] == []
        assert (await desk.call("POST", "/key/generate", {}, key=token)).status == 403
        assert (await desk.call("GET", "/key/list", key=made)).status == 200
        assert (await desk.call("POST", "/config/reload", {}, key=token)).status == 403
    await desk.post("/team/block", {"team_id": "t"})
    blocked = await desk.call("GET", "/v1/models", key=token)
    assert (blocked.status, blocked.json["error"]["message"]) == (403, "This token's team is blocked")
    boss = issuer.sign({"sub": "bob", "exp": desk.now() + 300, "scope": "litellm_proxy_admin"})
    await desk.post("/team/unblock", {"team_id": "t"}, key=boss)
    assert (await desk.call("POST", "/config/reload", {}, key=boss)).status == 403
    assert (await desk.call("GET", "/v1/models", key=token)).status == 200
    assert desk.records.log[-1].who.startswith("key:jwt:bob:")


@pytest.mark.requirement("access.tokens")
async def test_a_bad_token_is_told_what_is_wrong_and_is_not_repeated(desk: Any) -> None:
    issuer = Issuer("ES256")
    trust(desk, issuer, audiences=("gateway",))
    for claims, why in (
        ({"exp": 5}, "The token has expired"),
        ({"exp": desk.now() + 300, "aud": "canary"}, "The token is meant for another audience"),
    ):
        refused = await desk.call("GET", "/v1/models", key=issuer.sign({"sub": "canary", **claims}))
        assert (refused.status, refused.json["error"]["code"]) == (401, "invalid_token")
        assert refused.json["error"]["message"] == why


async def test_without_settings_for_tokens_a_token_is_an_unknown_key(desk: Any) -> None:
    refused = await desk.call("GET", "/v1/models", key=Issuer("ES256").sign({"sub": "a", "exp": desk.now() + 9}))
    assert (refused.status, refused.json["error"]["code"]) == (401, "invalid_api_key")


async def test_a_key_may_be_shown_beside_a_token_of_somebody_else(desk: Any) -> None:
    trust(desk, Issuer("ES256"))
    made = await desk.key()
    foreign = Issuer("ES384").sign({"sub": "mesh", "exp": desk.now() + 300})
    headers = {b"authorization": b"Bearer " + foreign.encode(), b"x-litellm-api-key": made.encode()}
    caller = await find_by_token(
        desk.gateway.serving, desk.gateway.serving.tokens, tuple(desk.gateway.serving.gatekeeper.shown(headers))
    )
    assert caller.role == "key"
    with pytest.raises(Unauthenticated, match="nobody here knows"):
        await find_by_token(desk.gateway.serving, desk.gateway.serving.tokens, (foreign.encode(),))
