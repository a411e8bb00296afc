"""Asks an agent for its card, at the places where agents have it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urljoin, urlsplit, urlunsplit

import msgspec

from pointsman.a2a.settings import AgentSettings
from pointsman.errors import GatewayError
from pointsman.upstream.routes import Origin, parse_origin
from pointsman.upstream.web import Answer, Web

PLACES: Final = ("/.well-known/agent-card.json", "/.well-known/agent.json")
"""Of versions 0.3 and 1.0, and of those before."""
REDIRECTS: Final = frozenset({301, 302, 307, 308})
MAX_BYTES: Final = 262_144
"""Of a card."""
MAX_DEPTH: Final = 50
MAX_INTERFACES: Final = 50
_MAX_AGE: Final = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?([0-9]{1,9})")

WebOf = Callable[[AgentSettings], Web]
"""The way to an agent, and to those whom it names."""
LinesOf = Callable[[AgentSettings], Awaitable[Mapping[str, str]]]
"""What is shown to an agent, at its registered origin alone."""


class Page(msgspec.Struct, frozen=True):
    """A card as it was found."""

    url: str
    document: Mapping[str, Any]
    body: bytes
    etag: str = ""
    modified: str = ""
    seconds: float | None = None
    """For which it is good, if it says so."""


class NoCard(Exception):
    """There is none that can be used. The text is for the operator; ``plain`` is without any address."""

    def __init__(self, why: str, plain: str, *, is_there: bool) -> None:
        super().__init__(why)
        self.plain = plain
        self.is_there = is_there
        """Whether the agent has answered, and did not say that it is broken."""


def candidates(settings: AgentSettings) -> tuple[str, ...]:
    """Where a card may be, the most likely place first: below the agent's own address, then at the root of its host.

    Those of replicas come last.
    """
    if settings.card_url:
        return (settings.card_url,)
    found: list[str] = []
    for address in (settings.url, *settings.replicas):
        parts = urlsplit(address)
        paths = [prefix + place for place in PLACES for prefix in (parts.path.rstrip("/"), "")]
        found += [urlunsplit((parts.scheme, parts.netloc, path, parts.query, "")) for path in paths]
    return tuple(dict.fromkeys(found))


class Fetcher:
    """Fetches cards."""

    def __init__(self, web: WebOf, lines: LinesOf) -> None:
        self._web = web
        self._lines = lines

    async def fetch(self, settings: AgentSettings, before: Page | None = None) -> Page:
        """The card as it is now; ``before`` is what was found last.

        :raises NoCard: there is none
        """
        places = candidates(settings)
        if before is not None and before.url in places:
            places = (before.url, *(one for one in places if one != before.url))
        tried = _Tried()
        for url in places:
            if tried.is_away(url):
                continue
            try:
                answer = await self._ask(settings, url, before)
            except GatewayError as error:
                tried.note(url, error.operator_detail or error.message, is_there=None)
                continue
            try:
                return _page(url, answer, before)
            except ValueError as error:
                tried.note(url, str(error), is_there=answer.status < 500)
        raise NoCard("; ".join(tried.told), "; ".join(tried.plain), is_there=tried.is_anybody_there)

    async def _ask(self, settings: AgentSettings, url: str, before: Page | None) -> Answer:
        own = {parse_origin(one) for one in (settings.url, *settings.replicas)}
        headers = dict(await self._shown(settings)) if parse_origin(url) in own else {}
        if before is not None and before.url == url:
            conditions = {"if-none-match": before.etag, "if-modified-since": before.modified}
            headers |= {name: value for name, value in conditions.items() if value}
        web = self._web(settings)
        answer = await web.get(url, headers)
        target = _moved(url, answer)
        return answer if target is None else await web.get(target, headers)

    async def _shown(self, settings: AgentSettings) -> Mapping[str, str]:
        try:
            return await self._lines(settings)
        except GatewayError:
            # A card is open to everybody, as a rule.
            return {}


class _Tried:
    """Where there was no card."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.plain: list[str] = []
        self._found: dict[Origin, bool | None] = {}

    @property
    def is_anybody_there(self) -> bool:
        """Whether a host has answered, and never that it is broken."""
        return any(self._found.values())

    def is_away(self, url: str) -> bool:
        """Whether the host of an address could not be reached, so that it need not be asked again."""
        return self._found.get(parse_origin(url), True) is None

    def note(self, url: str, why: str, *, is_there: bool | None) -> None:
        """``is_there``: whether the answer says that the host is well; ``None``: there is no answer."""
        self.told.append(f"{urlsplit(url).path}: {why}")
        self.plain.append(f"{place_of(url)}: {'no answer' if is_there is None else why}")
        origin = parse_origin(url)
        self._found[origin] = is_there and self._found.get(origin, True)


def place_of(url: str) -> str:
    """A place of a card as anybody may read it: what else an address says can be a credential."""
    path = urlsplit(url).path
    return next((place for place in PLACES if path.endswith(place)), "card_url")


def _moved(url: str, answer: Answer) -> str | None:
    """Where a card is instead; ``None``: nowhere, or somewhere else than at the same origin."""
    if answer.status not in REDIRECTS:
        return None
    try:
        target = urljoin(url, answer.headers.get("location", ""))
        return target if target != url and parse_origin(target) == parse_origin(url) else None
    except ValueError:
        return None


def _page(url: str, answer: Answer, before: Page | None) -> Page:
    """:raises ValueError: there is no card"""
    if answer.status == 304 and before is not None and before.url == url:
        return msgspec.structs.replace(before, seconds=_seconds(answer.headers))
    if answer.status != 200:
        raise ValueError(f"status {answer.status}")
    document = read_card(answer.body)
    told = answer.headers
    return Page(
        url, document, answer.body, told.get("etag", ""), told.get("last-modified", ""), _seconds(answer.headers)
    )


def read_card(body: bytes) -> dict[str, Any]:
    """:raises ValueError: it is no card, or more than anybody would read"""
    if len(body) > MAX_BYTES:
        raise ValueError(f"that is longer than the {MAX_BYTES} bytes that a card may have")
    try:
        document = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ValueError("that is not a JSON object") from None
    if not isinstance(document.get("name"), str) or not document.keys() & {"url", "supportedInterfaces", "skills"}:
        raise ValueError("that is a JSON object, and not a card")
    told = document.get("supportedInterfaces")
    if _is_deep(document, MAX_DEPTH) or (isinstance(told, list) and len(told) > MAX_INTERFACES):
        raise ValueError("that is a card with more levels or interfaces than it may have")
    return document


def _is_deep(value: Any, levels: int) -> bool:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return levels == 0 or any(_is_deep(one, levels - 1) for one in inner)
    return False


def _seconds(headers: Mapping[str, str]) -> float | None:
    found = _MAX_AGE.search(headers.get("cache-control", "").lower())
    return None if found is None else float(found[1])
