from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pointsman.errors import UpstreamUnreachable
from pointsman.store import buckets
from pointsman.store.buckets import BucketFault, open_bucket, reason

PROFILES = """
[default]
aws_access_key_id = of-default
aws_secret_access_key = s1
[team]
aws_access_key_id = of-team
aws_secret_access_key = s2
aws_session_token = t2
"""
REFUSED = (
    "The operation lacked the necessary privileges to complete for path c.yaml: Error performing GET "
    "http://127.0.0.1:1/b/c.yaml?sig=SECRET in 3.1ms - Server returned non-2xx status code: 403 Forbidden: "
    "<Error><AWSAccessKeyId>SECRET</AWSAccessKeyId></Error>\n\nDebug source:\nSECRET"
)
UNREACHED = (
    "Generic S3 error: Error performing GET http://127.0.0.1:1/b/c.yaml?sig=SECRET in 5.2ms, after 2 retries, "
    "max_retries: 2, retry_timeout: 10s  - HTTP error: error sending request for url (http://127.0.0.1:1/?sig=SECRET)"
    "\n\nDebug source:\nSECRET"
)


def given(kind: str, environ: dict[str, str]) -> dict[str, Any]:
    return {"s3": buckets._s3, "gcs": buckets._gcs, "azure": buckets._azure}[kind](environ)


def test_without_obstore_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    with pytest.raises(BucketFault, match=r"pip install 'pointsman\[objects\]'"):
        open_bucket("s3", "b", {}, 1.0, "a config")


@pytest.mark.requirement("config.source.credentials")
def test_keys_region_and_address_of_s3_come_from_the_environment() -> None:
    environ = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://minio:9000",
    }
    assert given("s3", environ) == {
        "access_key_id": "a",
        "secret_access_key": "s",
        "session_token": "t",
        "region": "eu-west-1",
        "endpoint": "http://minio:9000",
    }
    own = given("s3", environ | {"AWS_ENDPOINT_URL_S3": "http://s3:1", "AWS_REGION": "us-west-2"})
    assert (own["endpoint"], own["region"]) == ("http://s3:1", "us-west-2")


@pytest.mark.requirement("config.source.credentials")
@pytest.mark.parametrize(("profile", "key", "token"), [(None, "of-default", None), ("team", "of-team", "t2")])
def test_keys_of_s3_come_from_the_files_of_aws(
    tmp_path: Path, profile: str | None, key: str, token: str | None
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(PROFILES)
    (tmp_path / ".aws" / "config").write_text(
        f"[{(profile and f'profile {profile}') or 'default'}]\nregion = eu-north-1\n"
    )
    environ = {"HOME": str(tmp_path)} | ({} if profile is None else {"AWS_PROFILE": profile})
    found = given("s3", environ)
    keys = found["credential_provider"]()
    assert (keys["access_key_id"], keys["token"], found["region"]) == (key, token, "eu-north-1")
    # Keys are rotated by writing the file.
    (tmp_path / ".aws" / "credentials").write_text(PROFILES.replace("of-", "new-of-"))
    assert found["credential_provider"]()["access_key_id"] == "new-" + key


def test_keys_of_the_environment_go_before_those_of_files(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(PROFILES)
    environ = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_ACCESS_KEY_ID": "a"}
    assert given("s3", environ) == {"access_key_id": "a"}
    web = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}
    assert given("s3", web) == {}


def test_a_profile_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BucketFault, match="no AWS profile is called absent"):
        open_bucket("s3", "b", {"HOME": str(tmp_path), "AWS_PROFILE": "absent"}, 1.0, "a config")


def test_without_any_keys_the_machine_is_asked(tmp_path: Path) -> None:
    assert given("s3", {"HOME": str(tmp_path)}) == {}


@pytest.mark.requirement("config.source.credentials")
def test_google_and_azure_are_told_what_the_environment_has() -> None:
    assert given("gcs", {}) == {}
    assert given("gcs", {"GOOGLE_APPLICATION_CREDENTIALS": "/k.json"}) == {"application_credentials": "/k.json"}
    emulated = {"base_url": "http://gcs:4443", "skip_signature": True}
    assert given("gcs", {"STORAGE_EMULATOR_HOST": "gcs:4443"}) == emulated
    assert given("gcs", {"STORAGE_EMULATOR_HOST": "http://gcs:4443"}) == emulated
    assert given("azure", {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": "k"}) == {
        "account_name": "a",
        "account_key": "k",
    }


def test_settings_that_cannot_be_used_are_a_fault(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.json")
    with pytest.raises(BucketFault, match="cannot use the bucket b"):
        open_bucket("gcs", "b", {"GOOGLE_APPLICATION_CREDENTIALS": absent}, 1.0, "a config")
    with pytest.raises(BucketFault, match="cannot use the bucket b"):
        open_bucket("azure", "b", {}, 1.0, "a config")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (REFUSED, "it answered 403 Forbidden"),
        (UNREACHED, "Generic S3 error: HTTP error: error sending request"),
        ("", "ValueError"),
        ("x" * 1000, "x" * buckets.MAX_WHY),
    ],
)
def test_a_reason_is_one_line_without_addresses_and_answers(text: str, said: str) -> None:
    assert reason(ValueError(text)) == said


def test_a_reason_of_our_own_is_the_operators() -> None:
    assert reason(UpstreamUnreachable("for callers", operator_detail="for operators")) == "for operators"
