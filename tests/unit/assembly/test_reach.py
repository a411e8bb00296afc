from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pointsman.assembly.reach import Reach, origins_of
from pointsman.providers.base import Deployment, Vendor
from pointsman.upstream.credentials.signed import Signed
from pointsman.upstream.litellm import BASE_URL, Litellm
from pointsman.upstream.loopback import Loopback
from pointsman.upstream.pool import Host
from pointsman.upstream.settings import Proxies, Timeouts, UpstreamSettings
from pointsman.wire.identity import AzureIdentity
from pointsman.wire.secret import Secret


def deployment(base_url: str, **more: Any) -> Deployment:
    return Deployment(
        id="i", model_name="m", vendor=Vendor(name="openai"), upstream_model="x", base_url=base_url, **more
    )


@pytest.fixture
async def make(rig: Any) -> Callable[..., Reach]:
    return lambda **settings: rig.lasting.reach_of(UpstreamSettings(**settings))


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (deployment("http://h/v1"), Host),
        (deployment("http://h/v1", identity=AzureIdentity(token=Secret("t"))), Signed),
        (deployment("demo:"), Loopback),
        (deployment("http://h/v1", mock_response="Hi"), Loopback),
        (deployment(BASE_URL), Litellm),
    ],
    ids=["host", "signed", "demo", "mock", "litellm"],
)
async def test_each_kind_of_deployment_has_its_way(make: Callable[..., Reach], given: Deployment, kind: type) -> None:
    assert isinstance(make().upstream_of(given, drops_params=False), kind)


async def test_only_what_is_not_said_with_each_request_makes_another_reach(make: Callable[..., Reach]) -> None:
    settings = UpstreamSettings()
    reach = make()
    assert reach.serves(msgspec.structs.replace(settings, timeouts=Timeouts(total=1.0)))
    assert not reach.serves(msgspec.structs.replace(settings, proxies=Proxies(http="http://p")))


async def test_equal_hosts_are_shared_until_they_are_given_up(make: Callable[..., Reach]) -> None:
    reach, one = make(), deployment("http://h/v1")
    before = reach.upstream_of(one, drops_params=False)
    assert reach.upstream_of(deployment("http://h/v2"), drops_params=False) is before
    reach.give_up(origins_of([one]))
    assert reach.upstream_of(one, drops_params=False) is not before
    reach.retire()
    await reach.close(0.1)


def test_only_hosts_are_origins() -> None:
    given = [deployment(url) for url in ("http://h/v1", "http://h/v2", "https://h", "demo:", BASE_URL, "")]
    assert sorted((one.scheme, one.port) for one in origins_of(given)) == [("http", 80), ("https", 443)]
