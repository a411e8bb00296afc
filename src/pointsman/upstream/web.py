"""Questions to addresses that others have told: of authorization servers, of cards and keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from pointsman.errors import UpstreamBroken, UpstreamError, UpstreamRejected, UpstreamUnreachable
from pointsman.upstream.h1 import header_lines, request_head
from pointsman.upstream.pool import Pool
from pointsman.upstream.response import Response
from pointsman.upstream.routes import parse_origin
from pointsman.upstream.settings import Timeouts

T = TypeVar("T")
MAX_BYTES: Final = 262_144
TIMEOUTS: Final = Timeouts(connect=5.0, first_byte=15.0, idle=5.0, total=20.0)
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    asked: str
    """Who was asked: scheme, name and port."""
    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    """With lower-cased names; of each the first value."""

    def read(self, kind: type[T]) -> T:
        """The body as what it has to be.

        :raises UpstreamBroken: it is something else
        """
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamBroken(f"{self.asked} answered with something else than it should") from error

    def error(self) -> str:
        """The ``error`` that it names; empty: none."""
        try:
            found = msgspec.json.decode(self.body, type=_Failed).error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return ""
        return found[:100] if found.isprintable() else ""

    def refusal(self) -> UpstreamError:
        """The failure that it is."""
        word = self.error()
        detail = f"{self.asked} answered with status {self.status}" + (f": {word}" if word else "")
        if self.status >= 500 or self.status in (408, 429):
            return UpstreamUnreachable("The authorization server cannot answer now; try again", operator_detail=detail)
        return UpstreamRejected(
            "The authorization server gave no token" + (f": {word}" if word else ""),
            status=401,
            kind="authentication_error",
            code="upstream_credential_refused",
            operator_detail=detail,
        )


class Web(Protocol):
    """Asks."""

    async def get(self, url: str, headers: Mapping[str, str] = {}) -> Answer:
        """:raises UpstreamUnreachable: there is no answer, or the address may not be called"""

    async def post_form(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """:raises UpstreamUnreachable: there is no answer, or the address may not be called"""

    async def post_json(self, url: str, value: Any) -> Answer:
        """:raises UpstreamUnreachable: there is no answer, or the address may not be called"""


class PoolWeb:
    """Asks over pools that keep no connection afterwards; redirects are refusals."""

    def __init__(self, pool_of: Callable[[str], Pool], max_bytes: int = MAX_BYTES) -> None:
        """``pool_of`` says over which pool an address is asked; ``max_bytes`` bounds an answer."""
        self._pool_of = pool_of
        self._max_bytes = max_bytes

    async def get(self, url: str, headers: Mapping[str, str] = {}) -> Answer:
        """See :class:`Web`."""
        return await self._ask(b"GET", url, headers, b"")

    async def post_form(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """See :class:`Web`."""
        return await self._ask(b"POST", url, {"content-type": FORM, **headers}, urlencode(form).encode())

    async def post_json(self, url: str, value: Any) -> Answer:
        """See :class:`Web`."""
        return await self._ask(b"POST", url, {"content-type": JSON}, msgspec.json.encode(value))

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer, of which nothing else is wanted.

        :raises UpstreamUnreachable: there is no answer, or the address may not be called
        """
        return (await self._ask(b"POST", url, headers, body, is_read=False)).status

    async def _ask(
        self, method: bytes, url: str, headers: Mapping[str, str], body: bytes, *, is_read: bool = True
    ) -> Answer:
        try:
            origin, parts = parse_origin(url), urlsplit(url)
            pool = self._pool_of(url)
            host = pool.host(url)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            every = {"accept": JSON} | {name.lower(): value for name, value in headers.items()}
            lines = [(name.encode(), value.encode("latin-1")) for name, value in every.items()]
            fixed = header_lines(lines)
            head = request_head(method, target.encode("ascii"), host.host_header, fixed)
        except ValueError as error:
            detail = f"{url[:200]}: {error}"
            raise UpstreamUnreachable("That address cannot be called", operator_detail=detail) from error
        asked = f"{parts.scheme}://{parts.netloc}"
        try:
            response = await host.send(head, body, timeouts=TIMEOUTS)
            if not is_read:
                response.abort()
                return Answer(asked, response.status, b"")
            return Answer(asked, response.status, await response.read(self._max_bytes), _told(response))
        except UpstreamError as error:
            detail = f"{asked}: {error.operator_detail or error.message}"
            raise UpstreamUnreachable("An authorization server cannot be reached", operator_detail=detail) from error
        finally:
            # Whom servers name is many, and asked seldom.
            pool.give_up([origin])


class _Failed(msgspec.Struct):
    error: str = ""


def _told(response: Response) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in response.headers:
        found.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return found
