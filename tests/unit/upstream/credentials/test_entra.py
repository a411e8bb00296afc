from __future__ import annotations

from pathlib import Path

import pytest
from unit.upstream.credentials.scripted import Clock, TokenServer

from pointsman.errors import UpstreamRejected, UpstreamUnreachable
from pointsman.upstream.credentials.calls import Calls
from pointsman.upstream.credentials.entra import Entra
from pointsman.wire.identity import AzureIdentity
from pointsman.wire.secret import Secret

TOKEN = {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": "eyJ"}
LINES = b"authorization: Bearer eyJ\r\n"


@pytest.mark.requirement("credentials.azure")
async def test_an_application_shows_its_secret(calls: Calls, server: TokenServer, clock: Clock) -> None:
    server.answer(TOKEN)
    identity = AzureIdentity(
        tenant_id="t/../x", client_id="app", client_secret=Secret("s&ret"), authority=server.url + "/"
    )
    lease = await Entra(identity, calls, clock).fetch()
    assert (lease.value, lease.expires_at) == (LINES, clock.now + 3599)
    (asked,) = server.asked
    assert (asked.method, asked.target) == ("POST", "/t%2F..%2Fx/oauth2/v2.0/token")
    assert asked.form == {
        "grant_type": "client_credentials",
        "client_id": "app",
        "client_secret": "s&ret",
        "scope": "https://cognitiveservices.azure.com/.default",
    }


@pytest.mark.requirement("credentials.azure")
async def test_a_workload_shows_the_federated_token_of_its_file_as_it_is_now(
    calls: Calls, server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    identity = AzureIdentity(tenant_id="t", client_id="app", token_file=str(path), authority=server.url, scope="s")
    entra = Entra(identity, calls, clock)
    for federated in ("one", "two"):
        path.write_text(federated + "\n")
        server.answer(TOKEN)
        await entra.fetch()
        form = server.asked[-1].form
        assert form["client_assertion"] == federated
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        assert form["scope"] == "s"


@pytest.mark.requirement("credentials.azure")
async def test_a_machine_is_asked_for_the_token_of_its_own_identity(
    calls: Calls, server: TokenServer, clock: Clock
) -> None:
    server.answer({"access_token": "eyJ", "expires_in": "86399", "expires_on": str(int(clock.now) + 86_399)})
    lease = await Entra(AzureIdentity(client_id="mine", metadata_url=server.url), calls, clock).fetch()
    assert (lease.value, lease.expires_at) == (LINES, clock.now + 86_399)
    (asked,) = server.asked
    assert asked.method == "GET"
    assert asked.target == (
        "/metadata/identity/oauth2/token?resource=https%3A%2F%2Fcognitiveservices.azure.com"
        "&client_id=mine&api-version=2018-02-01"
    )
    assert asked.headers["metadata"] == "true"


async def test_app_service_is_asked_at_the_address_it_gives(calls: Calls, server: TokenServer, clock: Clock) -> None:
    server.answer({"access_token": "eyJ", "expires_on": str(int(clock.now) + 60)})
    identity = AzureIdentity(identity_endpoint=f"{server.url}/msi/token", identity_header=Secret("h"))
    lease = await Entra(identity, calls, clock).fetch()
    assert lease.expires_at == clock.now + 60
    (asked,) = server.asked
    assert asked.target.startswith("/msi/token?resource=")
    assert asked.target.endswith("&api-version=2019-08-01")
    assert asked.headers["x-identity-header"] == "h"


@pytest.mark.requirement("credentials.no-secret-in-errors")
async def test_a_wrong_secret_is_told_without_it(calls: Calls, server: TokenServer, clock: Clock) -> None:
    server.answer({"error": "invalid_client", "error_description": "AADSTS7000215: hidden"}, status=401)
    identity = AzureIdentity(tenant_id="t", client_id="a", client_secret=Secret("hidden"), authority=server.url)
    with pytest.raises(UpstreamRejected) as caught:
        await Entra(identity, calls, clock).fetch()
    assert "invalid_client" in str(caught.value.operator_detail)
    assert "hidden" not in f"{caught.value.message}{caught.value.operator_detail}"


async def test_a_service_that_is_down_may_be_asked_again(calls: Calls, server: TokenServer, clock: Clock) -> None:
    server.answer("oops", status=503)
    identity = AzureIdentity(tenant_id="t", client_id="a", client_secret=Secret("s"), authority=server.url)
    with pytest.raises(UpstreamUnreachable):
        await Entra(identity, calls, clock).fetch()


async def test_an_application_without_tenant_asks_nobody(calls: Calls, server: TokenServer, clock: Clock) -> None:
    identity = AzureIdentity(client_id="a", client_secret=Secret("s"), authority=server.url)
    with pytest.raises(UpstreamRejected):
        await Entra(identity, calls, clock).fetch()
    assert server.asked == []
