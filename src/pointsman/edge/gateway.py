"""Runs one exchange: find the route, tell the caller from a stranger, call the handler, answer for its failures."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from urllib.parse import parse_qs
from uuid import uuid4

from pointsman.access.caller import MASTER, NOBODY, Caller
from pointsman.access.policy import Access, is_route_allowed
from pointsman.edge.callers import find, look
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.hosts import FOREIGN_CALL, FOREIGN_PAGE, check_agents, check_mcp, check_open
from pointsman.edge.reply import error_reply
from pointsman.edge.settings import EdgeSettings
from pointsman.edge.table import Route, Routes, dialect_of
from pointsman.errors import Forbidden, GatewayError, InternalError
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.outbox import Outbox

log = logging.getLogger(__name__)

# Each request would look these up in their class, which takes a while for an Enum.
PUBLIC, METRICS, MCP = Access.PUBLIC, Access.METRICS, Access.MCP
GOOGLE_KEY = b"x-goog-api-key"
PREFIXES = {
    "/v1beta": "gemini",
    "/gemini/": "gemini",
    "/v1/messages": "anthropic",
    "/anthropic/": "anthropic",
    "/mcp": "mcp",
    "/a2a": "a2a",
}
"""Beginnings of paths that only clients of one dialect ask for."""
GIVEN_ID = re.compile(rb"[A-Za-z0-9._:/-]{1,128}")


class Gateway:
    """What a connection calls. Holds the configuration in force; each exchange keeps the one it began with."""

    def __init__(
        self, serving: Serving, routes: Routes, settings: EdgeSettings, sweeper: Sweeper, outbox: Outbox
    ) -> None:
        self.serving = serving
        self.settings = settings
        self.sweeper = sweeper
        self.outbox = outbox
        self.is_draining = False
        """Whether each reply is the last one of its connection."""
        self.is_busy: Callable[[], bool] = lambda: False
        """Whether calls go on whose clients have left."""
        self.reload: Callable[[str], None] = lambda _: None
        """Read the configuration again, as somebody of that name has asked; to be called in the event loop."""
        self._routes = routes
        self._ids = _identifiers()

    async def handle(self, exchange: Exchange) -> None:
        """Answer ``exchange``, whatever happens, unless its client leaves."""
        serving = self.serving
        metrics = serving.metrics
        metrics.in_flight += 1
        route_path = "other"
        try:
            exchange.request_id = self._name(exchange.headers)
            exchange.version_line = serving.version_line
            try:
                route, params = self._routes.find(exchange.method, exchange.path)
                route_path = route.path
                exchange.dialect = route.dialect or dialect_of(exchange.headers)
                if route.is_for_agents and await _is_public(serving, exchange.headers, params):
                    exchange.caller = NOBODY
                elif route.access is not PUBLIC:
                    exchange.caller = _look(serving, exchange, route) or await _find(serving, exchange, route)
                await route.handler(serving, exchange, params)
                if not exchange.is_settled:
                    metrics.bind_route(route_path).observe(exchange.status)
            except GatewayError as error:
                if route_path == "other":
                    exchange.dialect = _dialect_at(exchange)
                elif error.status == 401 and exchange.dialect == "mcp" and serving.mcp is not None:
                    error.headers = serving.mcp.challenge(exchange.headers, exchange.path) or error.headers
                self._fail(exchange, error, route_path)
                # Its frames hold what holds it: a cycle for each refusal would be work for the collector.
                error.__traceback__ = None
        except asyncio.CancelledError:
            # The client left, or the server stops: there is nobody to answer.
            if not exchange.is_finished:
                exchange.cut()
        except Exception as error:
            log.exception("request %s failed", exchange.request_id)
            self._fail(exchange, InternalError(operator_detail=type(error).__name__), route_path)
        finally:
            metrics.in_flight -= 1

    def drain(self, *, is_ready: bool) -> None:
        """Make each reply the last one of its connection; the readiness probe is answered as told."""
        self.is_draining = True
        self.serving = replace(self.serving, is_ready=is_ready)
        for protocol in (self.serving.mcp, self.serving.a2a, self.serving.batches):
            if protocol is not None:
                protocol.drain()

    def swap(self, serving: Serving) -> None:
        """Serve what begins from now on with another configuration."""
        self.serving = replace(serving, is_ready=self.serving.is_ready)

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        """Answer what never became a request."""
        exchange.request_id = self._name({})
        exchange.version_line = self.serving.version_line
        self._fail(exchange, error, "other")

    def _fail(self, exchange: Exchange, error: GatewayError, route: str) -> None:
        if not exchange.is_settled:
            self.serving.metrics.bind_route(route).observe(error.status, type(error).__name__)
        if error.operator_detail is not None:
            log.warning("request %s: %s: %s", exchange.request_id, error.message, error.operator_detail)
        if exchange.is_finished:
            return
        if exchange.is_started:
            exchange.cut()
        else:
            error_reply(exchange, error)

    def _name(self, headers: dict[bytes, bytes]) -> str:
        given = headers.get(b"x-request-id")
        if given is not None and GIVEN_ID.fullmatch(given):
            return given.decode("ascii")
        return next(self._ids)


def _look(serving: Serving, exchange: Exchange, route: Route) -> Caller | None:
    """Who calls, if that is known without asking the store.

    :raises Unauthenticated: there is no key
    :raises Forbidden: it is for other routes
    :raises MisdirectedHost: no key is asked for, and somebody's browser calls
    """
    gatekeeper = serving.gatekeeper
    if gatekeeper.is_open:
        page = FOREIGN_PAGE if route.access is MCP or route.is_for_agents else FOREIGN_CALL
        check_open(serving, exchange.headers, page)
    elif route.access is MCP and _is_let_in(serving, exchange.headers):
        return NOBODY
    if route.access is METRICS and serving.is_metrics_public:
        return NOBODY
    caller = look(serving, _headers(exchange))
    if caller is not None and caller is not MASTER:
        _check_route(caller, route)
    return caller


def _is_let_in(serving: Serving, headers: dict[bytes, bytes]) -> bool:
    """Whether a client of MCP servers needs no key, and shows none.

    :raises MisdirectedHost: somebody's browser calls
    """
    mcp = serving.mcp
    if mcp is None or not mcp.is_open or any(serving.gatekeeper.shown(headers)):
        return False
    check_mcp(headers, mcp.allowed_hosts)
    return True


async def _is_public(serving: Serving, headers: dict[bytes, bytes], params: Mapping[str, str]) -> bool:
    """Whether a client of an agent needs no key, and shows none.

    :raises MisdirectedHost: somebody's browser calls
    :raises Forbidden: the same
    """
    a2a, gatekeeper = serving.a2a, serving.gatekeeper
    if a2a is None or gatekeeper.is_open or any(gatekeeper.shown(headers)):
        return False
    if not await a2a.is_public(params["agent_id"]):
        return False
    check_agents(serving, headers)
    return True


async def _find(serving: Serving, exchange: Exchange, route: Route) -> Caller:
    """Who calls, as the store of keys knows it.

    :raises Unauthenticated: nobody whom it knows
    :raises Forbidden: somebody who is blocked, or whose key is for other routes
    :raises Overloaded: it is away
    """
    caller = await find(serving, _headers(exchange))
    _check_route(caller, route)
    return caller


def _check_route(caller: Caller, route: Route) -> None:
    """:raises Forbidden: the caller's role, or what his key was made for, does not let him call this route"""
    if caller.role not in route.roles:
        raise Forbidden(f"This key may not call {route.path}")
    key = caller.key
    if key is not None and key.allowed_routes and not is_route_allowed(key.allowed_routes, route.path, route.groups):
        raise Forbidden(f"This key was made for other paths than {route.path}")


def _dialect_at(exchange: Exchange) -> str:
    """The dialect of whoever asks for a path that is not there."""
    for prefix, dialect in PREFIXES.items():
        if exchange.path.startswith(prefix):
            return dialect
    return dialect_of(exchange.headers)


def _headers(exchange: Exchange) -> Mapping[bytes, bytes]:
    """What may hold the key: Gemini's clients can put it into the query."""
    if exchange.dialect != "gemini" or GOOGLE_KEY in exchange.headers:
        return exchange.headers
    key = parse_qs(exchange.query).get("key")
    return exchange.headers | {GOOGLE_KEY: key[0].encode("latin-1", "replace")} if key else exchange.headers


def _identifiers() -> Iterator[str]:
    """UUIDs of this process: random at the front, counted at the back, which is quicker than random throughout."""
    while True:
        front = str(uuid4())[:24]
        for count in range(16**6):
            yield f"{front}{count:012x}"
