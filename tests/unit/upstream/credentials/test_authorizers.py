from __future__ import annotations

import pytest
from unit.upstream.credentials.scripted import Clock, TokenServer, sign

from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.credentials.authorizers import Authorizers
from pointsman.upstream.credentials.calls import Calls
from pointsman.wire.identity import AwsIdentity, AzureIdentity, GoogleIdentity
from pointsman.wire.secret import Secret


@pytest.fixture
def authorizers(calls: Calls, tasks: Tasks, clock: Clock) -> Authorizers:
    return Authorizers(calls, tasks, clock, sign)


async def test_deployments_of_one_identity_share_its_token(authorizers: Authorizers, server: TokenServer) -> None:
    server.answer({"access_token": "t", "expires_in": 60})
    host = server.url.removeprefix("http://")
    for _ in range(2):
        authorizer = authorizers.of(GoogleIdentity(metadata_host=host))
        assert await authorizer.authorize(b"POST", b"/", b"h", b"") == b"authorization: Bearer t\r\n"
    assert len(server.asked) == 1


async def test_each_cloud_has_its_way(authorizers: Authorizers, server: TokenServer) -> None:
    server.answer({"access_token": "entra", "expires_in": 60})
    azure = AzureIdentity(tenant_id="t", client_id="c", client_secret=Secret("s"), authority=server.url)
    assert await authorizers.of(azure).authorize(b"POST", b"/", b"h", b"") == b"authorization: Bearer entra\r\n"
    aws = AwsIdentity(region="eu-west-1", access_key_id="AK", secret_access_key=Secret("s"))
    assert b"signed POST /x host 1 by AK" in await authorizers.of(aws).authorize(b"POST", b"/x", b"h", b"1")


async def test_a_token_that_is_given_is_sent_as_it_is(authorizers: Authorizers) -> None:
    lines = await authorizers.of(AzureIdentity(token=Secret("own"))).authorize(b"POST", b"/", b"h", b"")
    assert lines == b"authorization: Bearer own\r\n"
