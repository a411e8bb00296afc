from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from unit.upstream.credentials.scripted import Clock, TokenServer, sign

from pointsman.errors import UpstreamRejected
from pointsman.telemetry.tasks import Tasks
from pointsman.upstream.credentials.aws import FILE_LIFE, MAX_SOURCES, Aws, Signing
from pointsman.upstream.credentials.base import Lease
from pointsman.upstream.credentials.caching import Cached
from pointsman.upstream.credentials.calls import Calls
from pointsman.upstream.credentials.sts import AwsKeys
from pointsman.wire.identity import AwsIdentity
from pointsman.wire.secret import Secret

ROLE = "arn:aws:iam::1:role/r"
TEMPORARY = {
    "Code": "Success",
    "AccessKeyId": "ASIA",
    "SecretAccessKey": "s",
    "Token": "t",
    "Expiration": "2023-11-14T23:13:20Z",
}
ASSUMED = (
    "<AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
    "<SessionToken>t</SessionToken><Expiration>2023-11-14T23:13:20Z</Expiration>"
)


def signer_of(authorization: str) -> str:
    return authorization.rpartition(" by ")[2].partition("/")[0]


def identity(**fields: Any) -> AwsIdentity:
    return AwsIdentity(**{"region": "eu-west-1", "metadata_url": None} | fields)


@pytest.mark.requirement("credentials.aws")
async def test_keys_are_used_as_they_are(calls: Calls, clock: Clock) -> None:
    own = identity(access_key_id="AK", secret_access_key=Secret("s"), session_token=Secret("t"))
    assert await Aws(own, calls, sign, clock).fetch() == Lease(AwsKeys("AK", "s", "t"), math.inf)


async def test_keys_assume_a_role(calls: Calls, server: TokenServer, clock: Clock) -> None:
    server.answer(ASSUMED)
    own = identity(access_key_id="AK", secret_access_key=Secret("s"), role_arn=ROLE, sts_url=server.url)
    lease = await Aws(own, calls, sign, clock).fetch()
    assert lease.value.access_key_id == "ROLE"
    assert signer_of(server.asked[0].headers["authorization"]) == "AK"
    assert server.asked[0].form["RoleSessionName"] == "pointsman"


