from __future__ import annotations

from pathlib import Path

import pytest

from pointsman.errors import UpstreamRejected
from pointsman.upstream.credentials.profiles import read_profile

CREDENTIALS = """
[default]
aws_access_key_id = AK
aws_secret_access_key = a%b=c
[team]
aws_access_key_id = TEAM
"""
CONFIG = """
[default]
region = eu-west-1
s3 =
  max_concurrent_requests = 20
[profile team]
role_arn = arn:aws:iam::1:role/r
aws_access_key_id = OLD
[team]
region = nowhere
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "credentials").write_text(CREDENTIALS)
    (tmp_path / "config").write_text(CONFIG)
    return str(tmp_path / "credentials"), str(tmp_path / "config")


def test_a_profile_is_what_both_files_say_and_credentials_go_first(files: tuple[str, str]) -> None:
    assert read_profile("team", *files) == {"role_arn": "arn:aws:iam::1:role/r", "aws_access_key_id": "TEAM"}


def test_without_a_name_it_is_the_default_one(files: tuple[str, str]) -> None:
    found = read_profile(None, *files)
    assert found is not None
    assert found["aws_secret_access_key"] == "a%b=c"
    assert found["region"] == "eu-west-1"


def test_a_default_that_is_not_there_is_nothing_and_a_named_one_a_mistake(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    assert read_profile(None, absent, None) is None
    with pytest.raises(UpstreamRejected) as caught:
        read_profile("team", absent, None)
    assert "team" in str(caught.value.operator_detail)


def test_a_broken_file_is_named_and_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("aws_secret_access_key = confidential\n")
    with pytest.raises(UpstreamRejected) as caught:
        read_profile(None, str(path), None)
    assert str(path) in str(caught.value.operator_detail)
    assert caught.value.__cause__ is None
    assert "confidential" not in str(caught.value.operator_detail)


def test_files_that_the_system_lets_nobody_look_at_are_not_there(tmp_path: Path) -> None:
    closed = str(tmp_path / ("x" * 300))
    assert read_profile(None, closed, closed) is None
