from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from unit.upstream.credentials.scripted import Clock, TokenServer

from pointsman.errors import UpstreamRejected
from pointsman.upstream.credentials.calls import Calls
from pointsman.upstream.credentials.google import Google
from pointsman.wire.identity import GoogleIdentity
from pointsman.wire.secret import Secret

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
TOKEN = {"access_token": "ya29", "expires_in": 3599, "token_type": "Bearer"}


def account(url: str) -> dict[str, str]:
    return {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "k1",
        "private_key": PEM,
        "client_email": "bot@p.iam.gserviceaccount.com",
        "token_uri": f"{url}/token",
    }


def decoded(part: str) -> Any:
    return msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@pytest.mark.requirement("credentials.google")
async def test_a_service_account_signs_its_claim(calls: Calls, server: TokenServer, clock: Clock) -> None:
    server.answer(TOKEN)
    text = msgspec.json.encode(account(server.url)).decode()
    lease = await Google(GoogleIdentity(credentials=Secret(text)), calls, clock).fetch()
    assert (lease.value, lease.expires_at) == (b"authorization: Bearer ya29\r\n", clock.now + 3599)
    form = server.asked[0].form
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, claims, signature = form["assertion"].split(".")
    assert decoded(head) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert decoded(claims) == {
        "iss": "bot@p.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": f"{server.url}/token",
        "iat": clock.now,
        "exp": clock.now + 3600,
    }
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    KEY.public_key().verify(raw, f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.requirement("credentials.google")
async def test_a_login_of_gcloud_is_refreshed_and_billed_to_its_project(
    calls: Calls, server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "application_default_credentials.json"
    login = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    more = {"quota_project_id": "billed", "token_uri": server.url}
    path.write_bytes(msgspec.json.encode(login | more))
    server.answer(TOKEN)
    lease = await Google(GoogleIdentity(file=str(path)), calls, clock).fetch()
    assert lease.value == b"authorization: Bearer ya29\r\nx-goog-user-project: billed\r\n"
    expected = {"grant_type": "refresh_token", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    assert server.asked[0].form == expected


@pytest.mark.requirement("credentials.google")
async def test_a_machine_of_google_asks_its_metadata_server(calls: Calls, server: TokenServer, clock: Clock) -> None:
    server.answer(TOKEN)
    host = server.url.removeprefix("http://")
    lease = await Google(GoogleIdentity(metadata_host=host), calls, clock).fetch()
    assert lease.value == b"authorization: Bearer ya29\r\n"
    (asked,) = server.asked
    assert asked.target == "/computeMetadata/v1/instance/service-accounts/default/token"
    assert asked.headers["metadata-flavor"] == "Google"


@pytest.mark.requirement("credentials.no-secret-in-errors")
@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        "{}",
        '{"type": "external_account"}',
        '{"type": "authorized_user", "client_id": "c"}',
        '{"type": "service_account", "client_email": "e"}',
        '{"type": "service_account", "client_email": "e", "private_key": "confidential"}',
    ],
)
async def test_credentials_that_are_none_are_told_without_their_text(calls: Calls, clock: Clock, text: str) -> None:
    with pytest.raises(UpstreamRejected) as caught:
        await Google(GoogleIdentity(credentials=Secret(text)), calls, clock).fetch()
    assert "confidential" not in str(caught.value.operator_detail)


async def test_a_file_that_is_not_there_is_named(calls: Calls, clock: Clock, tmp_path: Path) -> None:
    path = str(tmp_path / "absent.json")
    with pytest.raises(UpstreamRejected) as caught:
        await Google(GoogleIdentity(file=path), calls, clock).fetch()
    assert path in str(caught.value.operator_detail)