async def test_a_web_identity_may_assume_one_more_role(
    calls: Calls, server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("jwt\n")
    server.answer(ASSUMED)
    server.answer(ASSUMED)
    own = identity(
        web_identity_file=str(tmp_path / "token"), web_identity_role=ROLE, role_arn="other", sts_url=server.url
    )
    await Aws(own, calls, sign, clock).fetch()
    assert [asked.form["Action"] for asked in server.asked] == ["AssumeRoleWithWebIdentity", "AssumeRole"]
    assert server.asked[0].form["WebIdentityToken"] == "jwt"
    assert server.asked[1].form["RoleArn"] == "other"
    assert signer_of(server.asked[1].headers["authorization"]) == "ROLE"


async def test_a_web_identity_can_be_given_as_its_token(calls: Calls, server: TokenServer, clock: Clock) -> None:
    server.answer(ASSUMED)
    own = identity(web_identity_token=Secret("jwt"), web_identity_role=ROLE, sts_url=server.url)
    await Aws(own, calls, sign, clock).fetch()
    assert server.asked[0].form["WebIdentityToken"] == "jwt"
    with pytest.raises(UpstreamRejected):
        await Aws(identity(web_identity_role=ROLE), calls, sign, clock).fetch()


async def test_the_keys_of_a_profile_are_read_again_now_and_then(calls: Calls, clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("[team]\naws_access_key_id=A\naws_secret_access_key=B\n")
    lease = await Aws(identity(profile="team", credentials_file=str(path)), calls, sign, clock).fetch()
    assert lease == Lease(AwsKeys("A", "B", None), clock.now + FILE_LIFE)


@pytest.mark.requirement("credentials.aws")
async def test_a_profile_assumes_its_role_with_the_keys_of_its_source(
    calls: Calls, server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"[profile team]\nrole_arn={ROLE}\nsource_profile=base\nexternal_id=x\nrole_session_name=me\n"
        "[profile base]\naws_access_key_id=A\naws_secret_access_key=B\n"
    )
    server.answer(ASSUMED)
    own = identity(profile="team", config_file=str(config), sts_url=server.url)
    lease = await Aws(own, calls, sign, clock).fetch()
    assert lease.value.access_key_id == "ROLE"
    (asked,) = server.asked
    assert (asked.form["RoleSessionName"], asked.form["ExternalId"]) == ("me", "x")
    assert signer_of(asked.headers["authorization"]) == "A"


async def test_a_profile_may_be_its_own_source(calls: Calls, server: TokenServer, clock: Clock, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"[profile team]\nrole_arn={ROLE}\nsource_profile=team\naws_access_key_id=A\naws_secret_access_key=B\n"
    )
    server.answer(ASSUMED)
    await Aws(identity(profile="team", config_file=str(config), sts_url=server.url), calls, sign, clock).fetch()
    assert signer_of(server.asked[0].headers["authorization"]) == "A"


async def test_profiles_that_refer_to_each_other_come_to_an_end(calls: Calls, clock: Clock, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"[profile a]\nrole_arn={ROLE}\nsource_profile=b\n[profile b]\nrole_arn={ROLE}x\nsource_profile=a\n"
    )
    with pytest.raises(UpstreamRejected) as caught:
        await Aws(identity(profile="a", config_file=str(config)), calls, sign, clock).fetch()
    assert "too often" in str(caught.value.operator_detail)
    assert MAX_SOURCES > 1


@pytest.mark.parametrize("line", ["sso_session=x", "credential_process=/bin/x"])
async def test_a_profile_of_an_unknown_kind_is_told(calls: Calls, clock: Clock, tmp_path: Path, line: str) -> None:
    config = tmp_path / "config"
    config.write_text(f"[default]\n{line}\n")
    with pytest.raises(UpstreamRejected) as caught:
        await Aws(identity(config_file=str(config)), calls, sign, clock).fetch()
    assert "credential_process" in str(caught.value.operator_detail)


async def test_a_profile_with_a_token_file_is_a_web_identity(
    calls: Calls, server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("jwt")
    config = tmp_path / "config"
    config.write_text(f"[default]\nrole_arn={ROLE}\nweb_identity_token_file={tmp_path}/token\n")
    server.answer(ASSUMED)
    await Aws(identity(config_file=str(config), sts_url=server.url), calls, sign, clock).fetch()
    assert server.asked[0].form["WebIdentityToken"] == "jwt"


@pytest.mark.requirement("credentials.aws")
async def test_a_container_is_asked_with_the_token_of_its_file(
    calls: Calls, server: TokenServer, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("auth\n")
    server.answer(TEMPORARY)
    own = identity(container_url=f"{server.url}/v2/c?id=1", container_token_file=str(tmp_path / "token"))
    lease = await Aws(own, calls, sign, clock).fetch()
    assert lease.value == AwsKeys("ASIA", "s", "t")
    (asked,) = server.asked
    assert (asked.target, asked.headers["authorization"]) == ("/v2/c?id=1", "auth")


async def test_a_container_may_have_its_token_at_hand(calls: Calls, server: TokenServer, clock: Clock) -> None:
    server.answer(TEMPORARY)
    own = identity(container_url=server.url, container_token=Secret("auth"))
    await Aws(own, calls, sign, clock).fetch()
    assert server.asked[0].headers["authorization"] == "auth"


@pytest.mark.requirement("credentials.aws")
async def test_an_instance_is_asked_for_its_role_with_a_token(calls: Calls, server: TokenServer, clock: Clock) -> None:
    for answer in ("session-token", "my-role\n", TEMPORARY):
        server.answer(answer)
    lease = await Aws(identity(metadata_url=server.url), calls, sign, clock).fetch()
    assert lease.value == AwsKeys("ASIA", "s", "t")
    path = "/latest/meta-data/iam/security-credentials/"
    assert [(a.method, a.target) for a in server.asked] == [
        ("PUT", "/latest/api/token"),
        ("GET", path),
        ("GET", f"{path}my-role"),
    ]
    assert server.asked[0].headers["x-aws-ec2-metadata-token-ttl-seconds"] == "300"
    assert {asked.headers.get("x-aws-ec2-metadata-token") for asked in server.asked[1:]} == {"session-token"}


async def test_an_instance_without_role_has_no_credential(calls: Calls, server: TokenServer, clock: Clock) -> None:
    server.answer("session-token")
    server.answer("not found", status=404)
    with pytest.raises(UpstreamRejected):
        await Aws(identity(metadata_url=server.url), calls, sign, clock).fetch()


async def test_where_nothing_is_given_and_the_machine_must_not_be_asked_there_is_nothing(
    calls: Calls, clock: Clock
) -> None:
    with pytest.raises(UpstreamRejected) as caught:
        await Aws(identity(), calls, sign, clock).fetch()
    assert "no AWS credentials" in str(caught.value.operator_detail)


async def test_keys_cannot_add_headers(calls: Calls, clock: Clock) -> None:
    for fields in ({"access_key_id": "A\r\nx: y"}, {"session_token": Secret("é")}):
        own = identity(**{"access_key_id": "AK", "secret_access_key": Secret("s")} | fields)
        with pytest.raises(UpstreamRejected):
            await Aws(own, calls, sign, clock).fetch()


async def test_a_request_is_signed_with_the_keys_of_now(calls: Calls, clock: Clock, tasks: Tasks) -> None:
    own = identity(access_key_id="AK", secret_access_key=Secret("s"))
    cached = Cached(Aws(own, calls, sign, clock).fetch, tasks, clock)
    signing = Signing(cached, sign, "eu-west-1", clock)
    clock.now += 5
    lines = await signing.authorize(b"POST", b"/model/x/converse", b"bedrock.test", b"{}")
    assert lines == (b"authorization: signed POST /model/x/converse host 2 by AK/None/eu-west-1/bedrock/1700000005\r\n")


async def test_keys_that_are_refused_are_got_anew(
    calls: Calls, server: TokenServer, clock: Clock, tasks: Tasks
) -> None:
    for key in ("OLD", "NEW"):
        server.answer(TEMPORARY | {"AccessKeyId": key})
    cached = Cached(Aws(identity(container_url=server.url), calls, sign, clock).fetch, tasks, clock)
    signing = Signing(cached, sign, "eu-west-1", clock)
    assert b" by OLD/" in await signing.authorize(b"POST", b"/", b"h", b"")
    signing.doubt()
    await tasks.settle(5)
    assert b" by NEW/" in await signing.authorize(b"POST", b"/", b"h", b"")
