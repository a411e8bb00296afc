"""Small questions to who gives credentials, and what can be told of their answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from pointsman.errors import UpstreamError
from pointsman.upstream.credentials.base import refused, unavailable
from pointsman.upstream.h1 import header_lines, request_head
from pointsman.upstream.pool import Pool
from pointsman.upstream.settings import Timeouts

MAX_ANSWER_BYTES = 262_144
TIMEOUTS = Timeouts(connect=5.0, first_byte=10.0, idle=5.0, total=15.0)
LOCAL_TIMEOUTS = Timeouts(connect=2.0, first_byte=5.0, idle=2.0, total=8.0)
"""Of a metadata service, which is near or not there at all."""
FORM = (b"content-type", b"application/x-www-form-urlencoded")
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    asked: str
    """Who was asked, for the operator."""
    status: int
    body: bytes

    def fields(self) -> dict[str, Any]:
        """The JSON object of an answer with status 200.

        :raises UpstreamError: it is another one
        """
        try:
            found: dict[str, Any] = msgspec.json.decode(self.body, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            found = {}
        if self.status != 200:
            raise self.failure(found.get("error"))
        if not found:
            raise unavailable(f"{self.asked} answered with something that is no JSON object")
        return found

    def text(self) -> str:
        """The first line of an answer with status 200.

        :raises UpstreamError: it is another one
        """
        found = self.body.decode(errors="replace").strip().partition("\n")[0].rstrip()
        if self.status != 200:
            raise self.failure()
        if not found or not found.isprintable():
            raise unavailable(f"{self.asked} answered with something that is no name")
        return found

    def failure(self, label: object = None) -> UpstreamError:
        """The failure that this answer is; of its text only ``label`` is told, if it can be one."""
        shown = f" ({label})" if isinstance(label, str) and _LABEL.fullmatch(label) else ""
        detail = f"{self.asked} answered with status {self.status}{shown}"
        is_final = 400 <= self.status < 500 and self.status not in {408, 429}
        return refused(detail) if is_final else unavailable(detail)


class Calls:
    """The upstream client as it is used here; ``direct`` is a pool that knows no proxy."""

    def __init__(self, pool: Pool, direct: Pool) -> None:
        self._pool = pool
        self._direct = direct

    async def get(self, url: str, headers: Mapping[str, str], *, method: bytes = b"GET") -> Answer:
        """Ask a service of this machine."""
        lines = [(name.encode(), value.encode()) for name, value in headers.items()]
        return await self._ask(self._direct, method, url, lines, b"", LOCAL_TIMEOUTS)

    async def post(self, url: str, form: Mapping[str, str], lines: bytes = b"") -> Answer:
        """Ask a token service; ``lines`` are more header lines."""
        return await self._ask(self._pool, b"POST", url, [FORM], urlencode(form).encode(), TIMEOUTS, lines)

    async def read(self, url: str) -> dict[str, Any]:
        """The JSON object at an address.

        :raises UpstreamError: there is none
        """
        return (await self._ask(self._pool, b"GET", url, [], b"", TIMEOUTS)).fields()

    async def _ask(
        self,
        pool: Pool,
        method: bytes,
        url: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        timeouts: Timeouts,
        lines: bytes = b"",
    ) -> Answer:
        try:
            parts = urlsplit(url)
            host = pool.host(url)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            fixed = header_lines([(b"accept", b"application/json"), *headers]) + lines
            head = request_head(method, target.encode("ascii"), host.host_header, fixed)
        except ValueError as error:
            raise refused("a credential is to be got from an address that cannot be called") from error
        try:
            response = await host.send(head, body, timeouts=timeouts)
            return Answer(host.name, response.status, await response.read(MAX_ANSWER_BYTES))
        except UpstreamError as error:
            # Whatever became of this question, the request itself has not been sent.
            raise unavailable(error.operator_detail) from error
