from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pointsman.assembly.pools import Pools
from pointsman.errors import UpstreamUnreachable
from pointsman.upstream.settings import UpstreamSettings

NEAR = "http://127.0.0.1:1"


@pytest.fixture
async def pools(rig: Any) -> AsyncIterator[Pools]:
    rig.sweeper.start()
    made = Pools(("10.0.0.0/8",), UpstreamSettings(), rig.site)
    yield made
    await made.close()
    rig.sweeper.stop()


def test_they_serve_those_who_want_the_same(pools: Pools) -> None:
    assert pools.serve(("10.0.0.0/8",), UpstreamSettings())
    assert not pools.serve((), UpstreamSettings())
    assert not pools.serve(("10.0.0.0/8",), UpstreamSettings(keepalive=1.0))


def test_connections_of_different_trust_are_not_shared(pools: Pools) -> None:
    hosts = [pool.host(NEAR) for pool in (pools.calls(is_trusted=True), pools.calls(is_trusted=False), pools.visits)]
    assert len({id(one) for one in hosts}) == 3


@pytest.mark.parametrize(
    ("own", "is_trusted", "is_near"), [((NEAR, ""), True, True), ((), True, False), ((NEAR,), False, False)]
)
async def test_only_own_addresses_of_whom_the_operator_has_named_may_be_private(
    pools: Pools, own: Any, is_trusted: bool, is_near: bool
) -> None:
    with pytest.raises(UpstreamUnreachable) as error:
        await pools.web(own, is_trusted=is_trusted, max_bytes=10).get(NEAR)
    assert ("no public address" in str(error.value.operator_detail)) is not is_near


async def test_who_was_visited_is_left_without_a_trace(pools: Pools) -> None:
    host = pools.visits.host(NEAR)
    pools.leave(NEAR)
    assert pools.visits.host(NEAR) is not host
    pools.retire()
