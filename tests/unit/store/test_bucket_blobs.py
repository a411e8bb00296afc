from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore, S3Store

from pointsman.store import bucket_blobs
from pointsman.store.blobs import BlobsDown
from pointsman.store.bucket_blobs import BucketBlobs


def nowhere() -> Any:
    """A bucket of a server that is not there."""
    options: Any = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 0}}
    keys: Any = {"access_key_id": "canary-id", "secret_access_key": "canary-secret"}
    return S3Store("b", endpoint="http://127.0.0.1:9", region="us-east-1", **keys, **options)


async def test_what_is_not_whole_has_no_name(tmp_path: Path) -> None:
    part = BucketBlobs(MemoryStore(), "p/", tmp_path / "scratch").begin("a")
    await part.write(b"x" * 3_000_000)
    assert list((tmp_path / "scratch").iterdir()) == []
    await part.drop()


async def test_a_bucket_that_is_away_is_said_without_its_keys(tmp_path: Path) -> None:
    blobs = BucketBlobs(nowhere(), "p/", tmp_path)
    part = blobs.begin("a")
    await part.write(b"abc")
    for call in (part.keep(), blobs.spans("a", [(0, 1)]), blobs.delete(["a"]), anext(blobs.old(9e9))):
        with pytest.raises(BlobsDown) as caught:
            await call
        assert "canary" not in str(caught.value)
        assert "127.0.0.1" not in str(caught.value)
    await part.drop()


async def test_a_bucket_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_blobs, "CALL_SECONDS", 0.0)
    blobs = BucketBlobs(MemoryStore(), "p/", tmp_path)
    with pytest.raises(BlobsDown, match="no answer within 0 s"):
        await blobs.spans("a", [(0, 1)])
