"""The public keys of identity providers: fetched when they are needed, and used until they are old.

Each address is asked by one task at a time, whoever waits for it. Keys that are older than their time go on while new
ones are fetched, for a while also when nobody answers. A token that names a key which is not there may come from a
provider that has just changed its keys: that asks again, every 30 seconds at most.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from pointsman.access.signatures import BadKeys, PublicKeys, claims_of, read_keys
from pointsman.access.tokens import Head, refused
from pointsman.errors import Overloaded, UpstreamError
from pointsman.telemetry.tasks import Tasks

log = logging.getLogger(__name__)

PAUSE = 30.0
"""Seconds between questions for the same keys."""
FIRST_PAUSE = 2.0
"""The same as long as there are none."""
GRACE = 3600.0
"""Seconds that keys go on beyond their time when nobody answers."""
PATIENCE = 5.0
"""Seconds that a request waits for keys."""

Ask = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Gives the JSON object at an address; raises ``UpstreamError``."""


class KeySets:
    """The keys at all addresses; its methods belong to the event loop."""

    def __init__(
        self, urls: Iterable[str], ask: Ask, tasks: Tasks, *, seconds: float, clock: Callable[[], float]
    ) -> None:
        """Keys are fetched anew when they are ``seconds`` old; ``clock`` is monotonic."""
        self._sources = [_Source(url, ask, tasks, seconds, clock) for url in urls]

    async def verified(self, token: bytes, head: Head) -> tuple[dict[str, Any], str | None]:
        """What a token says, and whose keys have proven it, where that is known.

        :raises Unauthenticated: it was not signed by any of them
        :raises Overloaded: there are no keys to tell by
        """
        for source in self._sources:
            source.freshen()
        is_any = self._has_fitting(head)
        if not is_any:
            await _landed(source.renew() for source in self._sources)
        for keys in self._keys():
            for key in keys.fitting(head):
                is_any = True
                claims = claims_of(token, head, key)
                if claims is not None:
                    return claims, keys.issuer
        if any(source.usable() is None for source in self._sources):
            raise Overloaded(
                "Tokens cannot be checked at the moment; try again", code="token_keys_unavailable", retry_after=1
            )
        raise refused("has a signature that does not fit" if is_any else "is signed with a key that nobody here knows")

    def _has_fitting(self, head: Head) -> bool:
        return any(True for keys in self._keys() for _ in keys.fitting(head))

    def _keys(self) -> list[PublicKeys]:
        return [keys for source in self._sources if (keys := source.usable()) is not None]


async def _landed(flights: Iterable[asyncio.Task[None] | None]) -> None:
    """Wait for those that are under way, but not for long."""
    waiting = [one for one in flights if one is not None]
    if waiting:
        await asyncio.wait(waiting, timeout=PATIENCE)


class _Source:
    """The keys at one address."""

    def __init__(self, url: str, ask: Ask, tasks: Tasks, seconds: float, clock: Callable[[], float]) -> None:
        self._url = url
        self._host = urlsplit(url).hostname
        self._ask = ask
        self._tasks = tasks
        self._seconds = seconds
        self._clock = clock
        self._keys: PublicKeys | None = None
        self._fetched = 0.0
        self._tried: float | None = None
        self._flight: asyncio.Task[None] | None = None
        self._is_away = False

    def usable(self) -> PublicKeys | None:
        """The keys, if they are not too old to be believed."""
        return self._keys if self._clock() < self._fetched + self._seconds + GRACE else None

    def freshen(self) -> None:
        """Have keys that are old, or not there, fetched beside the request."""
        if self._keys is None or self._clock() >= self._fetched + self._seconds:
            # Where there is too much to do the next request tries again.
            with suppress(Overloaded):
                self.renew()

    def renew(self) -> asyncio.Task[None] | None:
        """The task that fetches them, unless they were asked for just before.

        :raises Overloaded: there is too much to do
        """
        pause = FIRST_PAUSE if self.usable() is None else PAUSE
        if self._flight is None and (self._tried is None or self._clock() >= self._tried + pause):
            self._flight = self._tasks.start(self._run(), "keys of tokens")
            self._tried = self._clock()
        return self._flight

    async def _run(self) -> None:
        try:
            self._keys = await self._fetch()
            self._fetched = self._clock()
            if self._is_away:
                log.warning("the keys of tokens at %s are there again", self._host)
            self._is_away = False
        except (UpstreamError, BadKeys) as error:
            why = error.operator_detail if isinstance(error, UpstreamError) else error
            if not self._is_away:
                log.warning("the keys of tokens at %s cannot be had: %s", self._host, why)
            self._is_away = True
        finally:
            self._flight = None

    async def _fetch(self) -> PublicKeys:
        """The keys at the address, or at the one that an OpenID configuration names."""
        document = await self._ask(self._url)
        issuer, url = document.get("issuer"), document.get("jwks_uri")
        if "keys" in document or not isinstance(url, str):
            return read_keys(document)
        if not url.startswith("https://") and self._url.startswith("https://"):
            raise BadKeys("its OpenID configuration names an address that is not https")
        return read_keys(await self._ask(url), issuer if isinstance(issuer, str) else None)
