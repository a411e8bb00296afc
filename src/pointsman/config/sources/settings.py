"""What an operator can say in the environment about where the config comes from and when it is looked at again."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import msgspec

from pointsman.config.sources.base import Address
from pointsman.store.buckets import BucketKind

INTERVAL = 60.0
MIN_INTERVAL = 1.0
MAX_INTERVAL = 86_400.0
_FALSE = frozenset({"0", "false", "no", "off"})
_TRUE = frozenset({"1", "true", "yes", "on"})
BUCKETS: tuple[tuple[BucketKind, str, str], ...] = (
    ("s3", "CONFIG_S3_BUCKET", "CONFIG_S3_KEY"),
    ("gcs", "CONFIG_GCS_BUCKET", "CONFIG_GCS_KEY"),
    ("azure", "CONFIG_AZURE_CONTAINER", "CONFIG_AZURE_KEY"),
)
"""The variables of each kind, in the order in which they are looked at."""
_LITELLM = ("LITELLM_CONFIG_BUCKET_NAME", "LITELLM_CONFIG_BUCKET_OBJECT_KEY", "LITELLM_CONFIG_BUCKET_TYPE")


class BadSetting(ValueError):
    """A variable that cannot be used: which one, and why."""


class SyncSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the config comes from beside ``--config``, and when it is looked at again."""

    is_enabled: bool = True
    """Whether a bucket is asked again every ``interval`` (``CONFIG_SYNC_ENABLED``)."""
    has_hot_reload: bool = True
    """Whether a change is put in force without being asked for (``CONFIG_HOT_RELOAD``)."""
    interval: float = INTERVAL
    """Seconds (``CONFIG_SYNC_INTERVAL``)."""
    address: Address | None = None
    """The object that is the config; goes before a file."""


def sync_settings(environ: Mapping[str, str]) -> SyncSettings:
    """What the environment says.

    :raises BadSetting: what one of the variables says has no meaning
    """
    return SyncSettings(
        is_enabled=_flag(environ, "CONFIG_SYNC_ENABLED"),
        has_hot_reload=_flag(environ, "CONFIG_HOT_RELOAD"),
        interval=_seconds(environ, "CONFIG_SYNC_INTERVAL"),
        address=_address(environ),
    )


def replica_of(environ: Mapping[str, str]) -> str:
    """What tells this gateway, with all its workers, from its copies: ``POINTSMAN_REPLICA``, else the host's name."""
    return _text(environ, "POINTSMAN_REPLICA") or socket.gethostname()


def _address(environ: Mapping[str, str]) -> Address | None:
    for kind, bucket, key in BUCKETS:
        if (found := _pair(kind, bucket, key, environ)) is not None:
            return found
    bucket, key, type_name = _LITELLM
    kinds: dict[str, BucketKind] = {"": "s3", "s3": "s3", "gcs": "gcs", "azure": "azure"}
    stated = _text(environ, type_name).lower()
    if stated not in kinds:
        raise BadSetting(f"{type_name} must be s3, gcs or azure")
    return _pair(kinds[stated], bucket, key, environ)


def _pair(kind: BucketKind, bucket: str, key: str, environ: Mapping[str, str]) -> Address | None:
    values = _text(environ, bucket), _text(environ, key).lstrip("/")
    if all(values):
        return Address(kind, *values)
    if any(values):
        raise BadSetting(f"{bucket} and {key} are needed both, and only one of them is set")
    return None


def _text(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip()


def _flag(environ: Mapping[str, str], name: str) -> bool:
    text = _text(environ, name).lower()
    if text and text not in _TRUE | _FALSE:
        raise BadSetting(f"{name} must be true or false")
    return text not in _FALSE


def _seconds(environ: Mapping[str, str], name: str) -> float:
    text = _text(environ, name)
    try:
        seconds = float(text or INTERVAL)
    except ValueError:
        seconds = -1.0
    if not MIN_INTERVAL <= seconds <= MAX_INTERVAL:
        raise BadSetting(f"{name} must be a number of seconds, {MIN_INTERVAL:g} to {MAX_INTERVAL:g}")
    return seconds
