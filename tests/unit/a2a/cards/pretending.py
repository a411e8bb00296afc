"""Sites with cards that only exist here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pointsman.errors import UpstreamUnreachable
from pointsman.upstream.web import Answer


def card_of(at: str, /, **more: Any) -> dict[str, Any]:
    """A card of version 1.0."""
    return {
        "name": "Echo",
        "description": "Says it again",
        "version": "2.1.0",
        "supportedInterfaces": [{"url": at, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        "capabilities": {"streaming": True},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "echo", "name": "Echo", "description": "Says it again", "tags": ["echo"]}],
        **more,
    }


class Site:
    """See :class:`~pointsman.upstream.web.Web`."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.is_away = False
        self.away: set[str] = set()
        """Hosts that cannot be reached."""

    def put(self, url: str, page: Any, headers: Mapping[str, str] | None = None, *, status: int = 200) -> None:
        body = page if isinstance(page, bytes) else msgspec.json.encode(page)
        self.pages[url] = Answer(url, status, body, headers or {})

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        self.asked.append(url)
        self.headers.append(headers or {})
        if self.is_away or urlsplit(url).hostname in self.away:
            raise UpstreamUnreachable(operator_detail="no route")
        return self.pages.get(url) or Answer(url, 404, b"<h1>Not found</h1>")

    async def post_form(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        raise AssertionError

    async def post_json(self, url: str, value: Any) -> Answer:
        raise AssertionError
