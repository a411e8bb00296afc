"""Runs one exchange: find the route, tell the caller from a stranger, call the handler, answer for its failures."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs
from uuid import uuid4

from pointsman.access.caller import CHALLENGE, MASTER, NOBODY, Caller
from pointsman.access.policy import Access, is_route_allowed
from pointsman.edge.context import Serving
from pointsman.edge.exchange import Exchange
from pointsman.edge.reply import error_reply
from pointsman.edge.settings import EdgeSettings
from pointsman.edge.table import Route, Routes, dialect_of
from pointsman.errors import Forbidden, GatewayError, InternalError, MisdirectedHost, Unauthenticated
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.outbox import Outbox

if TYPE_CHECKING:
    from pointsman.pipeline.known_tokens import Tokens

log = logging.getLogger(__name__)

# Each request would look these up in their class, which takes a while for an Enum.
PUBLIC, METRICS = Access.PUBLIC, Access.METRICS
GOOGLE_KEY = b"x-goog-api-key"
PREFIXES = {"/v1beta": "gemini", "/gemini/": "gemini", "/v1/messages": "anthropic", "/anthropic/": "anthropic"}
"""Beginnings of paths that only clients of one dialect ask for."""
GIVEN_ID = re.compile(rb"[A-Za-z0-9._:/-]{1,128}")
LOOPBACK_HOST = re.compile(rb"(?i:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{0,5})?")
LOOPBACK_ORIGIN = re.compile(rb"(?i)https?://(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{0,5})?")


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
                if route.access is not PUBLIC:
                    exchange.caller = _look(serving, exchange, route) or await _find(serving, exchange, route)
                await route.handler(serving, exchange, params)
                if not exchange.is_settled:
                    metrics.bind_route(route_path).observe(200)
            except GatewayError as error:
                if route_path == "other":
                    exchange.dialect = _dialect_at(exchange)
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
        _refuse_rebinding(exchange.headers, is_any_host=gatekeeper.is_open_on_purpose)
    if route.access is METRICS and serving.is_metrics_public:
        return NOBODY
    keys = serving.accounts.keys
    known: Callable[[bytes], Caller | None] = _unknown if keys is None else keys.known
    if serving.tokens is not None and keys is not None:
        known = serving.tokens.known_in(keys)
    caller = gatekeeper.look(_headers(exchange), known)
    if caller is not None and caller is not MASTER:
        _check_route(caller, route)
    return caller


async def _find(serving: Serving, exchange: Exchange, route: Route) -> Caller:
    """Who calls, as the store of keys knows it.

    :raises Unauthenticated: nobody whom it knows
    :raises Forbidden: somebody who is blocked, or whose key is for other routes
    :raises Overloaded: it is away
    """
    shown = tuple(serving.gatekeeper.shown(_headers(exchange)))
    tokens = serving.tokens
    caller = await (_find_by_key(serving, shown) if tokens is None else _find_by_token(serving, tokens, shown))
    _check_route(caller, route)
    return caller


async def _find_by_key(serving: Serving, shown: Iterable[bytes]) -> Caller:
    keys = await serving.accounts.look()
    if keys is None:
        raise Unauthenticated(headers=CHALLENGE)
    return await keys.find(shown)


async def _find_by_token(serving: Serving, tokens: Tokens, shown: tuple[bytes, ...]) -> Caller:
    """By a token or, where none is valid, by a key, which may be shown beside somebody else's token."""
    try:
        proven = await tokens.prove(shown)
    except Unauthenticated:
        with suppress(Unauthenticated):
            return await _find_by_key(serving, shown)
        raise
    if proven is None:
        return await _find_by_key(serving, shown)
    return await tokens.caller((await serving.accounts.opened()).keys, proven)


def _check_route(caller: Caller, route: Route) -> None:
    """:raises Forbidden: the caller's role, or what his key was made for, does not let him call this route"""
    if caller.role not in route.roles:
        raise Forbidden(f"This key may not call {route.path}")
    key = caller.key
    if key is not None and key.allowed_routes and not is_route_allowed(key.allowed_routes, route.path, route.groups):
        raise Forbidden(f"This key was made for other paths than {route.path}")


def _unknown(_key: bytes) -> None:
    return None


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


def _refuse_rebinding(headers: dict[bytes, bytes], *, is_any_host: bool) -> None:
    """Without a key, a web page must not reach the gateway through the browser of whoever runs it.

    :raises MisdirectedHost: ``Host`` or ``Origin`` is not a loopback name; where any host will do, the two differ
    """
    host = headers.get(b"host")
    origin = headers.get(b"origin")
    if is_any_host:
        if origin is not None and origin.partition(b"://")[2] != host:
            raise MisdirectedHost("Without a master key the gateway answers no pages of other origins")
        return
    if (host is not None and not LOOPBACK_HOST.fullmatch(host)) or (
        origin is not None and not LOOPBACK_ORIGIN.fullmatch(origin)
    ):
        raise MisdirectedHost
