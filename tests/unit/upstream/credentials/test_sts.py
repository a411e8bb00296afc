from __future__ import annotations

from datetime import UTC, datetime

import pytest
from unit.upstream.credentials.scripted import Clock, TokenServer, sign

from pointsman.errors import UpstreamError, UpstreamRejected, UpstreamUnreachable
from pointsman.upstream.credentials.calls import Calls
from pointsman.upstream.credentials.sts import AwsKeys, Sts, lease_of

ROLE = "arn:aws:iam::123456789012:role/r"
ANSWER = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleResult>
    <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn></AssumedRoleUser>
    <Credentials>
      <AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId>
      <SecretAccessKey>wJalrXUtnFEMI/K7MDENG+bPxRfiCYzEXAMPLEKEY</SecretAccessKey>
      <SessionToken>AQoDYXdzEPT//////////wEXAMPLE&amp;tc764==</SessionToken>
      <Expiration>2023-11-14T23:13:20Z</Expiration>
    </Credentials>
  </AssumeRoleResult>
</AssumeRoleResponse>"""
REFUSAL = """<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>
<Message>User: x is not authorized</Message></Error></ErrorResponse>"""
END = datetime(2023, 11, 14, 23, 13, 20, tzinfo=UTC).timestamp()


async def test_a_role_is_assumed_by_a_signed_request(calls: Calls, server: TokenServer, clock: Clock) -> None:
    server.answer(ANSWER)
    sts = Sts(calls, sign, clock, "eu-west-1", server.url)
    lease = await sts.assume(AwsKeys("AK", "secret", None), ROLE, "session", "ext")
    assert lease.value == AwsKeys(
        "ASIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYzEXAMPLEKEY", "AQoDYXdzEPT//////////wEXAMPLE&tc764=="
    )
    assert lease.expires_at == END
    (asked,) = server.asked
    assert asked.form == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "session",
        "ExternalId": "ext",
    }
    signed = f"signed POST / host,content-type {len(asked.body)} by AK/None/eu-west-1/sts/1700000000"
    assert asked.headers["authorization"] == signed


async def test_a_web_identity_assumes_a_role_without_a_signature(
    calls: Calls, server: TokenServer, clock: Clock
) -> None:
    server.answer(ANSWER)
    lease = await Sts(calls, sign, clock, "r", server.url).with_web_identity("jwt", ROLE, "session")
    assert lease.expires_at == END
    (asked,) = server.asked
    assert asked.form["Action"] == "AssumeRoleWithWebIdentity"
    assert asked.form["WebIdentityToken"] == "jwt"
    assert "authorization" not in asked.headers


async def test_a_refusal_is_told_by_its_code(calls: Calls, server: TokenServer, clock: Clock) -> None:
    server.answer(REFUSAL, status=403)
    with pytest.raises(UpstreamRejected) as caught:
        await Sts(calls, sign, clock, "r", server.url).with_web_identity("jwt", ROLE, "session")
    assert "status 403 (AccessDenied)" in str(caught.value.operator_detail)


async def test_what_is_no_text_is_no_key(calls: Calls, server: TokenServer, clock: Clock) -> None:
    sts = Sts(calls, sign, clock, "r", server.url)
    for status in (200, 403):
        server.answer(ANSWER.replace("wJalr", "\udcff"), status)
        with pytest.raises(UpstreamError):
            await sts.with_web_identity("jwt", ROLE, "session")


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c"},
        {"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c", "Expiration": "soon"},
        {"AccessKeyId": "a", "SecretAccessKey": "b", "Expiration": "2023-11-14T23:13:20Z"},
        {"AccessKeyId": 1, "SecretAccessKey": "b", "Token": "c", "Expiration": "2023-11-14T23:13:20Z"},
    ],
)
def test_keys_that_are_not_whole_are_none(found: dict[str, object]) -> None:
    with pytest.raises(UpstreamUnreachable):
        lease_of(found, "imds")


@pytest.mark.requirement("credentials.no-secret-in-errors")
def test_keys_do_not_print_themselves() -> None:
    assert repr(AwsKeys("AK", "secret", "token")) == "AwsKeys(***)"
