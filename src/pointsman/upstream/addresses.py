"""An address, the credential for it, and what its answers mean: for servers and agents, which others have named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec

from pointsman import __version__
from pointsman.errors import UpstreamBroken, UpstreamRejected
from pointsman.upstream.h1 import header_lines, request_head
from pointsman.upstream.response import Response
from pointsman.upstream.settings import Timeouts

JSON: Final = b"application/json"
EVENTS: Final = b"text/event-stream"
USER_AGENT: Final = f"pointsman/{__version__}"
"""Some servers refuse who has none."""
MAX_ERROR_BYTES: Final = 65_536
MAX_TOLD: Final = 500
"""Characters of a failure's body that the operator sees."""
CALL: Final = Timeouts(connect=10.0, first_byte=86_400.0, idle=86_400.0, total=86_400.0)
"""How long a call may take is said by its deadline alone: servers are silent while somebody is asked."""

Lines = Mapping[str, str]


class Carrier(Protocol):
    """Whoever sends requests there: a host of the pool."""

    @property
    def host_header(self) -> bytes: ...

    async def send(
        self, head: bytes, body: bytes, *, timeouts: Timeouts, deadline: float | None, is_repeatable: bool
    ) -> Response:
        """See :meth:`pointsman.upstream.pool.Host.send`."""


class Credential(Protocol):
    """What the gateway shows there, so that it is let in. A ``caller`` is for whom it asks; here nobody looks at it."""

    async def lines(self, caller: Any) -> Lines:
        """Header fields for a request on behalf of ``caller``.

        :raises GatewayError: there is none, and what has to be done (such as opening a link) stands in its message
        """

    async def renew(self, caller: Any, status: int, challenge: str) -> bool:
        """Try to get a better one after the last was refused; whether it is worth another try.

        That was with 401, or with 403 because a scope is missing; ``challenge`` is the ``WWW-Authenticate``.
        """


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody is, and as whom it is called."""

    upstream: Carrier
    url: str
    who: str
    """What it is called in failures, with its article."""
    headers: Lines = {}
    """Sent with every request."""
    credential: Credential | None = None
    caller: Any = None
    """For whom the credential is."""
    max_bytes: int = 10_000_000
    """Of one message that it sends."""

    @property
    def target(self) -> str:
        """Path and query."""
        return target_of(self.url)

    async def send(
        self,
        method: bytes,
        target: str,
        body: bytes,
        headers: Lines,
        *,
        deadline: float | None = None,
        timeouts: Timeouts = CALL,
        is_repeatable: bool = True,
    ) -> Response:
        """Send a request and give the answer, whose body is still to be taken.

        When the credential is not accepted there is one more try with a better one, if there is one.

        :raises GatewayError: it cannot be reached, or there is no credential
        """
        renewed: set[int] = set()
        while True:
            head = await self._head(method, target, headers)
            response = await self.upstream.send(
                head, body, timeouts=timeouts, deadline=deadline, is_repeatable=is_repeatable
            )
            if not await self._renews(response, renewed):
                return response
            renewed.add(response.status)
            response.abort()

    async def _head(self, method: bytes, target: str, headers: Lines) -> bytes:
        lines = {"user-agent": USER_AGENT}
        lines.update((name.lower(), value) for name, value in self.headers.items())
        lines.update((name.lower(), value) for name, value in headers.items())
        if self.credential is not None:
            shown = await self.credential.lines(self.caller)
            lines.update((name.lower(), value) for name, value in shown.items())
        try:
            pairs = [(name.encode("ascii"), value.encode("latin-1")) for name, value in lines.items()]
            return request_head(method, target.encode("ascii"), self.upstream.host_header, header_lines(pairs))
        except (ValueError, UnicodeError) as error:
            raise UpstreamBroken(f"A header or the address of {self.who} cannot be sent") from error

    async def _renews(self, response: Response, renewed: set[int]) -> bool:
        if self.credential is None or response.status not in (401, 403) or response.status in renewed:
            return False
        challenge = text_of(response, b"www-authenticate")
        if response.status == 403 and "insufficient_scope" not in challenge:
            return False
        return await self.credential.renew(self.caller, response.status, challenge)


async def whole(response: Response, limit: int, who: str) -> bytes:
    """The body of an answer.

    :raises GatewayError: it is too long, or was cut
    """
    found = response.whole(JSON)
    if found is not None and len(found) <= limit:
        return found
    if found is not None or _length(response) > limit:
        response.abort()
        raise UpstreamBroken(f"{_begun(who)}'s answer is longer than the {limit} bytes that are allowed")
    return await response.read(limit)


async def beginning(response: Response) -> bytes:
    """The body of a refusal; empty where it cannot be had."""
    try:
        return await response.read(MAX_ERROR_BYTES)
    except UpstreamBroken:
        return b""


def refusal(response: Response, body: bytes, who: str) -> UpstreamRejected:
    """The failure that stands for a refusal."""
    status = response.status
    is_auth = status in (401, 403)
    retry_after = text_of(response, b"retry-after")
    told = body[:MAX_TOLD].decode(errors="replace")
    return UpstreamRejected(
        f"{_begun(who)} refused the gateway's credential"
        if is_auth
        else f"{_begun(who)} refused the request with status {status}",
        status=status,
        kind="authentication_error" if is_auth else "upstream_error",
        code="upstream_unauthorized" if is_auth else "upstream_rejected",
        is_retryable=status in (408, 429) or status >= 500,
        operator_detail=f"{status} {text_of(response, b'www-authenticate')} {told}",
        retry_after=float(retry_after) if retry_after.isdecimal() else None,
    )


def kind_of(response: Response) -> bytes:
    """The media type of an answer, in lower case and without parameters."""
    return (response.header(b"content-type") or b"").partition(b";")[0].strip().lower()


def target_of(url: str) -> str:
    """Path and query of an address."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def text_of(response: Response, name: bytes) -> str:
    """A header of an answer; empty: it has none of that name."""
    return (response.header(name) or b"").decode("latin-1")


def _begun(who: str) -> str:
    return who[:1].upper() + who[1:]


def _length(response: Response) -> int:
    found = response.header(b"content-length") or b""
    return int(found) if found.isdigit() else 0
