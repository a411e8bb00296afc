"""The addresses of one agent, and what goes to each.

The registered addresses get the credential and the configured headers; another one, which a card has named and the
operator has allowed, gets neither. What comes back is rid of addresses and credentials before a client or a log sees
it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec

from pointsman.a2a.base import Passed
from pointsman.a2a.protocol.operations import Version
from pointsman.a2a.settings import SHORTEST_SECRET, AgentSettings, secrets_of
from pointsman.errors import GatewayError, UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from pointsman.upstream.addresses import Address, Carrier, Credential, Lines, beginning, target_of
from pointsman.upstream.response import Response
from pointsman.upstream.routes import parse_origin
from pointsman.upstream.settings import Timeouts
from pointsman.wire.jsonrpc import RpcError

WHO: Final = "the agent"
MAX_PLACES: Final = 100
"""Addresses of one agent that are remembered."""
EXTENSIONS: Final = "a2a-extensions"
LEGACY_EXTENSIONS: Final = "x-a2a-extensions"
VERSION: Final = "a2a-version"
PUBLIC: Final = frozenset({EXTENSIONS, "traceparent", "tracestate"})
"""What of the headers that are passed on goes to addresses that are not registered."""
_TEXTS: Final[Mapping[type[GatewayError], str]] = {
    UpstreamUnreachable: "The agent could not be reached",
    UpstreamTimeout: "The agent did not answer in time",
    UpstreamBroken: "The agent's answer was cut off or is not valid",
}
_TOKEN: Final = re.compile(r"(?i)\b(bearer|basic) [A-Za-z0-9._~+/=-]{8,}")
E = TypeVar("E", bound=Exception)


class Places:
    """Sends requests to an agent."""

    def __init__(self, settings: AgentSettings, host: Callable[[str], Carrier], credential: Credential | None) -> None:
        """``host`` gives who sends requests to an address."""
        self._settings = settings
        self._host = host
        self._credential = credential
        self._origins = {parse_origin(url) for url in replicas_of(settings)}
        self._known: dict[str, tuple[Address, bool]] = {}
        """By address; and whether it is a registered one."""
        self._moved: dict[tuple[str, str], str] = {}
        """Targets with the slash at their end that they want to have, or without the one that they do not."""
        self.veil = Veil(settings)

    async def send(
        self,
        url: str,
        method: bytes,
        path: str,
        body: bytes,
        version: Version,
        accept: str,
        passed: Passed,
        *,
        timeouts: Timeouts,
        deadline: float,
        is_repeatable: bool,
    ) -> Response:
        """Send a request to what is at ``path`` below ``url``, which may have a query of its own.

        :raises GatewayError: it cannot be reached, or is elsewhere
        """
        address, is_own = self._address(url)
        lines = _lines(version, accept, passed, is_own=is_own)

        async def ask(target: str) -> Response:
            return await address.send(
                method, target, body, lines, timeouts=timeouts, deadline=deadline, is_repeatable=is_repeatable
            )

        target = joined(address.target, path)
        response = await ask(self._moved.get((url, target), target))
        if not 300 <= response.status < 400:
            return response
        moved = slashed(address.url, target, response)
        await beginning(response)
        response = await ask(moved)
        if 300 <= response.status < 400:
            response.abort()
            raise _redirected()
        if len(self._moved) < MAX_PLACES:
            self._moved[url, target] = moved
        return response

    def _address(self, url: str) -> tuple[Address, bool]:
        """:raises UpstreamBroken: it cannot be called"""
        found = self._known.get(url)
        if found is None:
            try:
                is_own, upstream = parse_origin(url) in self._origins, self._host(url)
            except ValueError as error:
                raise UpstreamBroken("The agent's card names an address that cannot be called") from error
            address = Address(
                upstream=upstream,
                url=url,
                who=WHO,
                headers=self._settings.static_headers if is_own else {},
                credential=self._credential if is_own else None,
                max_bytes=self._settings.max_result_bytes,
            )
            found = address, is_own
            if len(self._known) >= MAX_PLACES:
                self._known.clear()
            self._known[url] = found
        return found


class Veil:
    """Takes addresses and credentials of an agent out of what is told of a failure."""

    def __init__(self, settings: AgentSettings) -> None:
        found: set[str] = set()
        others = settings.card_url, settings.auth.token_url
        for url in (*replicas_of(settings), *settings.allowed_origins, *others):
            found |= names_of(url) if url else set()
        secrets = [*secrets_of(settings), *settings.static_headers.values()]
        found.update(one for one in secrets if len(one) >= SHORTEST_SECRET)
        every = sorted(found, key=len, reverse=True)
        self._hidden = re.compile("|".join(map(re.escape, every)), re.IGNORECASE) if every else None

    def text(self, text: str) -> str:
        """The same without them."""
        if self._hidden is not None:
            text = self._hidden.sub(WHO, text)
        return _TOKEN.sub(r"\1 ...", text)

    def over(self, error: E) -> E:
        """The same failure, telling of an agent and not where it is."""
        if isinstance(error, GatewayError):
            text = _TEXTS.get(type(error))
            error.message = text if text and error.message == type(error).__doc__ else self.text(error.message)
            error.args = (error.message,)
            error.operator_detail = None if error.operator_detail is None else self.text(error.operator_detail)
        elif isinstance(error, RpcError):
            error.message = self.text(error.message)
            error.args = (error.message,)
            error.data = self._value(error.data)
        return error

    def _value(self, value: Any) -> Any:
        if value is None:
            return None
        told = msgspec.json.encode(value).decode()
        hidden = self.text(told)
        return value if hidden == told else msgspec.json.decode(hidden)


def replicas_of(settings: AgentSettings) -> tuple[str, ...]:
    """All registered addresses of an agent."""
    return tuple(dict.fromkeys(one for one in (settings.url, *settings.replicas) if one))


def at_replica(url: str, home: str, replica: str) -> str:
    """The address that an interface has at another replica: what follows the registered one stays as it is."""
    if replica == home:
        return url
    base = home.rstrip("/")
    if url == base or url.startswith((base + "/", base + "?")):
        return replica.rstrip("/") + url[len(base) :]
    if parse_origin(url) != parse_origin(home):
        return url
    parts = urlsplit(replica)
    return f"{parts.scheme}://{parts.netloc}{target_of(url)}"


def joined(target: str, path: str) -> str:
    """A path below another one, with what both ask for."""
    if not path:
        return target
    base, _, asked = target.partition("?")
    below, _, more = path.partition("?")
    query = "&".join(one for one in (asked, more) if one)
    return base.rstrip("/") + below + (f"?{query}" if query else "")


def slashed(url: str, target: str, response: Response) -> str:
    """Where a redirect leads that is about a slash at the end alone: nothing is sent to another host because of it.

    :raises UpstreamBroken: it is about more
    """
    location = (response.header(b"location") or b"").decode("latin-1")
    try:
        parts = urlsplit(urljoin(url, location))
        is_near = bool(location) and parts.hostname == urlsplit(url).hostname
    except ValueError:
        is_near = False
    path, mark, query = target.partition("?")
    if not is_near or parts.path == path or parts.path.rstrip("/") != path.rstrip("/"):
        response.abort()
        raise _redirected()
    return parts.path + mark + query


def names_of(url: str) -> set[str]:
    """How an address can be called: as a whole, and by its host; by that alone only if it cannot be a usual word."""
    try:
        origin, parts = parse_origin(url), urlsplit(url)
    except ValueError:
        return {url}
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    found = {url, url.rstrip("/"), f"{parts.scheme}://{parts.netloc}", f"{host}:{origin.port}"}
    if "." in origin.host or ":" in origin.host:
        found.add(origin.host)
    return found


def _lines(version: Version, accept: str, passed: Passed, *, is_own: bool) -> Lines:
    lines = {name: value for name, value in passed.headers.items() if is_own or name in PUBLIC}
    lines |= {"content-type": "application/json", "accept": accept, VERSION: version}
    if version == "0.3" and EXTENSIONS in lines:
        lines[LEGACY_EXTENSIONS] = lines[EXTENSIONS]
    return lines


def _redirected() -> UpstreamBroken:
    return UpstreamBroken("The agent redirected the request, which is not followed")
