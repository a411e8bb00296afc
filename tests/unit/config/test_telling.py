from __future__ import annotations

from pathlib import Path

import pytest

from pointsman.config.sources.base import Address, Version
from pointsman.config.sources.file import FileSource
from pointsman.config.sources.objects import ObjectSource
from pointsman.config.sources.settings import SyncSettings
from pointsman.config.sources.stores import Bucket
from pointsman.config.starting import Origin
from pointsman.config.telling import BUCKETS, told_of
from pointsman.store.buckets import BucketKind

VERSION = Version("e1", 5.0)
NO_BUCKET = {"enabled": False, "bucket": None, "key": None, "last_etag": None}


@pytest.mark.parametrize("kind", BUCKETS)
def test_a_bucket_is_told_under_its_kind(kind: BucketKind) -> None:
    address = Address(kind, "b", "k.yaml")
    source = ObjectSource(address, Bucket(kind, "b", {"AZURE_STORAGE_ACCOUNT_NAME": "a"}), {})
    told = told_of(Origin(environ={}, settings=SyncSettings(address=address), source=source), VERSION)
    assert told[kind] == {"enabled": True, "bucket": "b", "key": "k.yaml", "last_etag": "e1"}
    assert [told[one] for one in BUCKETS if one != kind] == [NO_BUCKET] * 2
    assert told["file"] == {"enabled": False, "path": None, "last_etag": None}
    assert (told["source_requests"], told["source_unchanged"], told["source_failures"]) == (0, 0, 0)


def test_a_file_is_told_with_its_path(tmp_path: Path) -> None:
    origin = Origin(environ={}, settings=SyncSettings(interval=2.5), source=FileSource(tmp_path / "c.yaml", {}))
    told = told_of(origin, VERSION)
    assert told["file"] == {"enabled": True, "path": str(tmp_path / "c.yaml"), "last_etag": "e1"}
    assert told["sync_interval_seconds"] == 2.5


def test_without_a_source_nothing_was_asked() -> None:
    told = told_of(Origin(environ={}, settings=SyncSettings(interval=60.0)), None)
    assert [told[one] for one in BUCKETS] == [NO_BUCKET] * 3
    assert told["source_requests"] is None
    assert repr(told["sync_interval_seconds"]) == "60"
