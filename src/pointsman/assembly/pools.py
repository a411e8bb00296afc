"""The ways to servers and agents over HTTP: those of the operator, and those that somebody else has named."""

from __future__ import annotations

from collections.abc import Iterable

from pointsman.access.places import origin_of
from pointsman.assembly.site import Site
from pointsman.upstream.guard import Guard
from pointsman.upstream.pool import Pool
from pointsman.upstream.routes import parse_origin
from pointsman.upstream.settings import UpstreamSettings
from pointsman.upstream.web import PoolWeb, Web


class Pools:
    """Connections of different trust are never shared."""

    def __init__(self, allowed_private: tuple[str, ...], upstream: UpstreamSettings, site: Site) -> None:
        """``allowed_private`` are networks and hosts that anybody may name although they are private."""
        self._allowed = allowed_private
        self._settings = upstream
        guard = Guard(allowed_private)
        self._trusted = Pool(upstream, site.sweeper, site.outbox)
        self._guarded = Pool(upstream, site.sweeper, site.outbox, guard=guard)
        self._visited = Pool(upstream, site.sweeper, site.outbox, guard=guard)
        # Questions that are asked now and then have their own, which keep no connections.
        self._near = Pool(upstream, site.sweeper, site.outbox)
        self._far = Pool(upstream, site.sweeper, site.outbox, guard=guard)

    def serve(self, allowed_private: tuple[str, ...], upstream: UpstreamSettings) -> bool:
        """Whether they are as these settings want them."""
        return self._settings == upstream and self._allowed == allowed_private

    def calls(self, *, is_trusted: bool) -> Pool:
        """For whom the operator has named, and for all others."""
        return self._trusted if is_trusted else self._guarded

    @property
    def visits(self) -> Pool:
        """For whom somebody has named for one request."""
        return self._visited

    def leave(self, url: str) -> None:
        """Keep no connection to somebody who was called for one request."""
        self._visited.give_up([parse_origin(url)])

    def web(self, own: Iterable[str], *, is_trusted: bool, max_bytes: int | None = None) -> Web:
        """The way for questions; only ``own`` addresses are trusted, of whom the operator has named."""
        origins = {origin_of(url) for url in own if url}

        def pool_of(url: str) -> Pool:
            return self._near if is_trusted and origin_of(url) in origins else self._far

        return PoolWeb(pool_of) if max_bytes is None else PoolWeb(pool_of, max_bytes)

    @property
    def hooks(self) -> PoolWeb:
        """The way to webhooks, which clients have named."""
        return PoolWeb(lambda _: self._far)

    def retire(self) -> None:
        """Keep no connection any more but those that have a request."""
        self._trusted.retire()
        self._guarded.retire()
        self._visited.retire()

    async def close(self) -> None:
        """End all connections."""
        for pool in (self._trusted, self._guarded, self._visited, self._near, self._far):
            await pool.close()
