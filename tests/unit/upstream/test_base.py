from __future__ import annotations

from pointsman.upstream.base import Upstream
from pointsman.upstream.deadlines import Sweeper
from pointsman.upstream.loopback import Loopback, Reply
from pointsman.upstream.pool import Pool
from pointsman.upstream.settings import UpstreamSettings


async def test_hosts_and_loopbacks_are_upstreams(sweeper: Sweeper) -> None:
    upstreams: list[Upstream] = [
        Pool(UpstreamSettings(), sweeper).host("http://a.test:8080"),
        Loopback(lambda method, target, body: Reply(status=200, headers=[]), b"a.test:8080"),
    ]
    assert [upstream.host_header for upstream in upstreams] == [b"a.test:8080", b"a.test:8080"]
