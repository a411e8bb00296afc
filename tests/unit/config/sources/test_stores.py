from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pointsman.config.sources.base import SourceDown
from pointsman.config.sources.stores import Bucket


def test_without_obstore_a_source_is_down_and_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("obstore", "obstore.store", "obstore.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SourceDown, match=r"a config in a bucket .*pip install 'pointsman\[objects\]'"):
        Bucket("s3", "b", {})


def test_settings_that_cannot_be_used_are_a_source_that_is_down(tmp_path: Path) -> None:
    with pytest.raises(SourceDown, match="cannot use the bucket b") as caught:
        Bucket("gcs", "b", {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "absent.json")})
    assert caught.value.hint == "docs/how-to/reload.md names the variables"
