from __future__ import annotations

import socket

import pytest

from pointsman.config.sources.base import Address
from pointsman.config.sources.settings import BadSetting, SyncSettings, replica_of, sync_settings

LITELLM = {"LITELLM_CONFIG_BUCKET_NAME": "l", "LITELLM_CONFIG_BUCKET_OBJECT_KEY": "k"}


def test_without_a_word_files_are_watched_and_no_bucket_is_asked() -> None:
    assert sync_settings({}) == SyncSettings(is_enabled=True, has_hot_reload=True, interval=60.0, address=None)


@pytest.mark.requirement("config.source.variables")
@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"CONFIG_S3_BUCKET": "b", "CONFIG_S3_KEY": "/c/d.yaml"}, Address("s3", "b", "c/d.yaml")),
        ({"CONFIG_GCS_BUCKET": "b", "CONFIG_GCS_KEY": "c"}, Address("gcs", "b", "c")),
        ({"CONFIG_AZURE_CONTAINER": "b", "CONFIG_AZURE_KEY": "c"}, Address("azure", "b", "c")),
        (LITELLM, Address("s3", "l", "k")),
        (LITELLM | {"LITELLM_CONFIG_BUCKET_TYPE": "gcs"}, Address("gcs", "l", "k")),
        (LITELLM | {"LITELLM_CONFIG_BUCKET_TYPE": "S3"}, Address("s3", "l", "k")),
        (LITELLM | {"CONFIG_S3_BUCKET": "b", "CONFIG_S3_KEY": "c"}, Address("s3", "b", "c")),
        ({"CONFIG_S3_BUCKET": " ", "CONFIG_S3_KEY": ""}, None),
    ],
)
def test_the_environment_names_the_object(environ: dict[str, str], address: Address | None) -> None:
    assert sync_settings(environ).address == address


@pytest.mark.requirement("config.source.variables")
def test_it_says_when_to_look_again() -> None:
    environ = {"CONFIG_SYNC_ENABLED": "False", "CONFIG_HOT_RELOAD": "off", "CONFIG_SYNC_INTERVAL": "5"}
    assert sync_settings(environ) == SyncSettings(is_enabled=False, has_hot_reload=False, interval=5.0)
    assert sync_settings({"CONFIG_SYNC_ENABLED": "1", "CONFIG_HOT_RELOAD": "TRUE"}) == SyncSettings()


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"CONFIG_S3_BUCKET": "b"}, "CONFIG_S3_BUCKET and CONFIG_S3_KEY are needed both"),
        ({"CONFIG_GCS_KEY": "b"}, "CONFIG_GCS_BUCKET and CONFIG_GCS_KEY are needed both"),
        (LITELLM | {"LITELLM_CONFIG_BUCKET_TYPE": "ftp"}, "must be s3, gcs or azure"),
        ({"CONFIG_SYNC_ENABLED": "maybe"}, "CONFIG_SYNC_ENABLED must be true or false"),
        ({"CONFIG_SYNC_INTERVAL": "often"}, "must be a number of seconds, 1 to 86400"),
        ({"CONFIG_SYNC_INTERVAL": "0"}, "must be a number of seconds"),
        ({"CONFIG_SYNC_INTERVAL": "nan"}, "must be a number of seconds"),
    ],
)
def test_what_has_no_meaning_is_said(environ: dict[str, str], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        sync_settings(environ)


def test_a_replica_goes_by_the_name_it_is_given_or_by_its_hosts() -> None:
    assert replica_of({"POINTSMAN_REPLICA": " blue "}) == "blue"
    assert replica_of({"POINTSMAN_REPLICA": ""}) == socket.gethostname()
